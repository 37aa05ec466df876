//! What of a case, a transfer or a report is due when.
//!
//! Each function lists the steps of one matter in their order: what must be done, by
//! which day, and on which day it was. A step appears once what it counts from has
//! happened.

use jiff::civil::Date;

use super::config::Deadlines;
use super::words::{Complexity, Duty, ReportState, TransferState};
use super::workdays::{Calendar, Due, day_of};
use crate::bureau::store::{Case, IncomingTransfer, Report, Transfer};
use crate::clock::WallTime;

/// By what is counted.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// Which days are worked.
    pub calendar: Calendar,
}

/// One step of a matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What must be done.
    pub duty: Duty,
    /// By when.
    pub due: Due,
    /// When it was done.
    pub done: Option<Date>,
}

impl Step {
    /// Whether it was done too late, or is not done and too late today.
    pub fn late(&self, today: Date) -> bool {
        self.done.unwrap_or(today) > self.due.day
    }
}

impl Rules {
    fn days(&self, from: WallTime, days: u32) -> Due {
        self.calendar.after(day_of(from), days)
    }

    /// Of a case; `sent` is when its first transfer was approved.
    pub fn case(&self, case: &Case, sent: Option<WallTime>) -> Vec<Step> {
        let from = case.decided_at.unwrap_or(case.opened_at);
        let due = self.days(from, self.deadlines.transfer_days);
        vec![Step { duty: Duty::Transfer, due, done: sent.or(case.ended_at).map(day_of) }]
    }

    /// Of a transfer to another authority; `case` is its case, if that is at hand.
    pub fn transfer(&self, transfer: &Transfer, case: Option<&Case>) -> Vec<Step> {
        let mut steps = Vec::new();
        let decided = transfer.decided_at;
        if transfer.state == TransferState::Refused {
            return steps;
        }
        if let Some(from) = case.map(|c| c.decided_at.unwrap_or(c.opened_at)) {
            let due = self.days(from, self.deadlines.transfer_days);
            steps.push(Step { duty: Duty::Approve, due, done: decided.map(day_of) });
        }
        let Some(sent) = decided else { return steps };
        if let Some(asked) = transfer.asked_at {
            let done = transfer.supplied_at.or(transfer.concluded_at).map(day_of);
            steps.push(Step {
                duty: Duty::Supply,
                due: self.days(asked, self.deadlines.material_days),
                done,
            });
        }
        let done = transfer.received_at.or(transfer.concluded_at).map(day_of);
        steps.push(Step { duty: Duty::Receipt, due: self.days(sent, self.deadlines.receipt_days), done });
        if let Some(received) = transfer.received_at {
            let due = self.days(received, self.deadlines.result_days);
            steps.push(Step { duty: Duty::Result, due, done: transfer.concluded_at.map(day_of) });
        }
        steps
    }

    /// Until when the receiver of something may ask for missing material.
    pub fn may_ask(&self, received: WallTime) -> Due {
        self.days(received, self.deadlines.material_days)
    }

    /// Of a transfer that came in.
    pub fn incoming(&self, incoming: &IncomingTransfer) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(asked) = incoming.asked_at {
            let done = incoming.supplied_at.or(incoming.answered_at).map(day_of);
            let due = self.days(asked, self.deadlines.material_days);
            steps.push(Step { duty: Duty::AwaitMaterial, due, done });
        }
        let due = self.days(incoming.received_at, self.deadlines.receipt_days);
        steps.push(Step { duty: Duty::SendReceipt, due, done: incoming.answered_at.map(day_of) });
        if let Some(answered) = incoming.answered_at {
            let due = self.days(answered, self.deadlines.result_days);
            steps.push(Step { duty: Duty::SendResult, due, done: incoming.concluded_at.map(day_of) });
        }
        steps
    }

    /// Of a report of the public.
    pub fn report(&self, report: &Report) -> Vec<Step> {
        let due = self.days(report.received_at, self.deadlines.report_answer_days);
        let answer = Step { duty: Duty::AnswerReport, due, done: report.answered_at.map(day_of) };
        let Some(taken_up) = report.answered_at.filter(|_| report.state != ReportState::NotTakenUp) else {
            return vec![answer];
        };
        let months = |months| self.calendar.months_after(day_of(taken_up), months);
        let due = match report.complexity {
            Complexity::Ordinary => self.days(taken_up, self.deadlines.report_conclude_days),
            Complexity::Complex => months(self.deadlines.report_complex_months),
            Complexity::MostComplex => months(self.deadlines.report_most_complex_months),
        };
        let done = report.concluded_at.map(day_of);
        vec![answer, Step { duty: Duty::ConcludeReport, due, done }]
    }
}

