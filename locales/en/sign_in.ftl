sign-in-title = Sign in
sign-in-name = Account
sign-in-password = Password
sign-in-go = Sign in
sign-in-note = Every look at a cardholder's data is recorded: who, what, when.
sign-in-refused = The account or the password is not right, or the account may not sign in now. After five wrong passwords in a row it is locked for fifteen minutes.
