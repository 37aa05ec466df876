-- One index answers every page of the queue: for a state and a seriousness the
-- alerts by arrival, with all that the list is filtered by beside, so that an alert
-- that is filtered out is passed over without being read.
DROP INDEX alerts_serious;
DROP INDEX alerts_state;
CREATE INDEX alerts_queue ON alerts
    (state, seriousness, arrival DESC, occurred_at, hospital, counter, amount_fen, score_bin, assignee);
-- What has changed since a moment: asked once a second while somebody watches.
CREATE INDEX alerts_changed ON alerts (changed_at);
