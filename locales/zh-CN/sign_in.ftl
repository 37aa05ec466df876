sign-in-title = 登录
sign-in-name = 账号
sign-in-password = 密码
sign-in-go = 登录
sign-in-note = 查看参保人信息的每一次操作都会记录：谁、看了什么、何时。
sign-in-refused = 账号或密码不正确，或该账号现在不能登录。连续五次输入错误，账号锁定十五分钟。
