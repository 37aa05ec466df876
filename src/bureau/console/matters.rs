//! What the pages of cases, transfers and reports share: how fields are read, how days
//! and deadlines are shown, what a refusal is told as.

use axum::response::{IntoResponse, Redirect, Response};
use jiff::civil::Date;

use super::Console;
use super::failure::Failure;
use super::shown::moment;
use super::visitor::Visitor;
use super::words::Words;
use crate::bureau::cases::due::{Rules, Step};
use crate::bureau::cases::numbers::{Number, Series};
use crate::bureau::cases::texts::{MOST_LINE, MOST_TEXT};
use crate::bureau::cases::workdays::{Due, day_of, start_of};
use crate::bureau::store::{Act, Actor, CaseError, CaseRefusal};
use crate::clock::WallTime;

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        let why = match error {
            CaseError::Store(e) => return e.into(),
            CaseError::Refused(why) => why,
        };
        Self::conflict(match why {
            CaseRefusal::Unknown => return Self::not_found(),
            CaseRefusal::State => "refused-state",
            CaseRefusal::NotConfirmed => "refused-not-confirmed",
            CaseRefusal::ElsewhereAlready => "refused-elsewhere",
            CaseRefusal::NoOrigin => "refused-no-origin",
            CaseRefusal::Proposer => "refused-proposer",
            CaseRefusal::Decider => "refused-decider",
            CaseRefusal::NotSupervisor => "refused-not-supervisor",
            CaseRefusal::Pending => "refused-pending",
        })
    }
}

impl Console {
    /// Today in China.
    pub(super) fn today(&self) -> Date {
        day_of(self.clock.now().wall)
    }

    /// Who does something now.
    pub(super) fn by<'v>(&self, visitor: &'v Visitor) -> Result<Actor<'v>, Failure> {
        Ok(Actor { who: visitor.account()?.as_str(), at: self.clock.now().wall })
    }

    /// What was done about a case, a transfer that came in or a report, oldest first;
    /// who looked at it stands in the record of acts alone.
    pub(super) async fn history(&self, about: &str, words: &Words) -> Result<Vec<Done>, Failure> {
        let acts = self.store.done_about(about).await?;
        Ok(acts.into_iter().map(|act| Done::new(act, words)).collect())
    }
}

/// One line of a history.
pub(super) struct Done {
    pub(super) at: String,
    pub(super) by: String,
    pub(super) what: String,
}

impl Done {
    fn new(act: Act, words: &Words) -> Self {
        let what = words.word("act", &act.what.replace(' ', "_"));
        Self { at: moment(act.at), by: act.by, what }
    }
}

/// A field of several lines that must be filled.
pub(super) fn text(raw: &str) -> Result<String, Failure> {
    let text = raw.trim().replace("\r\n", "\n");
    let fits = (1..=MOST_TEXT).contains(&text.chars().count());
    let plain = !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if fits && plain { Ok(text) } else { Err(Failure::bad("matters-bad-text")) }
}

/// The same, or nothing.
pub(super) fn maybe_text(raw: &str) -> Result<String, Failure> {
    if raw.trim().is_empty() { Ok(String::new()) } else { text(raw) }
}

/// A field of one line that must be filled.
pub(super) fn line(raw: &str) -> Result<String, Failure> {
    let line = raw.trim();
    let fits = (1..=MOST_LINE).contains(&line.chars().count()) && !line.chars().any(char::is_control);
    if fits { Ok(line.to_owned()) } else { Err(Failure::bad("matters-bad-line")) }
}

/// The same, or nothing.
pub(super) fn maybe_line(raw: &str) -> Result<String, Failure> {
    if raw.trim().is_empty() { Ok(String::new()) } else { line(raw) }
}

/// A day in China, no earlier than one moment and no later than another; of today, the
/// moment itself.
pub(super) fn day(raw: &str, earliest: WallTime, now: WallTime) -> Result<WallTime, Failure> {
    let day = raw.trim().parse::<Date>().ok().filter(|d| d.to_string() == raw.trim());
    let bad = || {
        Failure::bad("matters-bad-day")
            .with("from", day_of(earliest).to_string())
            .with("to", day_of(now).to_string())
    };
    let day = day.filter(|d| (day_of(earliest)..=day_of(now)).contains(d)).ok_or_else(bad)?;
    Ok(if day == day_of(now) { now } else { start_of(day) })
}

