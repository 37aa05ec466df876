-- Orders to boxes about their commissioning: the exact text that a supervisor
-- signed, with the bureau's signature. The greatest number of a box counts.
CREATE TABLE commissions (
    agent       TEXT NOT NULL REFERENCES agents (name),
    number      BIGINT NOT NULL,
    document    TEXT NOT NULL,
    signature   TEXT NOT NULL,
    signed_at   BIGINT NOT NULL,
    PRIMARY KEY (agent, number)
);
