letter-back = Back to the alert
letter-how-to-print = Print this page: the first sheet is the letter in Chinese, the second one is English, for reading only. Number, seal and signature are put on by hand; the program sends nothing.
letter-note = For reading only; the Chinese text is the one that counts.
letter-to-hospital = To: { $hospital } (code of the medical institution)
letter-to-cardholder = To the insured person with the number { $cardholder }:
letter-about = About: settlement { $settlement }, { $at }, { $hospital }, counter { $counter }, insured person { $cardholder }
letter-recording-title = Request to preserve a surveillance recording
letter-recording-what = In supervising the use of the medical insurance fund we need your own surveillance recording of counter { $counter } and its access, from { $from } to { $until } (Beijing time), about settlement { $settlement }.
letter-recording-why = Please copy the recording of that time and keep it unchanged, with the name of the camera, the difference of its clock to Beijing time, and who copied it. Hand it out to nobody else; it contains personal information of others.
letter-recording-until = Recordings are overwritten. Please answer by { $due } at the latest whether it is preserved; if it is already overwritten, say so and since when.
letter-inquiry-title = Inquiry letter
letter-inquiry-what = On { $at } a settlement of { $amount } yuan was made with your medical insurance at { $hospital }, counter { $counter } (settlement { $settlement }). A check at the counter found a doubt whether you were there yourself. This is a question, and no accusation: the check can be wrong.
letter-inquiry-questions = Please tell us by { $due }:
    1. Did you come to the counter yourself?
    2. If not, who acted for you, and what is that person to you?
    3. Did you know of it and agree?
letter-inquiry-rights = You may look at what is held about you, have it corrected, object and appeal. If somebody acts for you regularly, you can declare that person with us, with the consent of both; then this question does not come up again.
letter-statement-title = Record of a statement
letter-statement-what = Asked: whether the insured person came in person, who else acted, in what relation and by whose request, who held the card, what was done with the medicines or receipts.
letter-statement-duty = Whoever gives a statement is told: to answer truthfully; to leave unanswered what has nothing to do with the matter; to read the record and to have it corrected; to object to whoever takes it.
letter-documents-title = Request for the papers of a settlement
letter-documents-what = In supervising the use of the medical insurance fund we ask for copies of the papers of settlement { $settlement } of { $at } over { $amount } yuan at counter { $counter }: statement of settlement, list of charges, prescription, receipt signed at the counter, record of who collected.
letter-documents-until = Please send stamped copies by { $due }. What does not exist, please name as such.
letter-asked = In addition: { $value }
letter-blank-kept = Preserved / already overwritten, since when; place and number of the copy
letter-blank-person = Person in charge, telephone
letter-blank-day = Date
letter-blank-came = Came in person: yes □ no □
letter-blank-acted = Who acted, and their number
letter-blank-relation = Relation to the insured person
letter-blank-signed = Signature of the insured person
letter-blank-name = Name of who gives the statement
letter-blank-number = Number of their identity document
letter-blank-words = Statement
letter-blank-read = “I have read the above; it is as I said it.” Signature, fingerprint
letter-blank-taken = Taken by (two people, numbers of their law-enforcement cards)
letter-sign = (seal of the medical security bureau)
    { $today }
