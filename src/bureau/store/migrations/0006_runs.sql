-- Each run of a purge has an id of its own: it is written down when it begins,
-- and finished when it ends. Runs from before have none.
ALTER TABLE purges ADD COLUMN run TEXT NOT NULL DEFAULT '';
