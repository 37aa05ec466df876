//! The two abnormalities (两个异常): who settles far more often, or for far more, than
//! others of the same medical type, next to mismatch alerts.
//!
//! Promises: a list of many shows ranks and no number of a cardholder; opening one is
//! recorded first; where settlements are not known for a month, the page says so. What
//! it does not do: conclude anything. Being far from the usual is no finding.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::Table;
use super::route::{REVIEW, Route, SUPERVISE};
use super::shown::yuan;
use super::statistics::{districts, or_usual, place};
use super::upload::{MOST_FILE, Uploaded};
use super::visitor::Visitor;
use super::words::Words;
use super::{Console, page};
use crate::bureau::figures::calendar::{Day, Days, Month};
use crate::bureau::figures::import::{Fault, Refused};
use crate::bureau::figures::unusual::{Far, Found, Order, Population, Unusual, find};
use crate::bureau::settled::{ACT, understand};
use crate::bureau::store::{Import, Imported, MOST_SETTLED, MonthSettled, Place, QueueState};
use crate::svg::chart::Unit;

/// Cardholders on the list.
const MOST_LISTED: usize = 100;
/// Imports that are shown.
const MOST_IMPORTS: u32 = 10;
/// Months that are looked at together.
const MOST_MONTHS: usize = 36;
/// Whose turn it is to compute.
static TURN: Semaphore = Semaphore::const_new(1);
/// Hex digits of a mark.
const MARK: usize = 16;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/abnormal", REVIEW, show),
        Route::get("/abnormal/{mark}", REVIEW, open),
        Route::post("/abnormal/import", SUPERVISE, import),
    ]
}

/// What may stand behind the question mark.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    from: String,
    to: String,
    hospital: String,
    district: String,
    order: Order,
    said: String,
}

impl Asked {
    /// The months: the last whole one unless somebody asks for others.
    fn months(&self, now: Month) -> Result<(Month, Month), Failure> {
        let to = or_usual(&self.to, now.plus(-1), "abnormal-bad-month")?;
        let from = or_usual(&self.from, to, "abnormal-bad-month")?;
        let (first, last) = (from.min(to), from.max(to));
        Ok((first.max(last.plus(1 - MOST_MONTHS as i64)), last))
    }
}

#[derive(Template)]
#[template(path = "console/abnormal.html")]
struct AbnormalPage<'a> {
    frame: Frame<'a>,
    from: String,
    to: String,
    place: Place,
    districts: Vec<String>,
    orders: Vec<(&'static str, String, bool)>,
    /// Months of the period of which nothing is known; a list of words.
    unknown: Option<String>,
    none_known: bool,
    said: Option<String>,
    populations: Table,
    list: Table,
    may_import: bool,
    import_note: String,
    imports: Table,
    faults: Option<Table>,
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    render(&console, &visitor, &asked, None).await
}

async fn render(
    console: &Console,
    visitor: &Visitor,
    asked: &Asked,
    faults: Option<Table>,
) -> Result<Response, Failure> {
    let (w, now) = (visitor.words(), console.clock.now().wall);
    let (first, last) = asked.months(Month::of(now))?;
    let place = place(&asked.hospital, &asked.district)?;
    let known = console.store.settled_months().await?;
    let unknown: Vec<String> =
        first.up_to(last).filter(|m| !known.contains(m)).map(|m| m.to_string()).collect();
    console
        .note(visitor, "look at unusual cardholders", "list without numbers", format!("{first} to {last}"))
        .await?;
    let found = look(console, (first, last), &place, asked.order).await?;
    let order = |of: &'static str, label: &str, is: Order| (of, w.say(label), asked.order == is);
    let answer = page(
        visitor,
        &AbnormalPage {
            frame: Frame::new(visitor, "abnormal-title"),
            from: first.to_string(),
            to: last.to_string(),
            districts: districts(&console.store).await?,
            orders: vec![
                order("settlements", "abnormal-by-settlements", Order::Settlements),
                order("amount", "abnormal-by-amount", Order::Amount),
                order("alerts", "abnormal-by-alerts", Order::Alerts),
            ],
            unknown: (!unknown.is_empty())
                .then(|| w.say_with("abnormal-unknown", &[("value", &unknown.join(", "))])),
            none_known: unknown.len() == first.up_to(last).count(),
            said: match asked.said.as_str() {
                "new" => Some(w.say("abnormal-imported")),
                "before" => Some(w.say("abnormal-imported-before")),
                _ => None,
            },
            populations: populations(w, &found, console.figures.least_people),
            list: listed(w, &found.list),
            may_import: visitor.may(SUPERVISE),
            import_note: w.count("abnormal-import-note", (MOST_FILE / 1024 / 1024) as i64),
            imports: imports(console, w).await?,
            faults,
            place,
        },
    )?;
    Ok(answer)
}

