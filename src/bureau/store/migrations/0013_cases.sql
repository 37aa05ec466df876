-- Cases, transfers both ways, reports of the public. What they say is sealed; in clear
-- stand states, times, amounts, kinds and the names of accounts.

-- The last number of each series and year; taken in the transaction that uses it.
CREATE TABLE case_numbers (
    series      TEXT NOT NULL,
    year        BIGINT NOT NULL,
    last        BIGINT NOT NULL,
    PRIMARY KEY (series, year)
);

CREATE TABLE cases (
    number      TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    -- 1 under legal hold.
    held        BIGINT NOT NULL DEFAULT 0,
    opened_at   BIGINT NOT NULL,
    opened_by   TEXT NOT NULL,
    ended_at    BIGINT,
    changed_at  BIGINT NOT NULL,
    sealed      BLOB NOT NULL
);
CREATE INDEX cases_state ON cases (state, ended_at);

-- An alert is in one case at most. What a case needs of it stays when the alert itself
-- has gone.
CREATE TABLE case_alerts (
    alert       TEXT PRIMARY KEY,
    case_number TEXT NOT NULL REFERENCES cases (number) ON DELETE CASCADE,
    joined_at   BIGINT NOT NULL,
    joined_by   TEXT NOT NULL,
    hospital    TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    amount_fen  BIGINT NOT NULL,
    finding     TEXT NOT NULL,
    decided_at  BIGINT NOT NULL
);
CREATE INDEX case_alerts_case ON case_alerts (case_number);

CREATE TABLE transfers (
    id          TEXT PRIMARY KEY,
    case_number TEXT NOT NULL REFERENCES cases (number) ON DELETE CASCADE,
    receiver    TEXT NOT NULL,
    state       TEXT NOT NULL,
    proposed_at BIGINT NOT NULL,
    proposed_by TEXT NOT NULL,
    decided_at  BIGINT,
    decided_by  TEXT,
    -- The letter's number.
    year        BIGINT,
    n           BIGINT,
    amount_fen  BIGINT NOT NULL DEFAULT 0,
    alerts      BIGINT NOT NULL DEFAULT 0,
    asked_at    BIGINT,
    supplied_at BIGINT,
    received_at BIGINT,
    concluded_at BIGINT,
    outcome     TEXT,
    sealed      BLOB NOT NULL,
    UNIQUE (year, n)
);
CREATE INDEX transfers_case ON transfers (case_number);

CREATE TABLE incoming_transfers (
    number      TEXT PRIMARY KEY,
    sender      TEXT NOT NULL,
    state       TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    registered_by TEXT NOT NULL,
    asked_at    BIGINT,
    supplied_at BIGINT,
    answered_at BIGINT,
    concluded_at BIGINT,
    outcome     TEXT,
    case_number TEXT REFERENCES cases (number) ON DELETE SET NULL,
    sealed      BLOB NOT NULL
);

CREATE TABLE reports (
    number      TEXT PRIMARY KEY,
    channel     TEXT NOT NULL,
    state       TEXT NOT NULL,
    complexity  TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    registered_by TEXT NOT NULL,
    answered_at BIGINT,
    concluded_at BIGINT,
    outcome     TEXT,
    case_number TEXT REFERENCES cases (number) ON DELETE SET NULL,
    sealed      BLOB NOT NULL
);

-- Alerts that neither a purge nor an erasure may take: a case runs, or is under legal hold.
CREATE VIEW held_alerts AS
    SELECT a.alert AS alert, c.number AS case_number, c.held AS held
    FROM case_alerts a JOIN cases c ON c.number = a.case_number
    WHERE c.held = 1 OR c.state IN ('open', 'transferred');
