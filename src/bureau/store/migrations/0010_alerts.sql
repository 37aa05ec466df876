-- The mismatches of `events` as lists need them: to be sorted, counted and
-- filtered without opening a payload. It goes with its payload. Cardholder and
-- settlement stand as keyed hashes; who the alert is about is in the payload
-- alone. Uniqueness lives in `events`, which has no partitions.
--   score_bin    the comparison score's bin, 0 to 39 (0.05 wide, from -1)
--   seriousness  0 to 2: 1 for an amount of 100,000 fen or more, 1 for another
--                alert of the cardholder that was held when it came
--   state        open, decided, withdrawn
--   decision     of a decided one: false_alert, undeclared_proxy, impersonation,
--                not_established
CREATE TABLE alerts (
    id           TEXT NOT NULL REFERENCES payloads (event) ON DELETE CASCADE,
    arrival      BIGINT NOT NULL,
    agent        TEXT NOT NULL,
    hospital     TEXT NOT NULL,
    counter      TEXT NOT NULL,
    cardholder   TEXT NOT NULL,
    settlement   TEXT NOT NULL,
    occurred_at  BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    amount_fen   BIGINT NOT NULL,
    medical_type TEXT NOT NULL,
    score_bin    BIGINT NOT NULL,
    seriousness  BIGINT NOT NULL,
    model        TEXT NOT NULL,
    calibration  TEXT NOT NULL,
    state        TEXT NOT NULL DEFAULT 'open',
    decision     TEXT,
    decided_at   BIGINT,
    assignee     TEXT,
    changed_at   BIGINT NOT NULL,
    PRIMARY KEY (arrival, received_at)
) /* PostgreSQL: PARTITION BY RANGE (received_at) */;
CREATE INDEX alerts_id ON alerts (id);
CREATE INDEX alerts_serious ON alerts (seriousness DESC, arrival DESC);
CREATE INDEX alerts_state ON alerts (state, seriousness DESC, arrival DESC);
CREATE INDEX alerts_hospital ON alerts (hospital, state, seriousness DESC, arrival DESC);
CREATE INDEX alerts_cardholder ON alerts (cardholder, arrival DESC);
CREATE INDEX alerts_settlement ON alerts (settlement);
CREATE INDEX alerts_agent ON alerts (agent, arrival DESC);

-- What hospitals are called, and where they are.
CREATE TABLE hospitals (
    code         TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    district     TEXT NOT NULL
);
CREATE INDEX hospitals_district ON hospitals (district);
