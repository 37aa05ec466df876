-- Attempts to sign in are counted by a mark of the name that was given, whether or
-- not there is such an account: nobody learns from a lock which names there are.
CREATE TABLE sign_in_attempts (
    -- A keyed hash: what was typed may be a password.
    name         TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL,
    locked_until BIGINT,
    -- When the row is forgotten.
    ends_at      BIGINT NOT NULL
);
CREATE INDEX sign_in_attempts_end ON sign_in_attempts (ends_at);
ALTER TABLE accounts DROP COLUMN failures;
ALTER TABLE accounts DROP COLUMN locked_until;

-- Until when a password that an administrator handed out may be used, to be changed
-- at once; NULL for one that its owner chose.
ALTER TABLE accounts ADD COLUMN start_until BIGINT;
-- 1 if the account's roles are what single sign-on says at each sign-in.
ALTER TABLE accounts ADD COLUMN managed BIGINT NOT NULL DEFAULT 0;

CREATE INDEX sessions_end ON sessions (expires_at);
