-- Who may sign in at the console, and who is signed in. Of a password only its
-- Argon2id hash is here, of a session's token only its SHA-256.

CREATE TABLE accounts (
    name        TEXT PRIMARY KEY,
    display     TEXT NOT NULL,
    roles       TEXT NOT NULL,
    -- A PHC string; empty for who signs in elsewhere only.
    password    TEXT NOT NULL,
    -- Issuer and subject of single sign-on, with a space between; NULL without.
    subject     TEXT UNIQUE,
    disabled    BIGINT NOT NULL DEFAULT 0,
    failures    BIGINT NOT NULL DEFAULT 0,
    locked_until BIGINT,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL
);

CREATE TABLE sessions (
    token       TEXT PRIMARY KEY,
    account     TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
    created_at  BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);
