//! `[cases]` and `[[calendar]]`: what the bureau calls itself on letters, from which
//! amounts a case is named, how long each step may take, which days are holidays.
//!
//! Promises: a period is at least one day and at most a year; a holiday table has each
//! day once, in its own year. The defaults are figures in use, not law for everybody:
//! two cities' thresholds, and the periods of the rules on transfers and reports.

use jiff::civil::{Date, Weekday};
use serde::Deserialize;

use super::workdays::Calendar;
use crate::settings::Problem;

/// `[cases]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CasesConfig {
    /// The bureau's name as it stands on letters.
    pub bureau: String,
    /// What stands before 〔year〕 in the number of a letter.
    pub letter_prefix: String,
    /// On which law or regulation a transfer rests, as letters say it.
    pub legal_basis: String,
    /// Whom a receiver may ask: office and telephone.
    pub contact: String,
    /// Amounts from which a case is named as passing them.
    pub thresholds: Vec<Threshold>,
    /// How long each step may take.
    pub deadlines: Deadlines,
}

/// `[[cases.thresholds]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// At or above so many fen.
    pub amount_fen: i64,
    /// Whose it is; without it, it is shown as one city's practice.
    #[serde(default)]
    pub name: String,
}

/// `[cases.deadlines]`: working days, save where the key says months.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// From the decision on an alert to the transfer of its case.
    pub transfer_days: u32,
    /// From a transfer: for its receiver to ask for missing material; from their
    /// asking: to hand it in. The same for transfers that come in.
    pub material_days: u32,
    /// From a transfer to its receipt, both ways.
    pub receipt_days: u32,
    /// From the receipt to the result, both ways.
    pub result_days: u32,
    /// From a report of the public to the answer whether it is taken up.
    pub report_answer_days: u32,
    /// From taking a report up to its conclusion.
    pub report_conclude_days: u32,
    /// The same for a complex one, in months.
    pub report_complex_months: u32,
    /// The same for a particularly complex one, in months.
    pub report_most_complex_months: u32,
}

/// `[[calendar]]`: the holidays of one year.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarYear {
    /// Which year.
    pub year: i16,
    /// Days on which nobody works: each `YYYY-MM-DD`, or `YYYY-MM-DD/YYYY-MM-DD` from
    /// the first to the last. Weekend days among them do no harm.
    pub holidays: Vec<String>,
    /// Saturdays and Sundays that are worked.
    pub working_days: Vec<String>,
}

impl Default for CasesConfig {
    fn default() -> Self {
        Self {
            bureau: "×医疗保障局".into(),
            letter_prefix: "×局（委）案移字".into(),
            legal_basis: "《医疗保障基金使用监督管理条例》".into(),
            contact: String::new(),
            thresholds: [500_000, 600_000]
                .map(|fen| Threshold { amount_fen: fen, name: String::new() })
                .into(),
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            transfer_days: 7,
            material_days: 3,
            receipt_days: 7,
            result_days: 30,
            report_answer_days: 15,
            report_conclude_days: 30,
            report_complex_months: 3,
            report_most_complex_months: 6,
        }
    }
}

