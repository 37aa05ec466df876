-- Beside what was deleted: the mark of the oldest that stays.
ALTER TABLE purges ADD COLUMN oldest_left BIGINT;
