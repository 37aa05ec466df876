//! "My daughter paid": a declared proxy for the next time.

use std::sync::Arc;

use axum::extract::{Path, State as Held};
use axum::response::Response;
use jiff::civil::Date;
use serde::Deserialize;

use super::super::Console;
use super::super::failure::Failure;
use super::super::parts::{Mark, Nothing};
use super::super::route::{self, Route};
use super::super::shown::day;
use super::super::visitor::{Posted, Visitor};
use super::Opened;
use super::facts;
use super::steps::{back, text, unblind};
use crate::bureau::review::config::MOST_PROXY_DAYS;
use crate::bureau::review::proxies::Declaration;
use crate::bureau::store::{NewProxy, ProxyAddition};
use crate::clock::WallTime;
use crate::protocol::id::{AlertId, CardholderId};

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/alerts/{id}/proxies", route::REVIEW, declare),
        Route::post("/alerts/{id}/proxies/{proxy}/end", route::REVIEW, end),
    ]
}

/// Who is declared for the cardholder now.
#[derive(Default)]
pub(super) struct Proxies {
    pub(super) rows: Vec<ProxyRow>,
    /// For how many days the form offers to declare one.
    pub(super) days: u32,
    pub(super) most_days: u32,
    pub(super) today: String,
}

pub(super) struct ProxyRow {
    pub(super) id: String,
    pub(super) proxy: String,
    pub(super) relation: String,
    pub(super) until: String,
    pub(super) by: String,
    /// Whether anything can be compared with.
    pub(super) enrolled: Mark,
}

pub(super) async fn of(
    console: &Console,
    visitor: &Visitor,
    cardholder: Option<&CardholderId>,
) -> Result<Proxies, Failure> {
    let now = console.clock.now().wall;
    let days = console.review.proxy_days;
    let mut out =
        Proxies { days, most_days: MOST_PROXY_DAYS, today: day(now).to_string(), ..Proxies::default() };
    let Some(cardholder) = cardholder else { return Ok(out) };
    for held in console.store.proxies_of(cardholder, now).await? {
        let is_enrolled = console.store.is_enrolled(&held.declaration.proxy).await?;
        let (word, class) = if is_enrolled { ("yes", "good") } else { ("no", "watch") };
        out.rows.push(ProxyRow {
            id: held.id,
            proxy: held.declaration.proxy.to_string(),
            relation: held.declaration.relation,
            until: day(held.until).to_string(),
            by: held.declared_by,
            enrolled: Mark { text: visitor.words().word("alert-proxy-enrolled", word), class },
        });
    }
    Ok(out)
}

#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    proxy: String,
    #[serde(default)]
    relation: String,
    #[serde(default)]
    cardholder_consent: String,
    #[serde(default)]
    proxy_consent: String,
    #[serde(default)]
    consented_on: String,
    #[serde(default)]
    days: String,
}

async fn declare(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
    posted: Posted<Declared>,
) -> Result<Response, Failure> {
    let form = posted.form;
    let opened = Opened::of(&console, &visitor, id).await?;
    unblind(&console, &visitor, &opened).await?;
    let cardholder =
        opened.alert.event.as_ref().and_then(facts::cardholder).ok_or_else(Failure::not_found)?;
    let proxy: CardholderId = form.proxy.trim().parse().map_err(|_| Failure::bad("alert-proxy-number"))?;
    if proxy == *cardholder {
        return Err(Failure::bad("alert-proxy-number"));
    }
    let at = console.clock.now().wall;
    let consented: Date = form.consented_on.trim().parse().map_err(|_| Failure::bad("alert-day-required"))?;
    // A consent of tomorrow is none.
    if consented > day(at) {
        return Err(Failure::bad("alert-day-required"));
    }
    let days = form.days.trim().parse::<u32>().ok().filter(|d| (1..=MOST_PROXY_DAYS).contains(d));
    let days =
        days.ok_or_else(|| Failure::bad("alert-proxy-days").with("most", MOST_PROXY_DAYS.to_string()))?;
    let declaration = Declaration {
        cardholder: cardholder.clone(),
        proxy,
        relation: text(&form.relation)?,
        cardholder_consent: text(&form.cardholder_consent)?,
        proxy_consent: text(&form.proxy_consent)?,
        consented_on: consented.to_string(),
    };
    let mark = console.store.mark(cardholder);
    console.note(&visitor, "proxy declared", &mark, format!("{days} days")).await?;
    let until = WallTime::from_millis(at.as_millis().saturating_add(i64::from(days) * DAY_MS));
    let new = NewProxy { declaration: &declaration, by: visitor.account()?.as_str(), at, until };
    match console.store.declare_proxy(&new).await? {
        ProxyAddition::Added => Ok(back(id)),
        ProxyAddition::Declared => Err(Failure::conflict("alert-proxy-declared")),
        ProxyAddition::Full => Err(Failure::conflict("alert-proxy-full")),
    }
}

async fn end(
    Held(console): Held<Arc<Console>>,
    visitor: Visitor,
    Path((id, proxy)): Path<(AlertId, String)>,
    posted: Posted<Nothing>,
) -> Result<Response, Failure> {
    let Nothing {} = posted.form;
    let opened = Opened::of(&console, &visitor, id).await?;
    let cardholder =
        opened.alert.event.as_ref().and_then(facts::cardholder).ok_or_else(Failure::not_found)?;
    console.note(&visitor, "proxy ended", &console.store.mark(cardholder), String::new()).await?;
    if !console.store.end_proxy(&proxy, cardholder).await? {
        return Err(Failure::not_found());
    }
    Ok(back(id))
}