impl Deadlines {
    fn each(&self) -> [(&'static str, u32, u32); 8] {
        [
            ("transfer_days", self.transfer_days, MOST_DAYS),
            ("material_days", self.material_days, MOST_DAYS),
            ("receipt_days", self.receipt_days, MOST_DAYS),
            ("result_days", self.result_days, MOST_DAYS),
            ("report_answer_days", self.report_answer_days, MOST_DAYS),
            ("report_conclude_days", self.report_conclude_days, MOST_DAYS),
            ("report_complex_months", self.report_complex_months, MOST_MONTHS),
            ("report_most_complex_months", self.report_most_complex_months, MOST_MONTHS),
        ]
    }
}

/// The longest period in working days: about a year.
const MOST_DAYS: u32 = 250;
const MOST_MONTHS: u32 = 12;
/// The longest text of one line on a letter, in characters.
const MOST_TEXT: usize = 200;
/// A threshold above it is a slip: 100 million yuan.
const MOST_FEN: i64 = 10_000_000_000;
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2200;

impl CasesConfig {
    /// What is wrong, by key.
    pub(in crate::bureau) fn problems(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        let texts = [
            ("bureau", &self.bureau, 1),
            ("letter_prefix", &self.letter_prefix, 1),
            ("legal_basis", &self.legal_basis, 1),
            ("contact", &self.contact, 0),
        ];
        for (key, text, least) in texts {
            let n = text.trim().chars().count();
            if !(least..=MOST_TEXT).contains(&n) || text.chars().any(char::is_control) {
                let allowed = format!("{least} to {MOST_TEXT} characters on one line");
                let advice = "It stands on every letter of a transfer (docs/cases.md).";
                let found = format!("{n} characters");
                out.push(Problem::new(&format!("cases.{key}"), found, allowed, advice));
            }
        }
        for (i, threshold) in self.thresholds.iter().enumerate() {
            if !(1..=MOST_FEN).contains(&threshold.amount_fen) {
                let key = format!("cases.thresholds[{i}].amount_fen");
                let advice = "In fen: 5,000 yuan are 500000.";
                out.push(Problem::new(&key, threshold.amount_fen, format!("1 to {MOST_FEN}"), advice));
            }
        }
        for (key, found, most) in self.deadlines.each() {
            if !(1..=most).contains(&found) {
                let key = format!("cases.deadlines.{key}");
                let advice = "Shorten it to what the rule that you go by says.";
                out.push(Problem::new(&key, found, format!("1 to {most}"), advice));
            }
        }
        out
    }
}

/// A word of a table that names no day: its key, and the word.
type Slip = (&'static str, String);

impl CalendarYear {
    /// The holidays and the worked days, or the first word that is none.
    fn days(&self) -> Result<(Vec<Date>, Vec<Date>), Slip> {
        let spans = |key, words: &[String]| {
            let mut days = Vec::new();
            for word in words {
                days.extend(span(word).filter(|d| !d.is_empty()).ok_or_else(|| (key, word.clone()))?);
            }
            Ok(days)
        };
        Ok((spans("holidays", &self.holidays)?, spans("working_days", &self.working_days)?))
    }

    fn problem(&self, i: usize, others: &[Self]) -> Option<Problem> {
        let problem = |key: &str, found: String, allowed: &str| {
            let advice = "Copy the notice of the State Council's office (docs/cases.md).";
            Some(Problem::new(&format!("calendar[{i}].{key}"), shown(&found), allowed, advice))
        };
        if !YEARS.contains(&self.year) || others.iter().any(|o| o.year == self.year) {
            return problem("year", self.year.to_string(), "2000 to 2200, each year once");
        }
        let (holidays, worked) = match self.days() {
            Ok(days) => days,
            Err((key, word)) => {
                let allowed = "days as YYYY-MM-DD, or the first and the last as YYYY-MM-DD/YYYY-MM-DD";
                return problem(key, word, allowed);
            }
        };
        for (key, days) in [("holidays", &holidays), ("working_days", &worked)] {
            if let Some(other) = days.iter().find(|d| d.year() != self.year) {
                let allowed = "days of the table's own year; a holiday over New Year stands in two tables";
                return problem(key, other.to_string(), allowed);
            }
        }
        let odd =
            |d: &&Date| !matches!(d.weekday(), Weekday::Saturday | Weekday::Sunday) || holidays.contains(*d);
        match worked.iter().find(odd) {
            Some(day) => {
                problem("working_days", day.to_string(), "Saturdays and Sundays that are no holidays")
            }
            None => None,
        }
    }
}

/// At most so much of what somebody wrote stands in a complaint.
fn shown(found: &str) -> String {
    found.chars().take(40).collect::<String>().escape_debug().to_string()
}

/// The days that a word of the table names, if it names any.
fn span(word: &str) -> Option<Vec<Date>> {
    let day = |text: &str| text.parse::<Date>().ok().filter(|d| d.to_string() == text);
    let (first, last) = match word.split_once('/') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(word)?, day(word)?),
    };
    // A year's table names no longer span; it also bounds what is read.
    let within = first.year() == last.year();
    within.then(|| first.series(jiff::Span::new().days(1)).take_while(|d| *d <= last).collect())
}

/// What is wrong with the tables, by key.
pub(in crate::bureau) fn calendar_problems(tables: &[CalendarYear]) -> Vec<Problem> {
    let one = |(i, table): (usize, &CalendarYear)| table.problem(i, tables.get(..i).unwrap_or_default());
    tables.iter().enumerate().filter_map(one).collect()
}

