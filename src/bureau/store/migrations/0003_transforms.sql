-- Which transform each box's references are under. The key is derived from the
-- root key, the box's name, the version and the issue; nothing of it is kept.
-- The issue is an id of its own (UUIDv7), so that a version which a restored
-- backup counts again is another key. Boxes from before have version 1 and no
-- issue.

ALTER TABLE agents ADD COLUMN transform_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE agents ADD COLUMN transform_issue TEXT NOT NULL DEFAULT '';
