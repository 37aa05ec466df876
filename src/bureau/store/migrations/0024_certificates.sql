-- Certificates of enrolled people, as HMAC-SHA256 of type and number: a proxy whom a
-- hospital's registration names by a certificate is known by it.
CREATE TABLE certificates (
    mark        TEXT PRIMARY KEY,
    cardholder  TEXT NOT NULL,
    added_at    BIGINT NOT NULL
);
CREATE INDEX certificates_cardholder ON certificates (cardholder);