/// The calendar of these tables; a word that is no day is left out, and was refused
/// when the file was read.
pub fn calendar(tables: &[CalendarYear]) -> Calendar {
    let mut calendar = Calendar::default();
    for table in tables {
        let days = |words: &[String]| words.iter().filter_map(|w| span(w)).flatten().collect::<Vec<_>>();
        calendar.set(table.year, days(&table.holidays), days(&table.working_days));
    }
    calendar
}

#[cfg(test)]
pub(in crate::bureau) mod tests {
    use jiff::civil::date;

    use super::*;

    #[derive(Debug, Deserialize)]
    pub(in crate::bureau) struct Part {
        #[serde(default)]
        pub cases: CasesConfig,
        #[serde(default)]
        pub calendar: Vec<CalendarYear>,
    }

    impl Part {
        pub(in crate::bureau) fn calendar(&self) -> Calendar {
            calendar(&self.calendar)
        }
    }

    /// What the shipped example says.
    pub(in crate::bureau) fn example() -> Part {
        toml::from_str(include_str!("../../../config/bureau.example.toml")).unwrap()
    }

    fn complaints(text: &str) -> Vec<String> {
        let part: Part = toml::from_str(text).unwrap();
        let all = part.cases.problems().into_iter().chain(calendar_problems(&part.calendar));
        all.map(|p| format!("{}: {}", p.key, p.found)).collect()
    }

    #[test]
    fn the_example_has_the_announced_tables_and_the_defaults() {
        let example = example();
        assert_eq!(example.cases.deadlines, Deadlines::default());
        assert_eq!(example.cases.thresholds.len(), 2);
        assert!(example.cases.problems().is_empty() && calendar_problems(&example.calendar).is_empty());
        let calendar = example.calendar();
        assert!(calendar.knows(2025) && calendar.knows(2026));
        assert!(!calendar.works(date(2026, 10, 7)) && calendar.works(date(2026, 9, 20)));
        // The notices' own sums: 28 days in 2025, 33 in 2026, weekends among them.
        let days = |i: usize| example.calendar[i].days().unwrap();
        assert_eq!((days(0).0.len(), days(0).1.len()), (28, 5));
        assert_eq!((days(1).0.len(), days(1).1.len()), (33, 6));
    }

    #[test]
    fn what_is_no_period_threshold_or_text_is_named_by_its_key() {
        let text = "[cases]\nbureau = ' '\nletter_prefix = \"a\\nb\"\n\
                    [[cases.thresholds]]\namount_fen = 0\n\
                    [cases.deadlines]\ntransfer_days = 0\nreport_complex_months = 13\n";
        assert_eq!(
            complaints(text),
            [
                "cases.bureau: 0 characters",
                "cases.letter_prefix: 3 characters",
                "cases.thresholds[0].amount_fen: 0",
                "cases.deadlines.transfer_days: 0",
                "cases.deadlines.report_complex_months: 13",
            ]
        );
    }

    #[test]
    fn a_table_with_a_slip_is_refused() {
        let table = |year: i16, holidays: &str, worked: &str| {
            format!("[[calendar]]\nyear = {year}\nholidays = ['{holidays}']\nworking_days = ['{worked}']\n")
        };
        let good = table(2026, "2026-01-01/2026-01-03", "2026-01-04");
        assert!(complaints(&good).is_empty());
        for (year, holidays, worked, found) in [
            (1999, "1999-01-01", "1999-01-02", "calendar[0].year: 1999"),
            (2026, "2026-1-1", "2026-01-04", "calendar[0].holidays: 2026-1-1"),
            (2026, "2026-01-03/2026-01-01", "2026-01-04", "calendar[0].holidays: 2026-01-03/2026-01-01"),
            (2026, "2025-12-31", "2026-01-04", "calendar[0].holidays: 2025-12-31"),
            (2026, "2026-01-01", "2026-01-05", "calendar[0].working_days: 2026-01-05"),
            (2026, "2026-01-04", "2026-01-04", "calendar[0].working_days: 2026-01-04"),
        ] {
            assert_eq!(complaints(&table(year, holidays, worked)), [found]);
        }
        assert_eq!(complaints(&format!("{good}{good}")), ["calendar[1].year: 2026"]);
    }
}
