//! The record of acts: who saw or did what, when, about what.
//!
//! Looking at it is an act, too. What it is about is an alert, a case, a box, an
//! account, or the mark of a cardholder; their numbers are not in it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::route::{RECORD, Route};
use super::visitor::Visitor;
use super::{Console, page};
use crate::bureau::store::{ActsAsked, NumberedAct};
use crate::clock::WallTime;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/acts", RECORD, show), Route::get("/acts.csv", RECORD, csv)]
}

/// Acts on one page.
const PAGE: i64 = 100;
/// Most acts in one file.
const MOST: i64 = 100_000;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asked {
    by: String,
    what: String,
    about: String,
    from: String,
    to: String,
    before: Option<i64>,
}

/// Beijing's days, as everywhere in the console.
fn beijing() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

fn midnight(day: &str, plus: i32) -> Result<Option<WallTime>, Failure> {
    if day.is_empty() {
        return Ok(None);
    }
    let bad = || Failure::bad("acts-bad-day");
    let date: Date = day.parse().map_err(|_| bad())?;
    let date = (0..plus).try_fold(date, |d, _| d.tomorrow()).map_err(|_| bad())?;
    let start = date.to_zoned(beijing()).map_err(|_| bad())?;
    Ok(Some(WallTime::from_millis(start.timestamp().as_millisecond())))
}

impl Asked {
    fn read(&self) -> Result<ActsAsked, Failure> {
        Ok(ActsAsked {
            by: self.by.trim().to_owned(),
            what: self.what.trim().to_owned(),
            about: self.about.trim().to_owned(),
            from: midnight(&self.from, 0)?.unwrap_or(WallTime::from_millis(i64::MIN)),
            to: midnight(&self.to, 1)?.unwrap_or(WallTime::from_millis(i64::MAX)),
            before: self.before.unwrap_or(i64::MAX),
        })
    }

    /// The same question as a query, for links.
    fn query(&self, before: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("by", &self.by),
            ("what", &self.what),
            ("about", &self.about),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        query.finish()
    }
}

#[derive(Template)]
#[template(path = "console/acts.html")]
struct ActsPage<'a> {
    frame: Frame<'a>,
    asked: Asked,
    rows: Vec<Row>,
    csv: String,
    older: Option<String>,
}

struct Row {
    at: String,
    by: String,
    what: String,
    about: String,
    detail: String,
}

fn written(at: WallTime) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return at.to_string() };
    at.to_zoned(beijing()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

impl From<NumberedAct> for Row {
    fn from(NumberedAct { act, .. }: NumberedAct) -> Self {
        Self { at: written(act.at), by: act.by, what: act.what, about: act.about, detail: act.detail }
    }
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let question = asked.read()?;
    console.note(&visitor, "see acts", "acts", asked.query(None)).await?;
    let mut found = console.store.find_acts(&question, PAGE + 1).await?;
    let has_more = found.len() > usize::try_from(PAGE).unwrap_or(usize::MAX);
    if has_more {
        found.pop();
    }
    let last = found.last().map(|a| a.number).filter(|_| has_more);
    let older = last.map(|before| format!("/acts?{}", asked.query(Some(before))));
    let csv = format!("/acts.csv?{}", asked.query(None));
    let rows = found.into_iter().map(Row::from).collect();
    page(&visitor, &ActsPage { frame: Frame::new(&visitor, "acts-title"), asked, rows, csv, older })
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

async fn csv(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let question = asked.read()?;
    console.note(&visitor, "export acts", "acts", asked.query(None)).await?;
    let found = console.store.find_acts(&question, MOST + 1).await?;
    if i64::try_from(found.len()).unwrap_or(i64::MAX) > MOST {
        return Err(Failure::bad("acts-too-many"));
    }
    let broken = |_| Failure::broken("a CSV file could not be written");
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["at", "by", "what", "about", "detail"]).map_err(broken)?;
    for NumberedAct { act, .. } in found {
        let cells = [act.by, act.what, act.about, act.detail].map(cell);
        out.write_record([act.at.to_string()].into_iter().chain(cells)).map_err(broken)?;
    }
    let bytes = out.into_inner().map_err(|_| Failure::broken("a CSV file could not be written"))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"acts.csv\""),
    ];
    Ok((headers, bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_beijing_s_and_the_last_one_counts() {
        let asked = Asked { from: "2026-11-22".into(), to: "2026-11-22".into(), ..Asked::default() };
        let read = asked.read().unwrap();
        assert_eq!(read.from.to_string(), "2026-11-21T16:00:00.000Z");
        assert_eq!(read.to.as_millis() - read.from.as_millis(), 86_400_000);
        assert_eq!(written(read.from), "2026-11-22 00:00:00");
        assert!(Asked { from: "yesterday".into(), ..Asked::default() }.read().is_err());
        assert_eq!(asked.query(Some(7)), "from=2026-11-22&to=2026-11-22&before=7");
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(cell("=cmd".into()), "'=cmd");
        assert_eq!(cell("see alert".into()), "see alert");
    }
}
