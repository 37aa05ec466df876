//! The page of statistics: verdicts, alerts and coverage over a period, the red and
//! yellow list, and how often alerts were false; as CSV too.
//!
//! Nothing on it is about a person, so that whoever is signed in may see it, and a
//! look at it is not recorded.

use std::str::FromStr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::{CSV, Table, file};
use super::route::{Route, STAFF};
use super::statistics_page::{self as show_as, Plot};
use super::visitor::Visitor;
use super::{Console, page};
use crate::bureau::figures::calendar::{Day, Days};
use crate::bureau::statistics::Statistics;
use crate::bureau::store::{Place, Store};
use crate::protocol::id::HospitalId;

/// Days that are shown unless somebody asks for others.
const USUAL_DAYS: i64 = 30;
/// Longest name of a district, in characters.
const MOST_DISTRICT: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/statistics", STAFF, show), Route::get("/statistics.csv", STAFF, download)]
}

/// What may stand behind the question mark.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    from: String,
    to: String,
    hospital: String,
    district: String,
    of: String,
}

impl Asked {
    fn days(&self, today: Day) -> Result<Days, Failure> {
        let last = or_usual(&self.to, today, "statistics-bad-day")?;
        Ok(Days::between(or_usual(&self.from, usual_days(last).first, "statistics-bad-day")?, last))
    }

    fn place(&self) -> Result<Place, Failure> {
        place(&self.hospital, &self.district)
    }
}

/// The days that are looked at unless somebody asks for others.
pub(super) fn usual_days(last: Day) -> Days {
    Days::between(last.plus(1 - USUAL_DAYS), last)
}

/// A day or month as somebody wrote it; the usual one where they wrote nothing.
pub(super) fn or_usual<T: FromStr>(found: &str, usual: T, bad: &'static str) -> Result<T, Failure> {
    match found.trim() {
        "" => Ok(usual),
        text => text.parse().map_err(|_| Failure::bad(bad).with("found", shown(text))),
    }
}

/// A hospital's code and a district as somebody wrote them; both may be empty.
pub(super) fn place(hospital: &str, district: &str) -> Result<Place, Failure> {
    let (hospital, district) = (hospital.trim(), district.trim());
    if !hospital.is_empty() && hospital.parse::<HospitalId>().is_err() {
        return Err(Failure::bad("statistics-bad-hospital").with("found", shown(hospital)));
    }
    if district.chars().count() > MOST_DISTRICT || district.chars().any(char::is_control) {
        return Err(Failure::bad("statistics-bad-district").with("found", shown(district)));
    }
    Ok(Place { hospital: hospital.into(), district: district.into() })
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The districts that are known.
pub(super) async fn districts(store: &Store) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = store.hospitals().await?.into_iter().map(|h| h.district).collect();
    names.retain(|n| !n.is_empty());
    names.sort();
    names.dedup();
    Ok(names)
}

#[derive(Template)]
#[template(path = "console/statistics.html")]
struct StatisticsPage<'a> {
    frame: Frame<'a>,
    from: String,
    to: String,
    place: Place,
    districts: Vec<String>,
    /// The same question, for the links to CSV.
    query: String,
    facts: Vec<(String, String)>,
    plots: Vec<Plot>,
    reasons: Table,
    rule: Table,
    list: Table,
    by_district: Table,
    by_hospital: Table,
    by_box: Table,
    by_model: Table,
    by_calibration: Table,
}

async fn gather(console: &Console, asked: &Asked) -> Result<(Statistics, Place), Failure> {
    let now = console.clock.now().wall;
    let days = asked.days(Day::of(now))?;
    let place = asked.place()?;
    let statistics = Statistics::gather(&console.store, &console.figures, days, &place, now).await?;
    Ok((statistics, place))
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (s, place) = gather(&console, &asked).await?;
    let w = visitor.words();
    let (from, to) = (s.days.first.to_string(), s.days.last.to_string());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("from", &from)
        .append_pair("to", &to)
        .append_pair("hospital", &place.hospital)
        .append_pair("district", &place.district)
        .finish();
    let false_of = |caption: &str, of: &str, all| show_as::false_alerts(w, caption, of, all);
    page(
        &visitor,
        &StatisticsPage {
            districts: districts(&console.store).await?,
            facts: show_as::facts(w, &s),
            plots: vec![
                show_as::verdicts(w, &s),
                show_as::alerts(w, &s),
                show_as::coverage(w, &s, &console.figures),
            ],
            reasons: show_as::reasons(w, &s),
            rule: show_as::rule(w, &console.figures),
            list: show_as::list(w, &s),
            by_district: show_as::places(w, "statistics-by-district", "statistics-district", &s.districts()),
            by_hospital: show_as::places(w, "statistics-by-hospital", "statistics-hospital", &s.hospitals),
            by_box: false_of("statistics-by-box", "statistics-box", &s.by_box),
            by_model: false_of("statistics-by-model", "statistics-model", &s.by_model),
            by_calibration: false_of(
                "statistics-by-calibration",
                "statistics-calibration",
                &s.by_calibration,
            ),
            frame: Frame::new(&visitor, "statistics-title"),
            from,
            to,
            place,
            query,
        },
    )
}

async fn download(
    State(console): State<Arc<Console>>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (s, _) = gather(&console, &asked).await?;
    let (of, csv) = match asked.of.as_str() {
        "days" => ("days", s.days_csv()?),
        _ => ("hospitals", s.hospitals_csv()?),
    };
    let name = format!("statistics-{of}-{}-{}.csv", s.days.first, s.days.last);
    Ok(file(CSV, &name, csv.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_last_thirty_days_or_what_was_asked_for() {
        let today: Day = "2026-11-22".parse().unwrap();
        let asked =
            |from: &str, to: &str| Asked { from: from.into(), to: to.into(), ..Asked::default() }.days(today);
        let told = |days: Days| (days.first.to_string(), days.last.to_string());
        assert_eq!(told(asked("", "").unwrap()), ("2026-10-24".into(), "2026-11-22".into()));
        assert_eq!(
            told(asked("2026-11-30", "2026-11-01").unwrap()),
            ("2026-11-01".into(), "2026-11-30".into())
        );
        assert!(asked("yesterday", "").is_err());
        assert!(place("H1", "").is_ok() && place("H 1", "").is_err() && place("", &"x".repeat(101)).is_err());
    }
}
