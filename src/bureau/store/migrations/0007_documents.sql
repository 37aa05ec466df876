-- Which box brought a document, so that none brings without end. Nothing on
-- those from before.
ALTER TABLE documents ADD COLUMN agent TEXT NOT NULL DEFAULT '';
CREATE INDEX documents_agent ON documents (agent, named_at);
