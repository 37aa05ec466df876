mail-back = Back to the alert
mail-how-to-print = Print this page: the first sheet is the letter in Chinese, the second one is English, for reading only. Number, seal and signature are put on by hand; the program sends nothing.
mail-note = For reading only; the Chinese text is the one that counts.
mail-hospital = { $name } (code { $code })
mail-hospital-unnamed = the medical institution with the code { $code }
mail-to-hospital = To: { $hospital }
mail-to-cardholder = To the insured person with the number { $cardholder }:
mail-about = About: settlement { $settlement }, { $at }, { $hospital }, counter { $counter }, insured person { $cardholder }
mail-absent-about = About: settlement { $settlement }, { $at }, { $hospital }, entrance { $counter }, shift { $begins } to { $ends }, insured person { $cardholder }
mail-recording-title = Request to preserve a surveillance recording
mail-recording-what = In supervising the use of the medical insurance fund we need your own surveillance recording of counter { $counter } and its access, from { $from } to { $until } (Beijing time), about settlement { $settlement }.
mail-absent-recording-what = In supervising the use of the medical insurance fund we need your own surveillance recording of entrance { $counter } and of the other ways into that treatment room for the whole shift, from { $from } to { $until } (Beijing time), about settlement { $settlement }.
mail-recording-why = Please copy the recording of that time and keep it unchanged, with the name of the camera, the difference of its clock to Beijing time, and who copied it. Hand it out to nobody else; it contains personal information of others.
mail-recording-until = Recordings are overwritten. Please answer by { $due } at the latest whether it is preserved; if it is already overwritten, say so and since when.
mail-inquiry-title = Inquiry letter
mail-inquiry-what = On { $at } a settlement of { $amount } yuan was made with your medical insurance at { $hospital }, counter { $counter } (settlement { $settlement }). A check at the counter found a doubt whether you were there yourself. This is a question, and no accusation: the check can be wrong.
mail-inquiry-questions = Please tell us by { $due }:
    1. Did you come to the counter yourself?
    2. If not, who acted for you, and what is that person to you?
    3. Did you know of it and agree?
mail-inquiry-rights = You may look at what is held about you, have it corrected, object and appeal. If somebody acts for you regularly, you can declare that person with us, with the consent of both; then this question does not come up again.
mail-absent-inquiry-what = On { $at } a treatment of { $amount } yuan was settled with your medical insurance at { $hospital } (settlement { $settlement }), for the shift from { $begins } to { $ends }. A check at the entrance did not see you in that shift. This is a question, and no accusation: the check can be wrong, and knows of no other door.
mail-absent-inquiry-questions = Please tell us by { $due }:
    1. Were you treated there on that day? When did you come, and when did you leave?
    2. If you were: by which door did you come in, on foot, in a wheelchair or on a stretcher? Were you treated in another shift, on a ward or at a bedside?
    3. If you were not: did you know of this settlement? Who keeps your insurance card?
mail-absent-inquiry-rights = You may look at what is held about you, have it corrected, object and appeal. Your answer has no bearing on your treatment.
mail-statement-title = Record of a statement
mail-statement-what = Asked: whether the insured person came in person, who else acted, in what relation and by whose request, who held the card, what was done with the medicines or receipts.
mail-absent-statement-what = Asked: whether the insured person was treated on that day; from when to when, at which machine and bed, and who came with them; who carried out the treatment and who signed for it; who held the card; if there was no treatment, who had it billed and who knew.
mail-statement-duty = Whoever gives a statement is told: to answer truthfully; to leave unanswered what has nothing to do with the matter; to read the record and to have it corrected; to object to whoever takes it.
mail-documents-title = Request for the papers of a settlement
mail-documents-what = In supervising the use of the medical insurance fund we ask for copies of the papers of settlement { $settlement } of { $at } over { $amount } yuan at counter { $counter }: statement of settlement, list of charges, prescription, receipt signed at the counter, record of who collected.
mail-absent-documents-title = Request for the papers of a treatment
mail-absent-documents-what = In supervising the use of the medical insurance fund we ask for copies of the papers of the treatment that was settled on { $at } over { $amount } yuan (settlement { $settlement }), shift { $begins } to { $ends }: treatment record, log of the machine (its number, when it was connected and disconnected), nursing record, orders and consent, the shift's plan or sign-in sheet, use of consumables and medicines, list of charges.
mail-documents-until = Please send stamped copies by { $due }. What does not exist, please name as such.
mail-asked = In addition: { $value }
mail-blank-kept = Preserved / already overwritten, since when; place and number of the copy
mail-blank-person = Person in charge, telephone
mail-blank-day = Date
mail-blank-came = Came in person: yes □ no □
mail-blank-treated = Treated on that day: yes □ no □
mail-blank-hours = Came at, left at
mail-blank-door = Way in, and where treated
mail-blank-acted = Who acted, and their number
mail-blank-relation = Relation to the insured person
mail-blank-signed = Signature of the insured person
mail-blank-name = Name of who gives the statement
mail-blank-number = Number of their identity document
mail-blank-words = Statement
mail-blank-read = “I have read the above; it is as I said it.” Signature, fingerprint
mail-blank-taken = Taken by (two people, numbers of their law-enforcement cards)
mail-sign = { $bureau }
    (seal)
    { $today }
