//! The ledger (台账): what there is, how far it is, what is due when; as a page, for
//! printing, and as CSV. It names nobody.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::Frame;
use super::matters::{Choice, Deadline, choices};
use super::parts::{CSV, file};
use super::route::{REVIEW, Route};
use super::visitor::Visitor;
use super::{Console, page};
use crate::bureau::cases::ledger::{Books, Entry, Show, year_of};
use crate::bureau::cases::money::yuan;
use crate::bureau::cases::table::csv;
use crate::bureau::cases::words::Matter;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/ledger", REVIEW, show), Route::get("/ledger.csv", REVIEW, export)]
}

/// What is asked for; what is not understood is taken as not asked for.
#[derive(Deserialize)]
struct Asked {
    matter: Option<String>,
    show: Option<String>,
    year: Option<String>,
}

struct Filter {
    matter: Option<Matter>,
    show: Show,
    year: i16,
}

impl Filter {
    fn of(asked: &Asked, today: i16) -> Self {
        Self {
            matter: asked.matter.as_deref().and_then(|m| m.parse().ok()),
            show: Show::of(asked.show.as_deref().unwrap_or_default()),
            year: year(asked.year.as_deref(), today),
        }
    }

    fn query(&self) -> String {
        let matter = self.matter.map_or("", Matter::as_str);
        format!("matter={matter}&show={}&year={}", self.show.as_str(), self.year)
    }
}

/// The year that is asked for, or this one.
pub(super) fn year(asked: Option<&str>, today: i16) -> i16 {
    let year = asked.and_then(|y| y.trim().parse().ok());
    year.filter(|y| (2000..=2200).contains(y)).unwrap_or(today)
}

impl Console {
    /// What touches a year.
    pub(super) async fn books(&self, year: i16) -> Result<Books, Failure> {
        let span = year_of(year);
        Ok(Books {
            cases: self.store.cases(span).await?,
            transfers: self.store.transfers(span).await?,
            incoming: self.store.all_incoming(span).await?,
            reports: self.store.reports(span).await?,
        })
    }

    async fn entries(&self, filter: &Filter) -> Result<Vec<Entry>, Failure> {
        let books = self.books(filter.year).await?;
        let entries = books.entries(&self.practice.rules, self.today());
        let wanted = |e: &Entry| filter.show.wants(e) && filter.matter.is_none_or(|m| m == e.matter);
        Ok(entries.into_iter().filter(wanted).collect())
    }
}

/// A line as it is shown.
struct Line {
    matter: String,
    number: String,
    path: String,
    party: String,
    state: String,
    began: String,
    amount: String,
    due: Option<Deadline>,
}

impl Line {
    fn new(entry: &Entry, console: &Console, visitor: &Visitor) -> Self {
        let words = visitor.words();
        let (party, state) = match entry.matter {
            Matter::Case => (String::new(), words.word("casestate", entry.state)),
            Matter::Transfer => (String::new(), words.word("transferstate", entry.state)),
            Matter::Incoming => (String::new(), words.word("incomingstate", entry.state)),
            Matter::Report => {
                let channel = entry.party.map(|p| words.word("channel", p));
                (channel.unwrap_or_default(), words.word("reportstate", entry.state))
            }
        };
        let authority = entry.party.filter(|_| entry.matter != Matter::Report);
        Self {
            matter: words.word("matter", entry.matter.as_str()),
            number: entry.number.clone(),
            path: entry.path.clone(),
            party: authority.map_or(party, |a| words.word("authority", a)),
            state,
            began: entry.began.to_string(),
            amount: entry.amount_fen.map(yuan).unwrap_or_default(),
            due: entry.next.map(|s| Deadline::new(s, &console.practice.rules, console.today(), words)),
        }
    }
}

#[derive(Template)]
#[template(path = "console/ledger.html")]
struct LedgerPage<'a> {
    frame: Frame<'a>,
    lines: Vec<Line>,
    overdue: i64,
    matters: Vec<Choice>,
    shows: Vec<Choice>,
    matter: &'static str,
    show: &'static str,
    year: i16,
    query: String,
    printed: String,
    /// Whether this year, or the one before or after, has no holiday table.
    untabled: bool,
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let today = console.today();
    let filter = Filter::of(&asked, today.year());
    console.note(&visitor, "ledger look", "", filter.query()).await?;
    let entries = console.entries(&filter).await?;
    let words = visitor.words();
    let shown = LedgerPage {
        frame: Frame::new(&visitor, "ledger-title"),
        overdue: i64::try_from(entries.iter().filter(|e| e.overdue > 0).count()).unwrap_or(i64::MAX),
        lines: entries.iter().map(|e| Line::new(e, &console, &visitor)).collect(),
        matters: choices(Matter::ALL.iter().map(|m| m.as_str()), |m| words.word("matter", m)),
        shows: choices(Show::ALL.iter().map(|(_, w)| *w), |w| words.word("ledgershow", w)),
        matter: filter.matter.map_or("", Matter::as_str),
        show: filter.show.as_str(),
        year: filter.year,
        query: filter.query(),
        printed: today.to_string(),
        untabled: !console.practice.rules.calendar.knows(today.year()),
    };
    page(&visitor, &shown)
}

async fn export(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let filter = Filter::of(&asked, console.today().year());
    console.note(&visitor, "ledger export", "", filter.query()).await?;
    let words = visitor.words();
    let header: Vec<String> = [
        "ledger-matter",
        "ledger-number",
        "ledger-party",
        "ledger-state",
        "ledger-began",
        "ledger-amount",
        "ledger-duty",
        "ledger-due",
        "ledger-overdue",
        "ledger-doubt",
    ]
    .map(|id| words.say(id))
    .into();
    let row = |entry: &Entry| {
        let line = Line::new(entry, &console, &visitor);
        let due = line.due.map(|d| [d.duty, d.day, d.overdue, d.doubt]).unwrap_or_default();
        let first = [line.matter, line.number, line.party, line.state, line.began, line.amount];
        first.into_iter().chain(due).collect()
    };
    let rows: Vec<Vec<String>> = console.entries(&filter).await?.iter().map(row).collect();
    Ok(file(CSV, &format!("ledger-{}.csv", filter.year), csv(&header, &rows)))
}
