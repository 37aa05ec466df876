frame-product = counterproof · review desk
frame-skip = Skip to the content
frame-navigation = Main navigation
frame-other-language = 中文
frame-sign-out = Sign out
nav-abnormal = Two abnormalities
nav-statistics = Statistics
nav-acts = Record of acts
