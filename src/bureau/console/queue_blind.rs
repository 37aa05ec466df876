//! Alerts that somebody is to decide blind, among the lines of their list: open and
//! nobody's, like any other, in every list, page and number. Every question of the queue
//! goes through here, so that none tells.

use super::Console;
use super::failure::Failure;
use super::visitor::Visitor;
use crate::bureau::store::{
    Among, Assignee, QueueFilter, QueueFrom, QueueOrder, QueuePage, QueueRow, QueueState, StateCounts, Store,
    StoreError,
};
use crate::protocol::id::AlertId;

/// The queue as one person is to see it.
pub(super) struct Blind<'c> {
    store: &'c Store,
    /// What they are to decide blind.
    ids: Vec<AlertId>,
}

impl<'c> Blind<'c> {
    /// Of who asks.
    pub(super) async fn of(console: &'c Console, visitor: &Visitor) -> Result<Self, Failure> {
        Ok(Self { store: &console.store, ids: console.store.blind_for(visitor.account()?).await? })
    }

    /// The filter for all others, and the one for these, which are nobody's: nothing if it
    /// asks for somebody's.
    fn split(&self, filter: &QueueFilter) -> (QueueFilter, Option<QueueFilter>) {
        let others = QueueFilter { among: Among::Without(self.ids.clone()), ..filter.clone() };
        let may_fit = !self.ids.is_empty() && !matches!(filter.assignee, Some(Assignee::Account(_)));
        let these = may_fit.then(|| QueueFilter {
            states: vec![QueueState::Decided],
            assignee: None,
            among: Among::Only(self.ids.clone()),
            ..filter.clone()
        });
        (others, these)
    }

    /// A page, as [`Store::queue_page`].
    pub(super) async fn page(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        from: QueueFrom,
        length: u32,
    ) -> Result<QueuePage, StoreError> {
        let (others, these) = self.split(filter);
        let others = self.store.queue_page(&others, order, from, length).await?;
        let asks_for_open = filter.states.is_empty() || filter.states.contains(&QueueState::Open);
        match these.filter(|_| asks_for_open) {
            None => Ok(others),
            Some(these) => {
                let these = self.store.queue_page(&these, order, from, length).await?;
                Ok(together(others, these, order, from, length as usize))
            }
        }
    }

    /// The counts, as [`Store::queue_counts`].
    pub(super) async fn counts(&self, filter: &QueueFilter) -> Result<StateCounts, StoreError> {
        let (others, these) = self.split(filter);
        let mut counts = self.store.queue_counts(&others).await?;
        if let Some(these) = these {
            counts.open += self.store.queue_counts(&these).await?.decided;
        }
        Ok(counts)
    }

    /// A line as it is to be seen.
    pub(super) fn shown(&self, row: QueueRow) -> QueueRow {
        if self.ids.contains(&row.alert.id) { as_open(row) } else { row }
    }
}

fn as_open(row: QueueRow) -> QueueRow {
    QueueRow { state: QueueState::Open, decision: None, assignee: None, ..row }
}

