//! The queue's statement: constant words, and values that are bound.

use super::{Among, Assignee, QueueFilter, QueueFrom, QueueOrder, QueueState};
use crate::bureau::review::Claim;
use crate::clock::WallTime;
use crate::protocol::id::AlertId;

/// A value of a statement that is put together here.
pub(super) enum Value {
    Number(i64),
    Text(String),
}

/// A statement that is put together: constant words, and values that are bound.
#[derive(Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Statement {
    pub(super) fn put(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    fn value(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        self.sql.push_str(&format!("${}", self.values.len()));
        self
    }

    pub(super) fn number(&mut self, n: i64) -> &mut Self {
        self.value(Value::Number(n))
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.value(Value::Text(text.to_owned()))
    }

    fn list<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> &mut Self {
        self.put("(");
        for (i, text) in texts.enumerate() {
            self.put(if i > 0 { ", " } else { "" }).text(text);
        }
        self.put(")")
    }

    fn ids(&mut self, ids: &[AlertId]) -> &mut Self {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.list(texts.iter().map(String::as_str))
    }

    /// What finds the few alerts that a filter names.
    pub(super) fn few(&mut self, filter: &QueueFilter) -> &mut Self {
        match &filter.among {
            Among::Only(ids) => self.put("id IN ").ids(ids),
            Among::All | Among::Without(_) => self.put("1 = 1"),
        };
        match &filter.cardholder {
            Some(mark) => self.put(" AND cardholder = ").text(mark),
            None => self,
        }
    }

    /// The conditions of a filter, but for states and what [`Self::few`] puts, each begun
    /// with AND.
    pub(super) fn filter(&mut self, filter: &QueueFilter) -> &mut Self {
        if let Among::Without(ids) = &filter.among
            && !ids.is_empty()
        {
            self.put(" AND id NOT IN ").ids(ids);
        }
        if let Some(hospital) = &filter.hospital {
            self.put(" AND hospital = ").text(hospital.as_str());
        }
        if let Some(district) = &filter.district {
            self.put(" AND hospital IN (SELECT code FROM hospitals WHERE district = ")
                .text(district)
                .put(")");
        }
        if let Some(counter) = &filter.counter {
            self.put(" AND counter = ").text(counter.as_str());
        }
        match filter.claim {
            Some(Claim::Mismatch) => self.put(" AND score_bin >= 0"),
            Some(Claim::Absent) => self.put(" AND score_bin < 0"),
            None => self,
        };
        let (low, high) = filter.bins.unzip();
        for (condition, value) in [
            (" AND occurred_at >= ", filter.from.map(WallTime::as_millis)),
            (" AND occurred_at < ", filter.until.map(WallTime::as_millis)),
            (" AND score_bin >= ", low),
            (" AND score_bin <= ", high),
            (" AND amount_fen >= ", filter.amount_from),
            (" AND amount_fen <= ", filter.amount_to),
            (" AND arrival > ", filter.arrived_after),
        ] {
            if let Some(n) = value {
                self.put(condition).number(n);
            }
        }
        match &filter.assignee {
            Some(Assignee::Nobody) => self.put(" AND assignee IS NULL"),
            Some(Assignee::Account(name)) => self.put(" AND assignee = ").text(name),
            None => self,
        }
    }
}

/// The greatest seriousness.
const MOST_SERIOUS: i64 = 2;
/// What a line is made of, from the alerts that follow as `q`; then come [`NAMES`].
pub(super) const LINES: &str = "SELECT q.*, CAST(NULL AS BIGINT) AS withdrawn_at, e.chain, p.sealed, p.signature, \
                                h.name AS hospital_name, h.district, a.display FROM ";
/// Where the rest of a line stands: chain, payload, the names of hospital and assignee.
pub(super) const NAMES: &str = " JOIN events e ON e.id = q.id JOIN payloads p ON p.event = q.id \
                                LEFT JOIN hospitals h ON h.code = q.hospital \
                                LEFT JOIN accounts a ON a.name = q.assignee";
const COLUMNS: &str = "id, arrival, agent, hospital, counter, occurred_at, received_at, amount_fen, medical_type, \
                       score_bin, seriousness, state, decision, assignee";