async fn look(
    console: &Console,
    (first, last): (Month, Month),
    place: &Place,
    order: Order,
) -> Result<Found, Failure> {
    // Each holds the numbers of many in memory: one after the other.
    let _turn = TURN.acquire().await.map_err(|e| Failure::broken(&e.to_string()))?;
    let settled = console.store.settled(first, last, place).await?;
    let settled = settled.ok_or_else(|| {
        Failure::bad("abnormal-too-many").with("most", Unit::Count.write(MOST_SETTLED as f64))
    })?;
    let days = Days::between(Day::of(first.begins()), Day::of(last.plus(1).begins()).plus(-1));
    let alerts = console.store.alerts_by_cardholder(days, place).await?;
    let least = console.figures.least_people as usize;
    // Sorting a city's numbers takes a while; others' requests go on meanwhile.
    tokio::task::spawn_blocking(move || find(settled, &alerts, least, order, MOST_LISTED))
        .await
        .map_err(|e| Failure::broken(&e.to_string()))
}

fn populations(w: &Words, found: &Found, least: u32) -> Table {
    let row = |(medical_type, p): (&String, &Population)| {
        let too_few = || w.count("abnormal-too-few", i64::from(least));
        let settlements = p.settlements.map_or_else(too_few, |(m, d)| format!("{m} ± {d}"));
        let amount =
            p.amount_fen.map_or_else(too_few, |(m, d)| format!("{} ± {}", yuan(m as u64), yuan(d as u64)));
        (w.care(medical_type), vec![Unit::Count.write(p.people as f64), settlements, amount])
    };
    let head = ["abnormal-type", "abnormal-people", "abnormal-usual-settlements", "abnormal-usual-amount"];
    Table {
        caption: w.say("abnormal-populations"),
        head: head.iter().map(|id| w.say(id)).collect(),
        rows: found.populations.iter().map(row).collect(),
        empty: w.say("abnormal-nothing-known"),
        ..Table::default()
    }
}

fn listed(w: &Words, list: &[Unusual]) -> Table {
    // Rounded first: a little below zero is zero, and not "-0.0".
    let score = |far: &Far| {
        far.score.map_or_else(|| "–".to_owned(), |s| format!("{:.1}", (s * 10.0).round() / 10.0 + 0.0))
    };
    let percentile = |far: &Far| format!("{:.1}", far.percentile);
    let row = |(i, u): (usize, &Unusual)| {
        let cells = [
            w.care(&u.settled.medical_type),
            u.settled.settlements.to_string(),
            score(&u.settlements),
            percentile(&u.settlements),
            yuan(u.settled.amount_fen.unsigned_abs()),
            score(&u.amount),
            percentile(&u.amount),
            u.alerts.to_string(),
        ];
        (w.say_with("abnormal-open-one", &[("value", &(i + 1).to_string())]), cells.to_vec())
    };
    let head = [
        "abnormal-rank",
        "abnormal-type",
        "abnormal-settlements",
        "abnormal-score",
        "abnormal-percentile",
        "abnormal-amount",
        "abnormal-score",
        "abnormal-percentile",
        "abnormal-alerts",
    ];
    Table {
        caption: w.say("abnormal-list"),
        head: head.iter().map(|id| w.say(id)).collect(),
        rows: list.iter().enumerate().map(row).collect(),
        links: list.iter().map(|u| format!("/abnormal/{}", u.settled.cardholder)).collect(),
        empty: w.say("abnormal-nobody"),
    }
}

async fn imports(console: &Console, w: &Words) -> Result<Table, Failure> {
    let all = console.store.settled_imports(MOST_IMPORTS).await?;
    let head = [
        "abnormal-imported-at",
        "abnormal-imported-by",
        "abnormal-lines",
        "abnormal-replaced",
        "abnormal-digest",
    ];
    let row = |i: &Import| {
        let digest: String = i.digest.to_string().chars().take(12).collect();
        (Day::of(i.at).to_string(), vec![i.by.clone(), i.lines.to_string(), i.replaced.to_string(), digest])
    };
    Ok(Table {
        caption: w.say("abnormal-imports"),
        head: head.iter().map(|id| w.say(id)).collect(),
        rows: all.iter().map(row).collect(),
        empty: w.say("abnormal-no-imports"),
        ..Table::default()
    })
}

