frame-product = 医保窗口人证核验 · 复核台
frame-skip = 跳到正文
frame-navigation = 主导航
frame-other-language = English
frame-sign-out = 退出
nav-abnormal = 两个异常
nav-statistics = 统计
nav-acts = 操作记录
