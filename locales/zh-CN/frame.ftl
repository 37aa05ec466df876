frame-product = 医保窗口人证核验 · 复核台
frame-skip = 跳到正文
frame-navigation = 主导航
frame-other-language = English
frame-sign-out = 退出
nav-overview = 概览
nav-accounts = 账号
