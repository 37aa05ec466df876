//! The report of a year, due on 15 January, as a page for printing and as CSV.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::ledger::year;
use super::parts::{CSV, file};
use super::route::{REVIEW, Route};
use super::visitor::Visitor;
use super::words::Words;
use super::{Console, page};
use crate::bureau::cases::ledger::year_of;
use crate::bureau::cases::money::yuan;
use crate::bureau::cases::table::csv;
use crate::bureau::cases::yearly::{Line, lines};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/yearly", REVIEW, show), Route::get("/yearly.csv", REVIEW, export)]
}

#[derive(Deserialize)]
struct Asked {
    year: Option<String>,
}

impl Console {
    /// The year that a report is about: the one asked for; else, until the report of the
    /// last year is due, that; else this one.
    fn reported(&self, asked: &Asked) -> i16 {
        let today = self.today();
        let due = today.month() == 1 && today.day() <= 15;
        year(asked.year.as_deref(), today.year() - i16::from(due))
    }

    async fn lines(&self, year: i16) -> Result<Vec<Line>, Failure> {
        let books = self.books(year).await?;
        let findings = self.store.findings(year_of(year)).await?;
        Ok(lines(year, &books, &findings, &self.practice.rules, self.today()))
    }
}

/// What a line counts, in words: its section and its kind.
fn named(line: &Line, words: &Words) -> [String; 2] {
    let kind = match line.section {
        "case" => words.word("casestate", line.kind),
        "finding" => words.word("finding", line.kind),
        "transfer" | "incoming" => words.word("authority", line.kind),
        "outcome" => words.word("outcome", line.kind),
        "report" => words.word("channel", line.kind),
        _ => words.word("reportoutcome", line.kind),
    };
    [words.word("yearlysection", line.section), kind]
}

struct Row {
    section: String,
    kind: String,
    count: u64,
    amount: String,
    late: String,
}

#[derive(Template)]
#[template(path = "console/yearly.html")]
struct YearlyPage<'a> {
    frame: Frame<'a>,
    year: i16,
    bureau: String,
    printed: String,
    rows: Vec<Row>,
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let year = console.reported(&asked);
    console.note(&visitor, "yearly look", "", year.to_string()).await?;
    let words = visitor.words();
    let row = |line: &Line| {
        let [section, kind] = named(line, words);
        let amount = line.amount_fen.map(yuan).unwrap_or_default();
        Row { section, kind, count: line.count, amount, late: late(line) }
    };
    let shown = YearlyPage {
        frame: Frame::titled(&visitor, words.say_with("yearly-title", &[("value", &year.to_string())])),
        year,
        bureau: console.practice.config.bureau.clone(),
        printed: console.today().to_string(),
        rows: console.lines(year).await?.iter().map(row).collect(),
    };
    page(&visitor, &shown)
}

fn late(line: &Line) -> String {
    line.late.map(|n| n.to_string()).unwrap_or_default()
}

async fn export(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let year = console.reported(&asked);
    console.note(&visitor, "yearly export", "", year.to_string()).await?;
    let words = visitor.words();
    let header = ["yearly-section", "yearly-kind", "yearly-count", "yearly-amount", "yearly-late"];
    let header: Vec<String> = header.map(|id| words.say(id)).into();
    let row = |line: &Line| {
        let [section, kind] = named(line, words);
        let amount = line.amount_fen.map(yuan).unwrap_or_default();
        vec![section, kind, line.count.to_string(), amount, late(line)]
    };
    let rows: Vec<Vec<String>> = console.lines(year).await?.iter().map(row).collect();
    Ok(file(CSV, &format!("yearly-{year}.csv"), csv(&header, &rows)))
}
