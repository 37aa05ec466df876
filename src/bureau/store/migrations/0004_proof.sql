-- What the bureau proves to others: keys with their time in force, heads of
-- audit logs that it countersigned, receipts, documents by digest, and a record
-- of who did what at the bureau. Nothing here is about a patient.

-- Every signing key that a box had. An event by an older one stays provable.
CREATE TABLE agent_keys (
    public_key  TEXT PRIMARY KEY,
    agent       TEXT NOT NULL REFERENCES agents (name),
    since       BIGINT NOT NULL,
    until       BIGINT
);
INSERT INTO agent_keys (public_key, agent, since)
    SELECT public_key, name, added_at FROM agents;

CREATE TABLE agent_certificates (
    certificate TEXT PRIMARY KEY,
    agent       TEXT NOT NULL REFERENCES agents (name),
    since       BIGINT NOT NULL,
    until       BIGINT
);
INSERT INTO agent_certificates (certificate, agent, since)
    SELECT certificate, name, added_at FROM agents;

-- Every key that the bureau has signed with.
CREATE TABLE bureau_keys (
    public_key  TEXT PRIMARY KEY,
    since       BIGINT NOT NULL
);

-- The bureau's signature for having received the event; nothing on events from
-- before there were receipts.
ALTER TABLE payloads ADD COLUMN receipt TEXT;

-- Of each box the latest head always, and the first of each hour. `kept` says
-- that a newer one must not take its place.
CREATE TABLE audit_heads (
    id          INTEGER PRIMARY KEY,
    agent       TEXT NOT NULL REFERENCES agents (name),
    epoch       TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    signature   TEXT NOT NULL,
    kept        BOOLEAN NOT NULL
);
CREATE INDEX audit_heads_agent ON audit_heads (agent, epoch, seq);

-- A head that does not fit those seen before; repeated ones are counted.
CREATE TABLE audit_findings (
    agent       TEXT NOT NULL REFERENCES agents (name),
    kind        TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    held_seq    BIGINT NOT NULL,
    held_hash   TEXT NOT NULL,
    found_seq   BIGINT NOT NULL,
    found_hash  TEXT NOT NULL,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    times       BIGINT NOT NULL,
    UNIQUE (agent, kind, epoch, held_seq, held_hash)
);

CREATE TABLE documents (
    digest      TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    body        BLOB NOT NULL,
    named_at    BIGINT NOT NULL
);

-- Which documents an event names; goes with its payload.
CREATE TABLE named_documents (
    event       TEXT NOT NULL REFERENCES payloads (event) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    PRIMARY KEY (event, digest)
);
CREATE INDEX named_documents_digest ON named_documents (digest);

-- Which place in a chain an expired event leaves empty.
CREATE TABLE expirations (
    event       TEXT PRIMARY KEY REFERENCES events (id),
    agent       TEXT NOT NULL,
    epoch       TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    alert       TEXT NOT NULL,
    digest      TEXT NOT NULL
);
CREATE INDEX expirations_place ON expirations (agent, epoch, seq);

-- Who did what at the bureau.
CREATE TABLE acts (
    id          INTEGER PRIMARY KEY,
    at          BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    what        TEXT NOT NULL,
    about       TEXT NOT NULL,
    detail      TEXT NOT NULL
);
