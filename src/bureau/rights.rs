//! A person's rights about their own data: to know, to have it corrected, to have it
//! erased, to be compared no more. Each request is written down with its deadline.
//!
//! Promises: nothing of these is done that is not an act first, under the
//! cardholder's mark; an erasure leaves what a case keeps, and its signed receipt
//! says so; an export holds no embedding. Who the person is that asks, the desk
//! checks before it enters the number: the program cannot.
//!
//! Why no embedding: it is of use to nobody who is not comparing faces, and a copy
//! outside the seal is a danger to the person it is about. That one is held, since
//! when and made by which model is in the export.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::BureauError;
use super::acts::{self, Person, on_one_line};
use super::exempt;
use super::store::{DeclaredProxy, NewRequest, Receipt, Request, Store, StoreError};
use crate::clock::WallTime;
use crate::crypto::sign::SigningKey;
use crate::protocol::commission::MAX_TEXT;
use crate::protocol::id::CardholderId;
use crate::settings::Problem;

/// `[rights]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightsConfig {
    /// Days from receipt within which a request is answered.
    pub answer_days: u32,
}

impl Default for RightsConfig {
    fn default() -> Self {
        Self { answer_days: 15 }
    }
}

impl RightsConfig {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<Problem> {
        (!(1..=30).contains(&self.answer_days)).then(|| {
            let advice = "PIPL art. 50 asks for a timely answer; 15 days lie within any 15 working days.";
            Problem::new("rights.answer_days", self.answer_days, "1 to 30", advice)
        })
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To know what is held.
    Access,
    /// To have it corrected.
    Correction,
    /// To have it erased.
    Erasure,
    /// To be compared no more.
    Exemption,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Access, Self::Correction, Self::Erasure, Self::Exemption];

    /// Its word in the store and in forms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Correction => "correction",
            Self::Erasure => "erasure",
            Self::Exemption => "exemption",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|k| k.as_str() == s);
        known.ok_or_else(|| "expected access, correction, erasure or exemption".to_owned())
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was asked for was done.
    Done,
    /// It was refused, with the reason.
    Refused,
}

fn refuse<T>(what: String) -> Result<T, BureauError> {
    Err(BureauError::Command(what))
}

/// Writes down what somebody asks for; the id of the request.
///
/// # Errors
/// If it was received in the future, or what is asked is not said.
pub async fn open(
    store: &Store,
    config: &RightsConfig,
    by: &Person,
    (kind, cardholder): (Kind, CardholderId),
    (asked, received_at, now): (String, WallTime, WallTime),
) -> Result<String, BureauError> {
    if received_at > now {
        return refuse(format!("received: found {received_at}; allowed: today or before"));
    }
    let asked = on_lines(asked)?;
    let due_at = received_at.plus(Duration::from_secs(u64::from(config.answer_days) * 86_400));
    acts::note(store, by, "rights request", &store.mark(&cardholder), kind.as_str().to_owned()).await?;
    let new =
        NewRequest { kind: kind.as_str(), cardholder, asked, received_at, due_at, by: by.name().to_owned() };
    Ok(store.open_request(&new).await?)
}

/// A text of a few lines, neither empty nor too long.
fn on_lines(found: String) -> Result<String, BureauError> {
    const MOST: usize = 2000;
    let text = found.trim().replace("\r\n", "\n");
    let n = text.chars().count();
    if (1..=MOST).contains(&n) && !text.chars().any(|c| c.is_control() && c != '\n') {
        return Ok(text);
    }
    refuse(format!("what is asked: found {n} characters; allowed: 1 to {MOST}, without control characters"))
}

/// All that is held about a cardholder, as one document; that it was taken out is
/// an act.
///
/// # Errors
/// If the store fails.
pub async fn export(
    store: &Store,
    by: &Person,
    cardholder: &CardholderId,
    now: WallTime,
) -> Result<Value, BureauError> {
    let mark = store.mark(cardholder);
    acts::note(store, by, "rights export", &mark, String::new()).await?;
    let mut alerts = Vec::new();
    for held in store.alerts_about(&mark).await? {
        let evidence = store.evidence(held.id).await?;
        let about_it = store.acts_about(&held.id.to_string()).await?;
        alerts.push(json!({
            "standing": held,
            "received_at": evidence.as_ref().map(|e| e.alert.received_at),
            "event": evidence.as_ref().map(|e| &e.event),
            "steps": store.steps(held.id, 0).await?,
            "blind_decisions": store.blind_said(held.id).await?,
            "letters": store.letters(held.id).await?,
            "acts": about_it,
        }));
    }
    let exemption = store.exemptions(now).await?.into_iter().find(|e| e.cardholder == *cardholder);
    let requests = store.requests_about(&mark).await?;
    let mut receipts = Vec::new();
    for request in &requests {
        receipts.extend(store.receipts(&request.id).await?);
    }
    Ok(json!({
        "format": "counterproof.access.v1",
        "made_at": now,
        "cardholder": cardholder,
        "mark": mark,
        "references": store.held_references(cardholder).await?,
        "references_note": "that a reference is held, not the embedding in it (docs/privacy.md)",
        "certificates_known_by_hash": store.certificates_of(cardholder).await?,
        "alerts": alerts,
        "exemption": exemption.map(|e| json!({
            "until": e.until, "by": e.by, "at": e.at, "reason": e.reason,
        })),
        "declared_proxies": declarations(store, cardholder).await?,
        "settlement_statistics": store.settled_of(&mark).await?,
        "check_ins": store.check_ins_about(&mark).await?,
        "requests": requests,
        "erasures": receipts,
        "acts": store.acts_about(&mark).await?,
    }))
}

