-- How boxes join, what is handed to them, which version they are to run, and the
-- requests that people make about their own data.

-- One-time codes: the SHA-256 of the secret alone. `replaces` says whether the box
-- is on record already and gets new keys; its old ones end `overlap_ms` after.
CREATE TABLE join_codes (
    secret      TEXT PRIMARY KEY,
    agent       TEXT NOT NULL,
    hospital    TEXT NOT NULL,
    replaces    BIGINT NOT NULL,
    overlap_ms  BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    made_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    public_key  TEXT,
    certificate TEXT,
    certificate_until BIGINT
);
CREATE INDEX join_codes_agent ON join_codes (agent, made_at);

-- Documents for boxes, by digest, and the signed word that a box is to have one.
CREATE TABLE handout_files (
    digest      TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    body        BLOB NOT NULL,
    added_at    BIGINT NOT NULL
);

CREATE TABLE handouts (
    agent       TEXT NOT NULL REFERENCES agents (name),
    number      BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    digest      TEXT NOT NULL REFERENCES handout_files (digest),
    document    TEXT NOT NULL,
    signature   TEXT NOT NULL,
    by_whom     TEXT NOT NULL,
    at          BIGINT NOT NULL,
    arrived_at  BIGINT,
    PRIMARY KEY (agent, number)
);
CREATE INDEX handouts_digest ON handouts (digest);

-- A version and the hospitals that get it, stage after stage. A stage tells its
-- boxes of the version while it is begun and not stopped.
CREATE TABLE rollouts (
    number      INTEGER PRIMARY KEY,
    version     TEXT NOT NULL,
    package     TEXT NOT NULL,
    by_whom     TEXT NOT NULL,
    made_at     BIGINT NOT NULL
);

CREATE TABLE rollout_stages (
    rollout     BIGINT NOT NULL,
    stage       BIGINT NOT NULL,
    begun_at    BIGINT,
    stopped_at  BIGINT,
    PRIMARY KEY (rollout, stage)
);

CREATE TABLE rollout_hospitals (
    rollout     BIGINT NOT NULL,
    stage       BIGINT NOT NULL,
    hospital    TEXT NOT NULL,
    PRIMARY KEY (rollout, hospital)
);

-- What somebody asked for about their own data. The cardholder is found by the
-- mark; the number, what was asked and what came of it are sealed.
CREATE TABLE rights_requests (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    mark        TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    state       TEXT NOT NULL,
    ended_at    BIGINT,
    ended_by    TEXT,
    sealed      BLOB NOT NULL
);
CREATE INDEX rights_requests_mark ON rights_requests (mark);
CREATE INDEX rights_requests_open ON rights_requests (state, due_at);

-- That something was erased: counts, digests and times, signed. No number.
CREATE TABLE erasures (
    id          TEXT PRIMARY KEY,
    request     TEXT NOT NULL,
    mark        TEXT NOT NULL,
    at          BIGINT NOT NULL,
    document    TEXT NOT NULL,
    signature   TEXT NOT NULL
);
CREATE INDEX erasures_request ON erasures (request);