/// Two pages from the same place as one.
fn together(
    others: QueuePage,
    these: QueuePage,
    order: QueueOrder,
    from: QueueFrom,
    length: usize,
) -> QueuePage {
    let mut rows: Vec<QueueRow> = others.rows;
    rows.extend(these.rows.into_iter().map(as_open));
    rows.sort_by_key(|row| {
        let at = row.at();
        let seriousness = if order == QueueOrder::Serious { at.seriousness } else { 0 };
        std::cmp::Reverse((seriousness, at.arrival))
    });
    let too_many = rows.len().saturating_sub(length);
    let upward = matches!(from, QueueFrom::Before(_));
    if upward {
        drop(rows.drain(..too_many))
    } else {
        rows.truncate(length)
    }
    let cut = too_many > 0;
    QueuePage {
        rows,
        has_before: others.has_before || these.has_before || (upward && cut),
        has_after: others.has_after || these.has_after || (!upward && cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::review::{Decision, Step};
    use crate::bureau::seed::tests::{FILLED_AT, filled};
    use crate::bureau::store::tests::on_both;
    use crate::bureau::store::{NewStep, StepText};
    use crate::clock::WallTime;

    async fn walked(blind: &Blind<'_>, filter: &QueueFilter, order: QueueOrder) -> Vec<(i64, QueueState)> {
        let (mut down, mut from) = (Vec::new(), QueueFrom::Start);
        loop {
            let page = blind.page(filter, order, from, 7).await.unwrap();
            assert!(page.rows.len() <= 7 && page.has_before == (from != QueueFrom::Start));
            from = page.rows.last().map_or(from, |last| QueueFrom::After(last.at()));
            down.extend(page.rows);
            if !page.has_after {
                break;
            }
        }
        let mut up: Vec<QueueRow> = Vec::new();
        let mut first = down.last().map(QueueRow::at);
        while let Some(place) = first {
            let page = blind.page(filter, order, QueueFrom::Before(place), 7).await.unwrap();
            assert!(page.rows.len() <= 7 && page.has_after);
            first = page.rows.first().map(QueueRow::at).filter(|_| page.has_before);
            up.splice(0..0, page.rows);
        }
        let told = |rows: &[QueueRow]| rows.iter().map(|r| (r.alert.arrival, r.state)).collect::<Vec<_>>();
        let (down, up) = (told(&down), told(&up));
        assert_eq!(down.split_last().map_or(&[][..], |(_, rest)| rest), up);
        down
    }

    #[tokio::test]
    async fn what_is_decided_blind_is_open_on_every_page_and_in_every_number() {
        on_both(async |store| {
            filled(&store, 60).await;
            let named = |name: &str| name.parse().unwrap();
            let (li, wu, boss) = (named("li-of-it"), named("wu-of-it"), named("boss"));
            let at = WallTime::from_millis(FILLED_AT);
            // What is open is decided by li, but for a few.
            let open = QueueFilter { states: vec![QueueState::Open], ..QueueFilter::default() };
            let order = QueueOrder::Newest;
            let page = store.queue_page(&open, order, QueueFrom::Start, 100).await.unwrap();
            let text = StepText { note: "seen".into(), ..StepText::default() };
            for row in page.rows.iter().step_by(2) {
                let step = Step::Decide(Decision::FalseAlert);
                let alert = row.alert.id;
                let seen = store.listing(alert).await.unwrap().unwrap().last_step;
                let new = NewStep { alert, seen, step, by: &li, at, assignee: None, text: &text };
                store.take_step(&new).await.unwrap().unwrap();
            }
            let everything = QueueFilter::default();
            let plain = Blind { store: &store, ids: Vec::new() };
            let before = plain.counts(&everything).await.unwrap();
            let n = store.ask_blind(&wu, &boss, 9, (WallTime::from_millis(0), at)).await.unwrap() as i64;
            assert_eq!(n, 9);
            let blind = Blind { store: &store, ids: store.blind_for(&wu).await.unwrap() };
            let seen = blind.counts(&everything).await.unwrap();
            assert_eq!((seen.open, seen.decided), (before.open + n, before.decided - n));
            for order in [QueueOrder::Serious, QueueOrder::Newest] {
                let all = walked(&blind, &everything, order).await;
                let arrivals = |rows: &[(i64, QueueState)]| rows.iter().map(|r| r.0).collect::<Vec<_>>();
                assert_eq!(arrivals(&all), arrivals(&walked(&plain, &everything, order).await));
                for (state, n) in [(QueueState::Open, seen.open), (QueueState::Decided, seen.decided)] {
                    let only = QueueFilter { states: vec![state], ..QueueFilter::default() };
                    let listed = walked(&blind, &only, order).await;
                    let expected: Vec<_> = all.iter().filter(|r| r.1 == state).copied().collect();
                    assert_eq!((listed.len() as i64, &listed), (n, &expected));
                }
            }
            // They are nobody's, and what came after a moment counts them as open.
            let nobodys = QueueFilter { assignee: Some(Assignee::Nobody), ..open.clone() };
            assert!(walked(&blind, &nobodys, order).await.len() as i64 >= n);
            let mine = QueueFilter { assignee: Some(Assignee::Account("li-of-it".into())), ..open.clone() };
            assert_eq!(
                blind.counts(&mine).await.unwrap(),
                plain
                    .counts(&QueueFilter { among: Among::Without(blind.ids.clone()), ..mine.clone() })
                    .await
                    .unwrap()
            );
            let fresh = QueueFilter { arrived_after: Some(0), ..open };
            assert_eq!(blind.counts(&fresh).await.unwrap().open, seen.open);
        })
        .await;
    }
}