/// Declarations about a person. For whom they may act is another person's data: that
/// they may is said, and nobody's number.
async fn declarations(store: &Store, person: &CardholderId) -> Result<Vec<Value>, StoreError> {
    let held = store.declarations_about(person).await?;
    let told = |held: DeclaredProxy| {
        if held.declaration.cardholder == *person {
            return json!({ "as": "cardholder", "held": held });
        }
        let mut held = json!(held);
        if let Some(declaration) = held["declaration"].as_object_mut() {
            declaration.retain(|key, _| key != "cardholder" && key != "cardholder_consent");
        }
        json!({ "as": "proxy", "held": held })
    };
    Ok(held.into_iter().map(told).collect())
}

/// Erases what is held about the cardholder of a request and no case keeps; the
/// signed receipt. The request ends with it.
///
/// # Errors
/// If there is no such request, it is no request for erasure, or it was ended.
pub async fn erase(
    store: &Store,
    key: &SigningKey,
    by: &Person,
    id: &str,
    now: WallTime,
) -> Result<Receipt, BureauError> {
    let request = opened(store, id).await?;
    if request.kind != Kind::Erasure.as_str() {
        return refuse("this request asks for something else than erasure".into());
    }
    acts::note(store, by, "rights erase", &request.mark, format!("request {id}")).await?;
    let receipt = store.erase_for(&request, key, by.name(), now).await?;
    let Receipt { erasure, .. } = &receipt;
    let outcome = format!(
        "erased: {} references, {} alerts, {} check-ins; kept by a case: {}; receipt {}",
        erasure.references.len(),
        erasure.alerts.len(),
        erasure.check_ins,
        erasure.stays.len(),
        erasure.id
    );
    store.end_request(id, ("done", outcome), by.name(), now).await?;
    // A reader may hold it for a moment; then the hourly purge empties it.
    if let Err(error) = store.empty_log().await {
        tracing::warn!(%error, "what was erased stays in the write-ahead log until the next purge");
    }
    Ok(receipt)
}

/// Keeps the cardholder of a request from being compared, until a day.
///
/// # Errors
/// As [`exempt::add`], or if the request is no open one for exemption.
pub async fn exempt(
    store: &Store,
    by: &Person,
    id: &str,
    (until, reason): (&str, String),
    now: WallTime,
) -> Result<(), BureauError> {
    let request = opened(store, id).await?;
    if request.kind != Kind::Exemption.as_str() {
        return refuse("this request asks for something else than exemption".into());
    }
    exempt::add(store, by.name().to_owned(), request.cardholder, until, reason).await?;
    store.end_request(id, ("done", format!("exempt until {until}")), by.name(), now).await?;
    Ok(())
}

/// Ends a request with what came of it, in words.
///
/// # Errors
/// If there is no such request, it was ended, or nothing is said.
pub async fn end(
    store: &Store,
    by: &Person,
    id: &str,
    (how, outcome): (End, String),
    now: WallTime,
) -> Result<(), BureauError> {
    let outcome = on_one_line("outcome", outcome, MAX_TEXT)?;
    let request = opened(store, id).await?;
    let (state, what) = match how {
        End::Done => ("done", "rights done"),
        End::Refused => ("refused", "rights refused"),
    };
    acts::note(store, by, what, &request.mark, format!("request {id}")).await?;
    if store.end_request(id, (state, outcome), by.name(), now).await? {
        return Ok(());
    }
    refuse("somebody else ended this request meanwhile".into())
}

async fn opened(store: &Store, id: &str) -> Result<Request, BureauError> {
    match store.request(id).await? {
        Some(request) if request.state == "open" => Ok(request),
        Some(request) => refuse(format!("this request was ended before ({})", request.state)),
        None => refuse("there is no such request, or it has reached its limit".into()),
    }
}

/// How many requests wait, and how many of them too long.
///
/// # Errors
/// If the store fails.
pub async fn waiting(store: &Store, now: WallTime) -> Result<(usize, usize), StoreError> {
    let open: Vec<Request> = store.requests(1000).await?.into_iter().filter(|r| r.state == "open").collect();
    let overdue = open.iter().filter(|r| r.is_overdue(now)).count();
    Ok((open.len(), overdue))
}
