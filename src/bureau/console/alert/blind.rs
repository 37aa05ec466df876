//! Blind checks: mixing decided alerts into somebody's open ones, and how well the desk
//! agrees with itself.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as Held;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::failure::Failure;
use super::super::frame::Frame;
use super::super::route::{self, Route};
use super::super::shown::day;
use super::super::visitor::{Posted, Visitor};
use super::super::{Console, page};
use crate::bureau::accounts::{AccountName, Role};
use crate::bureau::review::Agreement;
use crate::bureau::review::agreement::LEAST_PAIRS;
use crate::bureau::store::{BlindCheck, BlindState};
use crate::clock::WallTime;

/// Most alerts that are mixed in at once.
const MOST: usize = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/blind", route::SUPERVISE, show), Route::post("/blind", route::SUPERVISE, ask)]
}

/// A pair that does not agree.
struct Differing {
    alert: String,
    at: String,
    first: String,
    second: String,
}

#[derive(Template)]
#[template(path = "console/blind.html")]
struct BlindPage<'a> {
    frame: Frame<'a>,
    figure: Vec<String>,
    waiting: i64,
    differing: Vec<Differing>,
    most: usize,
}

async fn show(Held(console): Held<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let checks = console.store.blind_checks().await?;
    let pairs: Vec<_> = checks.iter().filter_map(|c| Some((c.first, c.second?))).collect();
    let words = visitor.words();
    let differing = |c: &BlindCheck| {
        let second = c.second.filter(|s| *s != c.first)?;
        Some(Differing {
            alert: c.alert.to_string(),
            at: day(c.asked_at).to_string(),
            first: words.word("review-decision", c.first.as_str()),
            second: words.word("review-decision", second.as_str()),
        })
    };
    let shown = BlindPage {
        frame: Frame::new(&visitor, "blind-title"),
        figure: figure(&visitor, Agreement::of(&pairs)),
        waiting: checks.iter().filter(|c| c.state == BlindState::Waiting).count() as i64,
        differing: checks.iter().filter_map(differing).collect(),
        most: MOST,
    };
    page(&visitor, &shown)
}

fn figure(visitor: &Visitor, agreement: Agreement) -> Vec<String> {
    let words = visitor.words();
    match agreement {
        Agreement::TooFew { pairs } => {
            let (pairs, least) = (pairs.to_string(), LEAST_PAIRS.to_string());
            vec![words.say_with("blind-too-few", &[("pairs", &pairs), ("least", &least)])]
        }
        Agreement::NoVariety { pairs } => vec![words.count("blind-no-variety", pairs as i64)],
        Agreement::Kappa { pairs, equal, kappa, ci95 } => {
            let (kappa, low, high) =
                (format!("{kappa:.2}"), format!("{:.2}", ci95.0), format!("{:.2}", ci95.1));
            let (pairs, equal) = (pairs.to_string(), format!("{:.0}", equal * 100.0));
            vec![
                words.say_with("blind-kappa", &[("kappa", &kappa), ("low", &low), ("high", &high)]),
                words.say_with("blind-pairs", &[("pairs", &pairs), ("equal", &equal)]),
                words.say("blind-what-it-says"),
            ]
        }
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    reviewer: String,
    #[serde(default)]
    count: String,
}

async fn ask(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    posted: Posted<Asked>,
) -> Result<Response, Failure> {
    let Asked { reviewer, count } = posted.form;
    let reviewer: AccountName =
        reviewer.trim().parse().map_err(|_| Failure::bad("alert-assignee-unknown"))?;
    let account = console.store.account(&reviewer).await?.filter(|a| !a.disabled);
    if !account.is_some_and(|a| a.roles.has(Role::Reviewer)) {
        return Err(Failure::bad("alert-assignee-unknown"));
    }
    let count = count.trim().parse::<usize>().ok().filter(|n| (1..=MOST).contains(n));
    let count = count.ok_or_else(|| Failure::bad("blind-count").with("most", MOST.to_string()))?;
    console.note(&visitor, "blind check", reviewer.as_str(), count.to_string()).await?;
    let at = console.clock.now().wall;
    let open_ms = i64::from(console.retention.open_alerts_days).saturating_mul(24 * 3_600_000);
    let since = WallTime::from_millis(at.as_millis().saturating_sub(open_ms));
    match console.store.ask_blind(&reviewer, visitor.account()?, count, (since, at)).await? {
        0 => Err(Failure::conflict("blind-none")),
        _ => Ok(Redirect::to("/blind").into_response()),
    }
}
