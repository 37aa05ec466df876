//! The report of a year, due on 15 January: how many cases, transfers and reports there
//! were and for how much, by kind, receiver and outcome, and how many were late.

use jiff::civil::Date;

use super::due::{Rules, Step};
use super::ledger::{Books, year_of};
use super::words::{Authority, CaseState, Channel, Finding, Outcome, ReportOutcome, ReportState};
use crate::bureau::store::{Case, Span, Transfer};
use crate::clock::WallTime;

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What is counted: the first half of a message's id.
    pub section: &'static str,
    /// Which of its kinds: the other half; `none` where it has none yet.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Their sum in fen, where they have one.
    pub amount_fen: Option<i64>,
    /// How many of them were late with a step, or are by the day of the report; nothing
    /// where that is not a question.
    pub late: Option<u64>,
}

#[derive(Default)]
struct Sum {
    count: u64,
    fen: i64,
    late: u64,
}

impl Sum {
    fn add(&mut self, fen: i64, late: bool) {
        self.count += 1;
        self.fen = self.fen.saturating_add(fen);
        self.late += u64::from(late);
    }
}

fn sum<T>(of: &[T], is: impl Fn(&T) -> bool, fen: impl Fn(&T) -> i64, late: impl Fn(&T) -> bool) -> Sum {
    let mut sum = Sum::default();
    for one in of.iter().filter(|one| is(one)) {
        sum.add(fen(one), late(one));
    }
    sum
}

/// The lines of a year, as known on `today`.
pub fn lines(
    year: i16,
    books: &Books,
    findings: &[(Finding, i64, i64)],
    rules: &Rules,
    today: Date,
) -> Vec<Line> {
    let span = year_of(year);
    let mut out = cases(books, rules, span, today);
    for finding in Finding::ALL {
        let held = findings.iter().find(|(f, ..)| f == finding);
        let (count, fen) = held.map_or((0, 0), |(_, n, fen)| (u64::try_from(*n).unwrap_or(0), *fen));
        let (section, kind) = ("finding", finding.as_str());
        out.push(Line { section, kind, count, amount_fen: Some(fen), late: None });
    }
    out.extend(transfers(books, rules, span, today));
    out.extend(incoming(books, rules, span, today));
    out.extend(reports(books, rules, span, today));
    out
}

const fn within(at: Option<WallTime>, span: Span) -> bool {
    match at {
        Some(at) => at.as_millis() >= span.from.as_millis() && at.as_millis() < span.to.as_millis(),
        None => false,
    }
}

fn late(steps: &[Step], today: Date) -> bool {
    steps.iter().any(|s| s.late(today))
}

fn cases(books: &Books, rules: &Rules, span: Span, today: Date) -> Vec<Line> {
    let all: Vec<(&Case, Vec<Step>)> =
        books.case_steps(rules).into_iter().filter(|(c, _)| within(Some(c.opened_at), span)).collect();
    let line = |state: &CaseState| {
        let sum = sum(&all, |(c, _)| c.state == *state, |(c, _)| c.amount_fen, |(_, s)| late(s, today));
        let (section, kind, late) = ("case", state.as_str(), Some(sum.late));
        Line { section, kind, count: sum.count, amount_fen: Some(sum.fen), late }
    };
    CaseState::ALL.iter().map(line).collect()
}

fn transfers(books: &Books, rules: &Rules, span: Span, today: Date) -> Vec<Line> {
    let sent = |t: &Transfer| t.number.is_some() && within(t.decided_at, span);
    let all: Vec<(&Transfer, Vec<Step>)> =
        books.transfer_steps(rules).into_iter().filter(|(t, _)| sent(t)).collect();
    let line = |section, kind, is: &dyn Fn(&Transfer) -> bool| {
        let sum = sum(&all, |(t, _)| is(t), |(t, _)| t.amount_fen, |(_, s)| late(s, today));
        Line { section, kind, count: sum.count, amount_fen: Some(sum.fen), late: Some(sum.late) }
    };
    let mut out: Vec<Line> =
        Authority::ALL.iter().map(|a| line("transfer", a.as_str(), &|t| t.receiver == *a)).collect();
    out.extend(Outcome::ALL.iter().map(|o| line("outcome", o.as_str(), &|t| t.outcome == Some(*o))));
    out.push(line("outcome", "none", &|t| t.outcome.is_none()));
    out
}

