//! How old what people did with alerts may become, as the purge carries it out.
//!
//! An alert that nobody decided goes by its receipt, or by when it was last opened again:
//! an appeal after half a year must not delete what it is about. A decided one goes by
//! its decision. What people did with it goes with it. What a case keeps stays until the
//! case has ended, and is not counted as old until then.

/// Alerts that nobody decided.
pub(in crate::bureau::store) const UNDECIDED: &str = "DELETE FROM payloads WHERE event IN \
     (SELECT e.id FROM events e LEFT JOIN alert_ages g ON g.id = e.id WHERE e.kind IN ('mismatch', 'absent') \
     AND COALESCE(g.since, e.received_at) < $1 AND (g.state IS NULL OR g.state <> 'decided') \
     AND e.id NOT IN (SELECT alert FROM held_alerts))";
/// Alerts that somebody decided, with their letters, proofs and history.
pub(in crate::bureau::store) const DECIDED_ALERTS: [&str; 1] = ["DELETE FROM payloads WHERE event IN \
     (SELECT id FROM alert_ages WHERE state = 'decided' AND since < $1) \
     AND event NOT IN (SELECT alert FROM held_alerts)"];
/// Declarations of proxies that are over.
pub(in crate::bureau::store) const DECLARED_PROXIES: [&str; 1] =
    ["DELETE FROM declared_proxies WHERE until <= $1"];

/// The mark of the oldest that nobody decided; a withdrawal's is its alert's.
pub(in crate::bureau::store) const OLDEST_OPEN: &str = "SELECT MIN(since) FROM (SELECT COALESCE(g.since, e.received_at) AS since FROM events e \
     LEFT JOIN alert_ages g ON g.id = e.id WHERE e.id IN (SELECT event FROM payloads) \
     AND (g.state IS NULL OR g.state <> 'decided') AND e.id NOT IN (SELECT alert FROM held_alerts) \
     AND e.id NOT IN (SELECT w.event FROM withdrawals w JOIN events x ON x.id = w.alert AND x.agent = w.agent \
     WHERE x.kind IN ('mismatch', 'absent') AND x.id IN (SELECT event FROM payloads))) AS held";
/// The mark of the oldest that somebody decided.
pub(in crate::bureau::store) const OLDEST_DECIDED: &str =
    "SELECT MIN(since) FROM alert_ages WHERE state = 'decided' AND id NOT IN (SELECT alert FROM held_alerts)";
