mail-back = 返回预警
mail-how-to-print = 打印本页：第一张为中文函件，第二张为英文，仅供阅读。文号、印章与签名由人工补上；程序不寄送任何东西。
mail-note = 以中文为准。
mail-hospital = { $name }（编码 { $code }）
mail-hospital-unnamed = 编码为 { $code } 的定点医药机构
mail-to-hospital = 致{ $hospital }：
mail-to-cardholder = 编号为 { $cardholder } 的参保人：
mail-about = 事由：结算 { $settlement }，{ $at }，{ $hospital }，窗口 { $counter }，参保人 { $cardholder }
mail-absent-about = 事由：结算 { $settlement }，{ $at }，{ $hospital }，出入口 { $counter }，班次 { $begins } 至 { $ends }，参保人 { $cardholder }
mail-recording-title = 关于保全监控录像的函
mail-recording-what = 因医疗保障基金使用监督管理工作需要，现需贵单位 { $counter } 窗口及其通道自 { $from } 至 { $until }（北京时间）的监控录像，事涉结算 { $settlement }。
mail-absent-recording-what = 因医疗保障基金使用监督管理工作需要，现需贵单位 { $counter } 出入口及该治疗室其他通道在该班次全程，即自 { $from } 至 { $until }（北京时间）的监控录像，事涉结算 { $settlement }。
mail-recording-why = 请将该时段录像复制并原样保存，注明摄像机名称、其时钟与北京时间之差以及复制人。录像含有他人个人信息，请勿提供给其他单位或个人。
mail-recording-until = 录像会被覆盖。请最迟于 { $due } 前函复是否已保全；如已被覆盖，请说明自何时起。
mail-inquiry-title = 询问函
mail-inquiry-what = { $at }，在 { $hospital } 的 { $counter } 窗口使用您的医疗保障结算 { $amount } 元（结算 { $settlement }）。窗口核验对是否由您本人到场存有疑问。这只是询问，不是指控；核验也可能出错。
mail-inquiry-questions = 请于 { $due } 前告知：
    一、您是否亲自到窗口办理？
    二、如不是，由谁代办，与您是何关系？
    三、您是否知情并同意？
mail-inquiry-rights = 您有权查阅、更正有关您的信息，有权提出异议和申诉。如有人经常为您代办，经双方同意可向我局申报，今后不再因此询问。
mail-absent-inquiry-what = { $at }，{ $hospital } 使用您的医疗保障结算了一次 { $amount } 元的治疗（结算 { $settlement }），对应班次为 { $begins } 至 { $ends }。出入口核验在该班次未见到您。这只是询问，不是指控；核验也可能出错，且不知道是否另有入口。
mail-absent-inquiry-questions = 请于 { $due } 前告知：
    一、您当日是否在该院接受治疗？何时到达，何时离开？
    二、如接受了治疗，从哪个门进入，步行、坐轮椅还是由推床送入？是否在别的班次、病房或床旁治疗？
    三、如没有接受治疗，您是否知道该笔结算？医保凭证由谁保管？
mail-absent-inquiry-rights = 您有权查阅、更正有关您的信息，有权提出异议和申诉。您的答复不影响您的治疗。
mail-statement-title = 询问笔录
mail-statement-what = 询问内容：参保人是否亲自到场；由何人代办、是何关系、受谁委托；医保凭证由谁持有；药品或票据的去向。
mail-absent-statement-what = 询问内容：参保人当日是否接受治疗；起止时间、机位床号、由谁陪同；由谁操作、由谁签字；医保凭证由谁持有；如未治疗，由谁记账收费，何人知情。
mail-statement-duty = 告知被询问人：应当如实回答；与本案无关的问题可以不答；有权核对笔录并要求更正；有权申请询问人回避。
mail-documents-title = 关于调取结算单据的函
mail-documents-what = 因医疗保障基金使用监督管理工作需要，请提供 { $at } 在 { $counter } 窗口办理的结算 { $settlement }（{ $amount } 元）的单据复印件：结算单、费用清单、处方、窗口签字票据、领取记录。
mail-absent-documents-title = 关于调取治疗资料的函
mail-absent-documents-what = 因医疗保障基金使用监督管理工作需要，请提供 { $at } 结算的治疗（结算 { $settlement }，{ $amount } 元，班次 { $begins } 至 { $ends }）的资料复印件：治疗记录单、机器运行记录（机号、上下机时间）、护理记录、医嘱及知情同意书、排班表或签到表、耗材与药品使用记录、费用清单。
mail-documents-until = 请于 { $due } 前寄送加盖公章的复印件；不存在的单据请予注明。
mail-asked = 另：{ $value }
mail-blank-kept = 已保全／已被覆盖（自何时起）；副本存放处及编号
mail-blank-person = 经办人、联系电话
mail-blank-day = 日期
mail-blank-came = 本人到场：是 □ 否 □
mail-blank-treated = 当日接受治疗：是 □ 否 □
mail-blank-hours = 到达、离开时间
mail-blank-door = 从何处进入、在何处治疗
mail-blank-acted = 代办人及其编号
mail-blank-relation = 与参保人的关系
mail-blank-signed = 参保人签名
mail-blank-name = 被询问人姓名
mail-blank-number = 身份证件号码
mail-blank-words = 陈述
mail-blank-read = “以上笔录已阅，与我所述一致。”签名、指印
mail-blank-taken = 询问人（两人，执法证号）
mail-sign = { $bureau }
    （印章）
    { $today }
