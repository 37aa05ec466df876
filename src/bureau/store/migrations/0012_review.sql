-- What people do with alerts. All of it goes with the alert's payload, but for
-- declarations of proxies, which have an end of their own.

-- Who did what with an alert, one row after the other; a row is never changed. What
-- was said (notes, reasons, an appeal's words) is sealed.
CREATE TABLE review_steps (
    id          TEXT PRIMARY KEY,
    alert       TEXT NOT NULL REFERENCES payloads (event) ON DELETE CASCADE,
    -- 1, 2, 3, … within the alert: who decides says which one they saw last.
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    by_whom     TEXT NOT NULL,
    -- assigned, decided, reopened, appealed
    step        TEXT NOT NULL,
    decision    TEXT,
    assignee    TEXT,
    sealed      BLOB NOT NULL,
    UNIQUE (alert, number)
);

-- Of those the decisions: who may not be the second person is known by them.
CREATE VIEW decisions AS
    SELECT id, alert, at, by_whom, decision FROM review_steps WHERE step = 'decided';

-- From when an alert's limit runs: its decision, else its last reopening, else its receipt.
CREATE VIEW alert_ages AS
    SELECT a.id AS id, a.state AS state,
           CASE WHEN a.state = 'decided' THEN a.decided_at
                ELSE COALESCE((SELECT MAX(r.at) FROM review_steps r WHERE r.alert = a.id
                               AND r.step IN ('reopened', 'appealed')), a.received_at) END AS since
    FROM alerts a;

-- What is asked of whom. To whom, what for and what came back is sealed.
CREATE TABLE letters (
    id          TEXT PRIMARY KEY,
    alert       TEXT NOT NULL REFERENCES payloads (event) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    drafted_at  BIGINT NOT NULL,
    drafted_by  TEXT NOT NULL,
    due_at      BIGINT NOT NULL,
    sent_at     BIGINT,
    ended_at    BIGINT,
    changed_at  BIGINT NOT NULL,
    sealed      BLOB NOT NULL
);
CREATE INDEX letters_alert ON letters (alert);
CREATE INDEX letters_due ON letters (state, due_at);

-- Who acts for whom, both as marks; the numbers, the relation and both consents are sealed.
CREATE TABLE declared_proxies (
    id          TEXT PRIMARY KEY,
    cardholder  TEXT NOT NULL,
    proxy       TEXT NOT NULL,
    declared_at BIGINT NOT NULL,
    declared_by TEXT NOT NULL,
    -- From this moment on it is over.
    until       BIGINT NOT NULL,
    sealed      BLOB NOT NULL
);
CREATE INDEX declared_proxies_cardholder ON declared_proxies (cardholder, until);
CREATE INDEX declared_proxies_proxy ON declared_proxies (proxy);

-- Decided alerts that somebody else decides once more without knowing of it.
CREATE TABLE blind_checks (
    id          TEXT PRIMARY KEY,
    alert       TEXT NOT NULL REFERENCES payloads (event) ON DELETE CASCADE,
    asked_at    BIGINT NOT NULL,
    asked_by    TEXT NOT NULL,
    reviewer    TEXT NOT NULL,
    -- waiting, answered, void
    state       TEXT NOT NULL,
    first       TEXT NOT NULL,
    second      TEXT,
    ended_at    BIGINT,
    sealed      BLOB,
    UNIQUE (alert, reviewer)
);
CREATE INDEX blind_checks_reviewer ON blind_checks (reviewer, state);
