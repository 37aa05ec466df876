-- Cardholders whom no window judges, and until when. The reason may be a
-- diagnosis: it is sealed.
CREATE TABLE exemptions (
    cardholder  TEXT PRIMARY KEY,
    until       BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    at          BIGINT NOT NULL,
    sealed      BLOB NOT NULL
);
