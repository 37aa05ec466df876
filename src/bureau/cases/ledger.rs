//! The ledger (台账): every case, transfer and report in one list, with what is due next.
//!
//! It names nobody: numbers, states, days and sums alone.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::due::{Rules, Step, next};
use super::numbers::Number;
use super::words::{CaseState, IncomingState, Matter, ReportState, TransferState};
use super::workdays::{day_of, start_of};
use crate::bureau::store::{Case, IncomingTransfer, Report, Span, Transfer};
use crate::clock::WallTime;

/// What the store holds that touches a span of time.
#[derive(Default)]
pub struct Books {
    /// Cases.
    pub cases: Vec<Case>,
    /// Transfers to other authorities.
    pub transfers: Vec<Transfer>,
    /// Transfers that came in.
    pub incoming: Vec<IncomingTransfer>,
    /// Reports of the public.
    pub reports: Vec<Report>,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub matter: Matter,
    /// Its number: of the letter, where a transfer has one; else of its case.
    pub number: String,
    /// Where its page is.
    pub path: String,
    /// The receiver, sender or channel, as a word.
    pub party: Option<&'static str>,
    /// Its state, as a word.
    pub state: &'static str,
    /// Whether it has not ended.
    pub runs: bool,
    /// The day it began.
    pub began: Date,
    /// The sum in fen, where it has one.
    pub amount_fen: Option<i64>,
    /// What is due next.
    pub next: Option<Step>,
    /// Working days by which that is overdue; 0 if it is not.
    pub overdue: u32,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Show {
    /// What has not ended.
    #[default]
    Running,
    /// What is overdue.
    Overdue,
    /// What has ended.
    Ended,
    /// All.
    All,
}

impl Show {
    /// Every one, with its word.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Running, "running"), (Self::Overdue, "overdue"), (Self::Ended, "ended"), (Self::All, "all")];

    /// The one of a word; what has not ended, for another.
    pub fn of(word: &str) -> Self {
        Self::ALL.iter().find(|(_, w)| *w == word).map_or(Self::default(), |(show, _)| *show)
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(show, _)| *show == self).map_or("running", |(_, word)| word)
    }

    /// Whether a line is among them.
    pub const fn wants(self, entry: &Entry) -> bool {
        match self {
            Self::Running => entry.runs,
            Self::Overdue => entry.overdue > 0,
            Self::Ended => !entry.runs,
            Self::All => true,
        }
    }
}

/// A year in China.
pub fn year_of(year: i16) -> Span {
    let first = |year: i16| Date::new(year, 1, 1).map_or(WallTime::from_millis(i64::MAX), start_of);
    Span { from: first(year), to: first(year.saturating_add(1)) }
}

impl Books {
    /// When the first transfer of each case was approved.
    fn sent(&self) -> BTreeMap<Number, WallTime> {
        let mut first: BTreeMap<Number, WallTime> = BTreeMap::new();
        for transfer in self.transfers.iter().filter(|t| t.number.is_some()) {
            if let Some(at) = transfer.decided_at {
                first.entry(transfer.case).and_modify(|held| *held = at.min(*held)).or_insert(at);
            }
        }
        first
    }

    /// Each case with its steps.
    pub fn case_steps(&self, rules: &Rules) -> Vec<(&Case, Vec<Step>)> {
        let sent = self.sent();
        let steps = |case| (case, rules.case(case, sent.get(&case.number).copied()));
        self.cases.iter().map(steps).collect()
    }

    /// Each transfer to another authority with its steps.
    pub fn transfer_steps(&self, rules: &Rules) -> Vec<(&Transfer, Vec<Step>)> {
        let cases: BTreeMap<Number, &Case> = self.cases.iter().map(|c| (c.number, c)).collect();
        let steps = |t: &'_ Transfer| rules.transfer(t, cases.get(&t.case).copied());
        self.transfers.iter().map(|t| (t, steps(t))).collect()
    }

