-- What came of photographs from phones. No photograph, no embedding and no comparison
-- score is here: number, place, reason and band of the score are sealed.
CREATE TABLE check_ins (
    id         TEXT PRIMARY KEY,
    at         BIGINT NOT NULL,
    -- A keyed hash of the cardholder's number.
    mark       TEXT NOT NULL,
    -- An account of the console, or app:NAME.
    by_whom    TEXT NOT NULL,
    -- ward_round or sign_in
    purpose    TEXT NOT NULL,
    -- match, mismatch, inconclusive or not_assessed
    verdict    TEXT NOT NULL,
    sealed     BLOB NOT NULL
);
CREATE INDEX check_ins_at ON check_ins (at);
CREATE INDEX check_ins_mark ON check_ins (mark, id);