/// The step that is due next: of those not done, the one due first.
pub fn next(steps: &[Step]) -> Option<Step> {
    steps.iter().filter(|s| s.done.is_none()).min_by_key(|s| s.due.day).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::bureau::cases::numbers::{Number, Series};
    use crate::bureau::cases::texts::{CaseText, IncomingText, LetterText, ReportText};
    use crate::bureau::cases::words::{Authority, CaseState, Channel, IncomingState};
    use crate::bureau::cases::workdays::start_of;
    use crate::bureau::cases::workdays::tests::announced;

    pub(in crate::bureau::cases) fn rules() -> Rules {
        Rules { deadlines: Deadlines::default(), calendar: announced() }
    }

    fn at(day: Date) -> WallTime {
        WallTime::from_millis(start_of(day).as_millis() + 9 * 3_600_000)
    }

    pub(in crate::bureau::cases) fn case(n: u32, decided: Date) -> Case {
        Case {
            number: Number { series: Series::Case, year: decided.year(), n },
            state: CaseState::Open,
            held: false,
            opened_at: at(decided),
            opened_by: "li".into(),
            ended_at: None,
            confirmed: 1,
            alerts: 1,
            amount_fen: 41_250,
            decided_at: Some(at(decided)),
            text: CaseText::default(),
        }
    }

    pub(in crate::bureau::cases) fn transfer(case: &Case, sent: Option<Date>) -> Transfer {
        Transfer {
            id: "00000000-0000-7000-8000-000000000001".parse().unwrap(),
            case: case.number,
            receiver: Authority::PublicSecurity,
            state: if sent.is_some() { TransferState::Sent } else { TransferState::Proposed },
            proposed_at: case.opened_at,
            proposed_by: "li".into(),
            decided_at: sent.map(at),
            decided_by: sent.map(|_| "wu".into()),
            number: sent.map(|d| Number { series: Series::Letter, year: d.year(), n: 1 }),
            amount_fen: case.amount_fen,
            alerts: case.confirmed,
            asked_at: None,
            supplied_at: None,
            received_at: None,
            concluded_at: None,
            outcome: None,
            text: LetterText::default(),
        }
    }

    pub(in crate::bureau::cases) fn report(received: Date) -> Report {
        Report {
            number: Number { series: Series::Report, year: received.year(), n: 1 },
            channel: Channel::Telephone,
            state: ReportState::Registered,
            complexity: Complexity::Ordinary,
            received_at: at(received),
            registered_by: "li".into(),
            answered_at: None,
            concluded_at: None,
            outcome: None,
            case: None,
            text: ReportText::default(),
        }
    }

    pub(in crate::bureau::cases) fn incoming(received: Date) -> IncomingTransfer {
        IncomingTransfer {
            number: Number { series: Series::Incoming, year: received.year(), n: 1 },
            sender: Authority::HealthCommission,
            state: IncomingState::Registered,
            received_at: at(received),
            registered_by: "li".into(),
            asked_at: None,
            supplied_at: None,
            answered_at: None,
            concluded_at: None,
            outcome: None,
            case: None,
            text: IncomingText::default(),
        }
    }

    fn days(steps: &[Step]) -> Vec<(Duty, Date, Option<Date>)> {
        steps.iter().map(|s| (s.duty, s.due.day, s.done)).collect()
    }

    #[test]
    fn a_case_is_to_be_transferred_seven_working_days_after_the_first_decision() {
        let case = case(1, date(2026, 9, 28));
        let steps = rules().case(&case, None);
        assert_eq!(days(&steps), [(Duty::Transfer, date(2026, 10, 13), None)]);
        assert!(!steps[0].late(date(2026, 10, 13)) && steps[0].late(date(2026, 10, 14)));
        let done = rules().case(&case, Some(at(date(2026, 10, 14))));
        assert!(done[0].late(date(2026, 10, 14)) && next(&done).is_none());
    }

    #[test]
    fn a_transfer_waits_for_approval_material_receipt_and_result() {
        let case = case(1, date(2026, 9, 28));
        let mut transfer = transfer(&case, None);
        let due = date(2026, 10, 13);
        assert_eq!(days(&rules().transfer(&transfer, Some(&case))), [(Duty::Approve, due, None)]);
        transfer = super::tests::transfer(&case, Some(date(2026, 9, 30)));
        transfer.asked_at = Some(at(date(2026, 10, 8)));
        let steps = rules().transfer(&transfer, Some(&case));
        assert_eq!(
            days(&steps)[1..],
            [(Duty::Supply, date(2026, 10, 12), None), (Duty::Receipt, date(2026, 10, 15), None)]
        );
        assert_eq!(next(&steps).unwrap().duty, Duty::Supply);
        assert_eq!(rules().may_ask(at(date(2026, 9, 30))).day, date(2026, 10, 10));
        transfer.supplied_at = Some(at(date(2026, 10, 9)));
        transfer.received_at = Some(at(date(2026, 10, 9)));
        let steps = rules().transfer(&transfer, Some(&case));
        assert_eq!(next(&steps).map(|s| (s.duty, s.due.day)), Some((Duty::Result, date(2026, 11, 19))));
        transfer.state = TransferState::Refused;
        assert!(rules().transfer(&transfer, Some(&case)).is_empty());
    }

    #[test]
    fn a_report_is_answered_and_concluded_and_extended_by_months() {
        let mut report = report(date(2026, 2, 11));
        let steps = rules().report(&report);
        assert_eq!(days(&steps), [(Duty::AnswerReport, date(2026, 3, 10), None)]);
        report.state = ReportState::TakenUp;
        report.answered_at = Some(at(date(2026, 3, 2)));
        for (complexity, due) in [
            (Complexity::Ordinary, date(2026, 4, 14)),
            (Complexity::Complex, date(2026, 6, 2)),
            (Complexity::MostComplex, date(2026, 9, 2)),
        ] {
            report.complexity = complexity;
            assert_eq!(next(&rules().report(&report)).unwrap().due.day, due, "{complexity}");
        }
        report.state = ReportState::NotTakenUp;
        assert!(next(&rules().report(&report)).is_none());
    }

    #[test]
    fn what_came_in_is_answered_with_a_receipt_and_a_result() {
        let mut incoming = incoming(date(2026, 11, 20));
        assert_eq!(days(&rules().incoming(&incoming)), [(Duty::SendReceipt, date(2026, 12, 1), None)]);
        incoming.asked_at = Some(at(date(2026, 11, 23)));
        assert_eq!(next(&rules().incoming(&incoming)).unwrap().duty, Duty::AwaitMaterial);
        incoming.answered_at = Some(at(date(2026, 11, 24)));
        let result = next(&rules().incoming(&incoming)).unwrap();
        assert_eq!((result.duty, result.due.by_table), (Duty::SendResult, false));
    }
}