fn incoming(books: &Books, rules: &Rules, span: Span, today: Date) -> Vec<Line> {
    let all: Vec<_> = books.incoming.iter().filter(|i| within(Some(i.received_at), span)).collect();
    let line = |sender: &Authority| {
        let sum = sum(&all, |i| i.sender == *sender, |_| 0, |i| late(&rules.incoming(i), today));
        let (section, kind, late) = ("incoming", sender.as_str(), Some(sum.late));
        Line { section, kind, count: sum.count, amount_fen: None, late }
    };
    Authority::ALL.iter().map(line).collect()
}

fn reports(books: &Books, rules: &Rules, span: Span, today: Date) -> Vec<Line> {
    let all: Vec<_> = books.reports.iter().filter(|r| within(Some(r.received_at), span)).collect();
    let line = |section, kind, is: &dyn Fn(&crate::bureau::store::Report) -> bool| {
        let sum = sum(&all, |r| is(r), |_| 0, |r| late(&rules.report(r), today));
        Line { section, kind, count: sum.count, amount_fen: None, late: Some(sum.late) }
    };
    let mut out: Vec<Line> =
        Channel::ALL.iter().map(|c| line("report", c.as_str(), &|r| r.channel == *c)).collect();
    out.extend(
        ReportOutcome::ALL.iter().map(|o| line("reportoutcome", o.as_str(), &|r| r.outcome == Some(*o))),
    );
    out.push(line("reportoutcome", "not_taken_up", &|r| r.state == ReportState::NotTakenUp));
    let open = |r: &crate::bureau::store::Report| r.outcome.is_none() && r.state != ReportState::NotTakenUp;
    out.push(line("reportoutcome", "none", &open));
    out
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::due::tests::{case, incoming, report, rules, transfer};
    use super::*;

    #[test]
    fn a_year_is_counted_by_kind_receiver_and_outcome() {
        let mut sent = case(1, date(2026, 9, 28));
        sent.state = CaseState::Transferred;
        let out = transfer(&sent, Some(date(2026, 9, 30)));
        let books = Books {
            cases: vec![sent, case(2, date(2026, 9, 29)), case(3, date(2025, 12, 30))],
            transfers: vec![out],
            incoming: vec![incoming(date(2026, 10, 9))],
            reports: vec![report(date(2026, 10, 9)), report(date(2027, 1, 4))],
        };
        let findings = [(Finding::Impersonation, 3, 120_000)];
        let lines = lines(2026, &books, &findings, &rules(), date(2027, 1, 15));
        let of = |section: &str, kind: &str| {
            let line = lines.iter().find(|l| l.section == section && l.kind == kind).unwrap();
            (line.count, line.amount_fen, line.late)
        };
        assert_eq!(of("case", "open"), (1, Some(41_250), Some(1)));
        assert_eq!(of("case", "transferred"), (1, Some(41_250), Some(0)));
        assert_eq!(of("finding", "impersonation"), (3, Some(120_000), None));
        assert_eq!(of("transfer", "public_security"), (1, Some(41_250), Some(1)));
        assert_eq!(of("outcome", "none"), (1, Some(41_250), Some(1)));
        assert_eq!(of("incoming", "health_commission"), (1, None, Some(1)));
        assert_eq!(of("report", "telephone"), (1, None, Some(1)));
        assert_eq!(of("reportoutcome", "none").0, 1);
        assert_eq!(lines.iter().filter(|l| l.section == "report").map(|l| l.count).sum::<u64>(), 1);
    }
}