async fn import(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Uploaded { file }: Uploaded,
) -> Result<Response, Failure> {
    let now = console.clock.now().wall;
    let (digest, lines) = match understand(&file, &console.retention, now) {
        Ok(understood) => understood,
        Err(refused) => {
            let faults = Some(faults(visitor.words(), &refused));
            let mut answer = render(&console, &visitor, &Asked::default(), faults).await?;
            *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(answer);
        }
    };
    console.note(&visitor, ACT, &digest.to_string(), format!("{} lines", lines.len())).await?;
    let by = visitor.account()?.as_str();
    let said = match console.store.import_settled(digest, &lines, by, now).await? {
        Imported::New(_) => "new",
        Imported::Before(_) => "before",
    };
    Ok(Redirect::to(&format!("/abnormal?said={said}")).into_response())
}

fn faults(w: &Words, refused: &Refused) -> Table {
    let row = |f: &Fault| {
        let cells = vec![f.column.to_owned(), f.found.clone(), f.allowed.clone()];
        (f.line.to_string(), cells)
    };
    Table {
        caption: w.count("abnormal-faults", i64::try_from(refused.count).unwrap_or(i64::MAX)),
        head: ["abnormal-line", "abnormal-column", "abnormal-found", "abnormal-allowed"]
            .iter()
            .map(|id| w.say(id))
            .collect(),
        rows: refused.faults.iter().map(row).collect(),
        ..Table::default()
    }
}

#[derive(Template)]
#[template(path = "console/abnormal_one.html")]
struct OnePage<'a> {
    frame: Frame<'a>,
    cardholder: String,
    months: Table,
    alerts: Vec<AlertOf>,
}

/// A mismatch alert of the cardholder.
struct AlertOf {
    id: String,
    day: String,
    told: String,
}

async fn open(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(mark): Path<String>,
) -> Result<Response, Failure> {
    if mark.len() != MARK || !mark.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::not_found());
    }
    console.note(&visitor, "look at a cardholder's settlements", &mark, String::new()).await?;
    let Some(cardholder) = console.store.settled_by(&mark).await? else {
        return Err(Failure::not_found());
    };
    let w = visitor.words();
    let head =
        ["abnormal-month", "abnormal-hospital", "abnormal-type", "abnormal-settlements", "abnormal-amount"];
    let row = |m: MonthSettled| {
        (
            m.month,
            vec![
                m.hospital,
                w.care(&m.medical_type),
                m.settlements.to_string(),
                yuan(m.amount_fen.unsigned_abs()),
            ],
        )
    };
    let months = Table {
        caption: w.say("abnormal-months"),
        head: head.iter().map(|id| w.say(id)).collect(),
        rows: console.store.settled_of(&mark).await?.into_iter().map(row).collect(),
        empty: w.say("abnormal-nothing-known"),
        ..Table::default()
    };
    // To who is to decide one blind, it is open here too.
    let blind = console.store.blind_for(visitor.account()?).await?;
    let is_blind = |id: &str| blind.iter().any(|b| b.to_string() == id);
    let alerts = console.store.states_of_cardholder(&mark).await?.into_iter().map(|a| AlertOf {
        told: match is_blind(&a.id) {
            true => w.word("abnormal-state", QueueState::Open.as_str()),
            false => w.word("abnormal-state", a.decision.as_deref().unwrap_or(&a.state)),
        },
        day: Day::of(a.received_at).to_string(),
        id: a.id,
    });
    page(
        &visitor,
        &OnePage {
            frame: Frame::new(&visitor, "abnormal-one-title"),
            cardholder: cardholder.as_str().to_owned(),
            months,
            alerts: alerts.collect(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_last_whole_month_or_what_was_asked_for() {
        let now: Month = "2026-11".parse().unwrap();
        let asked =
            |from: &str, to: &str| Asked { from: from.into(), to: to.into(), ..Asked::default() }.months(now);
        let told = |(a, b): (Month, Month)| format!("{a} {b}");
        assert_eq!(told(asked("", "").unwrap()), "2026-10 2026-10");
        assert_eq!(told(asked("2026-08", "2026-03").unwrap()), "2026-03 2026-08");
        assert_eq!(told(asked("2001-01", "2026-10").unwrap()), "2023-11 2026-10");
        assert!(asked("2026", "").is_err());
    }
}