    /// Every line: what is overdue or due first stands first, what has ended last.
    pub fn entries(&self, rules: &Rules, today: Date) -> Vec<Entry> {
        let entry = |matter, number: String, path, steps: &[Step]| {
            let next = next(steps);
            let overdue = next.map_or(0, |s| rules.calendar.between(s.due.day, today));
            let (party, amount_fen) = (None, None);
            // On a day off after the due day no working day has passed, and it is too late.
            let overdue = if next.is_some_and(|s| s.late(today)) { overdue.max(1) } else { 0 };
            Entry {
                matter,
                number,
                path,
                party,
                state: "",
                runs: true,
                began: today,
                amount_fen,
                next,
                overdue,
            }
        };
        let mut all = Vec::new();
        for (case, steps) in self.case_steps(rules) {
            let runs = case.state.runs();
            let steps = if case.state == CaseState::Open { steps } else { Vec::new() };
            let line =
                entry(Matter::Case, case.number.to_string(), format!("/cases/{}", case.number), &steps);
            let (state, began) = (case.state.as_str(), day_of(case.opened_at));
            all.push(Entry { state, runs, began, amount_fen: Some(case.amount_fen), ..line });
        }
        for (transfer, steps) in self.transfer_steps(rules) {
            let number = match transfer.number {
                Some(_) => transfer.text.number.clone(),
                None => transfer.case.to_string(),
            };
            let runs = !matches!(transfer.state, TransferState::Refused | TransferState::Concluded);
            let line = entry(Matter::Transfer, number, format!("/transfers/{}", transfer.id), &steps);
            let (state, began) = (transfer.state.as_str(), day_of(transfer.proposed_at));
            let (party, amount_fen) = (Some(transfer.receiver.as_str()), Some(transfer.amount_fen));
            let amount_fen = amount_fen.filter(|_| transfer.number.is_some());
            all.push(Entry { state, runs, began, party, amount_fen, ..line });
        }
        for incoming in &self.incoming {
            let (number, steps) = (incoming.number.to_string(), rules.incoming(incoming));
            let line = entry(Matter::Incoming, number, format!("/transfers/in/{}", incoming.number), &steps);
            let (state, began) = (incoming.state.as_str(), day_of(incoming.received_at));
            let runs = incoming.state != IncomingState::Concluded;
            all.push(Entry { state, runs, began, party: Some(incoming.sender.as_str()), ..line });
        }
        for report in &self.reports {
            let (number, steps) = (report.number.to_string(), rules.report(report));
            let line = entry(Matter::Report, number, format!("/reports/{}", report.number), &steps);
            let (state, began) = (report.state.as_str(), day_of(report.received_at));
            let runs = matches!(report.state, ReportState::Registered | ReportState::TakenUp);
            all.push(Entry { state, runs, began, party: Some(report.channel.as_str()), ..line });
        }
        all.sort_by_key(|e| {
            let due = e.next.map_or(Date::MAX, |s| s.due.day);
            (!e.runs, due, std::cmp::Reverse(e.began), e.number.clone())
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::due::tests::{case, incoming, report, rules, transfer};
    use super::*;

    fn books() -> Books {
        let old = case(1, date(2026, 9, 28));
        let sent = transfer(&old, Some(date(2026, 9, 30)));
        let mut sent_case = old;
        sent_case.state = CaseState::Transferred;
        Books {
            cases: vec![case(2, date(2026, 9, 29)), sent_case],
            transfers: vec![sent],
            incoming: vec![incoming(date(2026, 10, 9))],
            reports: vec![report(date(2026, 10, 9))],
        }
    }

    #[test]
    fn what_is_overdue_comes_first_and_says_by_how_much() {
        let all = books().entries(&rules(), date(2026, 10, 16));
        let seen: Vec<_> = all.iter().map(|e| (e.matter, e.next.map(|s| s.due.day), e.overdue)).collect();
        assert_eq!(
            seen,
            [
                (Matter::Case, Some(date(2026, 10, 14)), 2),
                (Matter::Transfer, Some(date(2026, 10, 15)), 1),
                (Matter::Incoming, Some(date(2026, 10, 19)), 0),
                (Matter::Report, Some(date(2026, 10, 29)), 0),
                (Matter::Case, None, 0),
            ]
        );
        assert_eq!(all.iter().filter(|e| Show::Overdue.wants(e)).count(), 2);
        assert_eq!(all.iter().filter(|e| Show::of("nonsense").wants(e)).count(), 5);
        assert!(!all.iter().any(|e| Show::Ended.wants(e)));
        // The Saturday after the due day: late, though no working day has passed.
        let due = all[2].next.unwrap().due.day;
        assert_eq!(due.weekday(), jiff::civil::Weekday::Monday);
        let report =
            books().entries(&rules(), date(2026, 10, 31)).into_iter().find(|e| e.matter == Matter::Report);
        assert_eq!(report.unwrap().overdue, 1);
    }

    #[test]
    fn a_year_begins_in_china() {
        let span = year_of(2026);
        assert_eq!(span.from.to_string(), "2025-12-31T16:00:00.000Z");
        assert_eq!(span.to.to_string(), "2026-12-31T16:00:00.000Z");
    }
}
