-- The privacy policy that the bureau declared for a box, as canonical JSON
-- with its digest. Nothing in it is about a person.

CREATE TABLE policies (
    agent       TEXT PRIMARY KEY REFERENCES agents (name),
    digest      TEXT NOT NULL,
    document    TEXT NOT NULL,
    declared_at BIGINT NOT NULL
);