/// What a page asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'f> {
    pub(super) filter: &'f QueueFilter,
    pub(super) order: QueueOrder,
    pub(super) from: QueueFrom,
    pub(super) limit: i64,
}

impl Asked<'_> {
    pub(super) const fn upward(&self) -> bool {
        matches!(self.from, QueueFrom::Before(_))
    }

    /// How a page is put in order.
    const fn ordered(&self, upward: bool) -> &'static str {
        match (self.order, upward) {
            (QueueOrder::Serious, false) => " ORDER BY seriousness DESC, arrival DESC",
            (QueueOrder::Serious, true) => " ORDER BY seriousness, arrival",
            (QueueOrder::Newest, false) => " ORDER BY arrival DESC",
            (QueueOrder::Newest, true) => " ORDER BY arrival",
        }
    }

    /// From which arrival on the alerts of one seriousness may stand on the page, as a
    /// condition with its number; `None` if none of them can.
    fn bound(&self, seriousness: i64) -> Option<Option<(&'static str, i64)>> {
        let (place, condition, further) = match self.from {
            QueueFrom::Start => return Some(None),
            QueueFrom::After(p) => (p, " AND arrival < ", seriousness < p.seriousness),
            QueueFrom::Before(p) => (p, " AND arrival > ", seriousness > p.seriousness),
        };
        if self.order == QueueOrder::Newest || seriousness == place.seriousness {
            return Some(Some((condition, place.arrival)));
        }
        further.then_some(None)
    }

    /// The few alerts of which the page is made: of each state and seriousness a page's
    /// length.
    fn cells(&self, s: &mut Statement) {
        let states = states(self.filter);
        let by_arrival =
            if self.upward() { " ORDER BY arrival LIMIT " } else { " ORDER BY arrival DESC LIMIT " };
        let mut number = 0;
        for state in states {
            for seriousness in 0..=MOST_SERIOUS {
                let Some(bound) = self.bound(seriousness) else { continue };
                if number > 0 {
                    s.put(" UNION ALL ");
                }
                s.put(&format!("SELECT * FROM (SELECT {COLUMNS} FROM alerts WHERE state = "));
                s.text(state.as_str()).put(" AND seriousness = ").number(seriousness);
                if let Some((condition, arrival)) = bound {
                    s.put(condition).number(arrival);
                }
                s.filter(self.filter).put(by_arrival).number(self.limit);
                s.put(&format!(") AS c{number}"));
                number += 1;
            }
        }
    }

    /// The alerts that are found by their cardholder's mark or by their ids: few.
    fn few(&self, s: &mut Statement) {
        s.put(&format!("SELECT {COLUMNS} FROM alerts WHERE ")).few(self.filter);
        // Said so that no index of states is taken instead of the mark's or the ids'.
        s.put(" AND state || '' IN ").list(states(self.filter).into_iter().map(QueueState::as_str));
        s.filter(self.filter);
        let (place, after) = match self.from {
            QueueFrom::Start => return,
            QueueFrom::After(p) => (p, "<"),
            QueueFrom::Before(p) => (p, ">"),
        };
        match self.order {
            QueueOrder::Newest => s.put(&format!(" AND arrival {after} ")).number(place.arrival),
            QueueOrder::Serious => s
                .put(&format!(" AND (seriousness, arrival) {after} ("))
                .number(place.seriousness)
                .put(", ")
                .number(place.arrival)
                .put(")"),
        };
    }

    pub(super) fn statement(&self) -> Statement {
        let mut s = Statement::default();
        s.put(LINES).put("(SELECT * FROM (");
        if self.filter.names_few() {
            self.few(&mut s)
        } else {
            self.cells(&mut s)
        }
        s.put(") AS u").put(self.ordered(self.upward())).put(" LIMIT ").number(self.limit);
        s.put(") AS q").put(NAMES);
        s.put(&self.ordered(false).replace("seriousness", "q.seriousness").replace("arrival", "q.arrival"));
        s
    }
}

/// The states that a filter asks for.
pub(super) fn states(filter: &QueueFilter) -> Vec<QueueState> {
    if filter.states.is_empty() { QueueState::ALL.to_vec() } else { filter.states.clone() }
}