/// The earliest day on which something from outside may have come: a year back.
pub(super) fn year_back(now: WallTime) -> WallTime {
    WallTime::from_millis(now.as_millis().saturating_sub(366 * 86_400_000))
}

/// A word of a form.
pub(super) fn choice<T: std::str::FromStr>(raw: &str) -> Result<T, Failure> {
    raw.parse().map_err(|_| Failure::bad("matters-bad-choice"))
}

/// A number in a path.
pub(super) fn number(raw: &str, series: Series) -> Result<Number, Failure> {
    raw.parse().ok().filter(|n: &Number| n.series == series).ok_or_else(Failure::not_found)
}

/// A number in a path, with the record of what is done about it.
pub(super) async fn noted(
    console: &Console,
    visitor: &Visitor,
    series: Series,
    what: &str,
    raw: &str,
) -> Result<Number, Failure> {
    let number = number(raw, series)?;
    console.note(visitor, what, &number.to_string(), String::new()).await?;
    Ok(number)
}

/// After a form: the page that shows what came of it.
pub(super) fn to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// A hospital as people name it, with its code; without a name, the code.
pub(super) fn hospital(code: &str, name: Option<&str>) -> String {
    name.map_or_else(|| code.to_owned(), |name| format!("{name} {code}"))
}

/// A day in China.
pub(super) fn date(at: Option<WallTime>) -> String {
    at.map_or_else(String::new, |at| day_of(at).to_string())
}

/// A deadline as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deadline {
    /// What must be done.
    pub(super) duty: String,
    /// By when.
    pub(super) day: String,
    /// In words, if it is overdue; else empty.
    pub(super) overdue: String,
    /// In words, if no holiday table was at hand; else empty.
    pub(super) doubt: String,
}

impl Deadline {
    pub(super) fn new(step: Step, rules: &Rules, today: Date, words: &Words) -> Self {
        let late = step.done.is_none() && step.late(today);
        let days = i64::from(rules.calendar.between(step.due.day, today));
        Self {
            duty: words.word("duty", step.duty.as_str()),
            day: step.due.day.to_string(),
            overdue: if late { words.count("matters-overdue", days) } else { String::new() },
            doubt: doubt(step.due, words),
        }
    }
}

/// In words that a day was counted without a holiday table.
pub(super) fn doubt(due: Due, words: &Words) -> String {
    if due.by_table { String::new() } else { words.say("matters-no-table") }
}

/// One choice of a form.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: String,
}

/// Choices of a form, each with its word.
pub(super) fn choices(
    values: impl IntoIterator<Item = &'static str>,
    label: impl Fn(&str) -> String,
) -> Vec<Choice> {
    values.into_iter().map(|value| Choice { value, label: label(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_trimmed_and_bounded() {
        assert_eq!(text(" a\r\nb ").unwrap(), "a\nb");
        assert!(text(" ").is_err() && text(&"字".repeat(MOST_TEXT + 1)).is_err() && text("a\u{0}").is_err());
        assert_eq!(maybe_text(" ").unwrap(), "");
        assert_eq!(line(" 某市公安局 ").unwrap(), "某市公安局");
        assert!(line("a\nb").is_err() && line("").is_err() && maybe_line("").is_ok());
    }

    #[test]
    fn a_day_lies_between_what_came_before_and_today() {
        let now = WallTime::from_millis(1_790_557_200_000);
        let earliest = WallTime::from_millis(now.as_millis() - 3 * 86_400_000);
        assert_eq!(day("2026-09-28", earliest, now).unwrap(), now);
        assert_eq!(date(Some(day("2026-09-25", earliest, now).unwrap())), "2026-09-25");
        for wrong in ["2026-09-24", "2026-09-29", "2026-9-28", "", "heute"] {
            assert!(day(wrong, earliest, now).is_err(), "{wrong}");
        }
    }
}
