//! Alerts that somebody is to decide blind, among the lines of their list: open and
//! nobody's, like any other.
//!
//! Such a line stands where its seriousness and arrival put it, so a page may be a few
//! lines longer than others. Numbers beside the states count it as open too.

use super::Console;
use super::alert::cardholder;
use super::failure::Failure;
use super::visitor::Visitor;
use crate::bureau::store::{
    Assignee, QueueFilter, QueueFrom, QueueOrder, QueuePage, QueueRow, QueueState, StateCounts,
};

/// The lines of one person's blind checks, each with the mark of its cardholder.
pub(super) struct Blind(Vec<(QueueRow, String)>);

impl Blind {
    /// Those of who asks.
    pub(super) async fn of(console: &Console, visitor: &Visitor) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        for id in console.store.blind_for(visitor.account()?).await? {
            let Some(mut row) = console.store.queue_row(&id.to_string()).await? else { continue };
            let mark = row.alert.event.as_ref().and_then(cardholder).map(|c| console.store.mark(c));
            (row.state, row.decision, row.assignee) = (QueueState::Open, None, None);
            rows.push((row, mark.unwrap_or_default()));
        }
        Ok(Self(rows))
    }

    /// Puts them on a page, in the place of the decided alerts that they are.
    pub(super) fn mix(self, filter: &QueueFilter, order: QueueOrder, from: QueueFrom, page: &mut QueuePage) {
        page.rows.retain(|row| !self.0.iter().any(|(b, _)| b.alert.id == row.alert.id));
        let key = |row: &QueueRow| key(order, row.at().seriousness, row.at().arrival);
        let (top, end) = (page.rows.first().map(key), page.rows.last().map(key));
        for (row, mark) in self.0 {
            let at = key(&row);
            let above = match from {
                QueueFrom::Start => true,
                QueueFrom::After(p) => at < self::key(order, p.seriousness, p.arrival),
                QueueFrom::Before(_) => !page.has_before || top.is_none_or(|t| at <= t),
            };
            let below = match from {
                QueueFrom::Before(p) => at > self::key(order, p.seriousness, p.arrival),
                QueueFrom::Start | QueueFrom::After(_) => !page.has_after || end.is_none_or(|e| at >= e),
            };
            if above && below && fits(filter, &row, &mark) {
                let place = page.rows.partition_point(|r| key(r) > at);
                page.rows.insert(place, row);
            }
        }
    }

    /// Counts them as open.
    pub(super) fn count(&self, filter: &QueueFilter, counts: &mut StateCounts) {
        let any = QueueFilter { states: Vec::new(), ..filter.clone() };
        let n = self.0.iter().filter(|(row, mark)| fits(&any, row, mark)).count() as i64;
        counts.open += n;
        counts.decided = (counts.decided - n).max(0);
    }

    /// A line as it is to be seen.
    pub(super) fn hide(self, row: QueueRow) -> QueueRow {
        let own = self.0.into_iter().find(|(b, _)| b.alert.id == row.alert.id);
        own.map_or(row, |(hidden, _)| hidden)
    }
}

/// The place in an order: the greater stands first.
fn key(order: QueueOrder, seriousness: i64, arrival: i64) -> (i64, i64) {
    match order {
        QueueOrder::Serious => (seriousness, arrival),
        QueueOrder::Newest => (0, arrival),
    }
}

/// Whether a filter lets an open line of nobody's through.
fn fits(filter: &QueueFilter, row: &QueueRow, mark: &str) -> bool {
    let district = row.place.as_ref().map(|(_, district)| district.as_str());
    (filter.states.is_empty() || filter.states.contains(&QueueState::Open))
        && filter.hospital.as_ref().is_none_or(|h| h.as_str() == row.hospital)
        && filter.district.as_deref().is_none_or(|d| district == Some(d))
        && filter.counter.as_ref().is_none_or(|c| c.as_str() == row.counter)
        && filter.from.is_none_or(|t| row.occurred_at >= t)
        && filter.until.is_none_or(|t| row.occurred_at < t)
        && filter.bins.is_none_or(|(low, high)| (low..=high).contains(&row.score_bin))
        && filter.amount_from.is_none_or(|least| row.amount_fen >= least)
        && filter.amount_to.is_none_or(|most| row.amount_fen <= most)
        && !matches!(filter.assignee, Some(Assignee::Account(_)))
        && filter.cardholder.as_deref().is_none_or(|c| c == mark)
        && filter.arrived_after.is_none_or(|n| row.at().arrival > n)
}
