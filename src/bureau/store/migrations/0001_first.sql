-- What the bureau holds. Times are milliseconds since 1970 UTC; digests and
-- ids are text; whatever is about a person and is not needed to find it is
-- sealed.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE agents (
    name        TEXT PRIMARY KEY,
    hospital    TEXT NOT NULL,
    public_key  TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL UNIQUE,
    suspended   BOOLEAN NOT NULL DEFAULT FALSE,
    added_at    BIGINT NOT NULL,
    last_seen   BIGINT
);

-- The chain of each box. Nothing here is about a person; it outlives the
-- payloads, so that a late duplicate is known for one.
CREATE TABLE events (
    arrival     INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    agent       TEXT NOT NULL REFERENCES agents (name),
    epoch       TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    digest      TEXT NOT NULL,
    previous    TEXT,
    kind        TEXT NOT NULL,
    chain       TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (agent, epoch, seq)
);

-- The exact bytes that were signed, sealed.
CREATE TABLE payloads (
    event       TEXT PRIMARY KEY REFERENCES events (id),
    sealed      BLOB NOT NULL,
    signature   TEXT NOT NULL
);

-- Which alert a withdrawal takes back; the alert may not have come yet.
CREATE TABLE withdrawals (
    event       TEXT PRIMARY KEY REFERENCES events (id),
    agent       TEXT NOT NULL,
    alert       TEXT NOT NULL
);
CREATE INDEX withdrawals_alert ON withdrawals (alert, agent);

CREATE TABLE enrolments (
    id            TEXT PRIMARY KEY,
    cardholder    TEXT NOT NULL,
    model         TEXT NOT NULL,
    preprocessing BIGINT NOT NULL,
    photo         TEXT NOT NULL,
    sealed        BLOB NOT NULL,
    enrolled_at   BIGINT NOT NULL,
    UNIQUE (cardholder, model, preprocessing, photo)
);
CREATE INDEX enrolments_photo ON enrolments (photo);

CREATE TABLE postures (
    agent       TEXT PRIMARY KEY REFERENCES agents (name),
    at          BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    body        BLOB NOT NULL,
    signature   TEXT NOT NULL
);

-- The evidence that limits were carried out.
CREATE TABLE purges (
    at          BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    cutoff      BIGINT NOT NULL,
    deleted     BIGINT NOT NULL
);
