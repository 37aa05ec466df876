-- Counts by day, from what successive postures add; nothing here is about a
-- person but the last two tables. A day is the number of days since 1 January
-- 1970 in China.

-- The greatest number that was heard in each run of a box's program: what a
-- posture says beyond it is new.
CREATE TABLE box_runs (
    agent       TEXT NOT NULL REFERENCES agents (name),
    run         TEXT NOT NULL,
    last_at     BIGINT NOT NULL,
    PRIMARY KEY (agent, run)
);
CREATE TABLE count_marks (
    agent       TEXT NOT NULL,
    run         TEXT NOT NULL,
    counter     TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    n           BIGINT NOT NULL,
    PRIMARY KEY (agent, run, counter, verdict, reason)
);

CREATE TABLE day_counts (
    day         BIGINT NOT NULL,
    agent       TEXT NOT NULL,
    hospital    TEXT NOT NULL,
    counter     TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    n           BIGINT NOT NULL,
    PRIMARY KEY (day, agent, hospital, counter, verdict, reason)
);

-- Every counter that a box named, since when and when last; when its camera was
-- last seen working, if it was at the last posture.
CREATE TABLE seen_counters (
    agent       TEXT NOT NULL REFERENCES agents (name),
    hospital    TEXT NOT NULL,
    counter     TEXT NOT NULL,
    first_at    BIGINT NOT NULL,
    named_at    BIGINT NOT NULL,
    ok_at       BIGINT,
    PRIMARY KEY (agent, hospital, counter)
);
-- How long it was seen working, in milliseconds.
CREATE TABLE day_working (
    day         BIGINT NOT NULL,
    agent       TEXT NOT NULL,
    hospital    TEXT NOT NULL,
    counter     TEXT NOT NULL,
    worked_ms   BIGINT NOT NULL,
    PRIMARY KEY (day, agent, hospital, counter)
);

-- Settlement statistics that somebody imported. A file is known by its digest.
CREATE TABLE settlement_imports (
    digest      TEXT PRIMARY KEY,
    at          BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    rows_in     BIGINT NOT NULL,
    replaced    BIGINT NOT NULL
);
-- A cardholder's settlements in a month (202611), at one hospital and of one
-- medical type. The cardholder is a mark.
CREATE TABLE settlement_figures (
    month        BIGINT NOT NULL,
    cardholder   TEXT NOT NULL,
    hospital     TEXT NOT NULL,
    medical_type TEXT NOT NULL,
    settlements  BIGINT NOT NULL,
    amount_fen   BIGINT NOT NULL,
    month_ends   BIGINT NOT NULL,
    PRIMARY KEY (month, cardholder, hospital, medical_type)
);
CREATE INDEX settlement_figures_cardholder ON settlement_figures (cardholder, month);
-- Whom a mark stands for, sealed: shown to whoever asks, and that is recorded.
CREATE TABLE settlement_people (
    cardholder   TEXT PRIMARY KEY,
    sealed       BLOB NOT NULL
);
