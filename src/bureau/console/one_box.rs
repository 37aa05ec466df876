//! One box: how it stands, its figures beside the calibration's, a supervisor's
//! signature, documents for it, and whether it is heard.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::boxes::{BOXES, Known, mode, troubles};
use super::failure::Failure;
use super::frame::Frame;
use super::parts::{Mark, Nothing};
use super::privacy::agreement;
use super::route::{ADMINISTER, Route, SUPERVISE};
use super::shown::{moment, moment_or_dash, short};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::commission::{self, Signing};
use crate::bureau::handouts::{self, Document};
use crate::bureau::store::{AgentSummary, Code, HandedOut};
use crate::bureau::{BureauError, agents};
use crate::clock::WallTime;
use crate::commissioning::recommend::{Concern, Recommendation};
use crate::commissioning::report::Report;
use crate::crypto::Sha256;
use crate::protocol::document::DocumentKind;
use crate::protocol::id::{AgentId, CounterId};
use crate::protocol::policy::PolicyDocument;
use crate::protocol::posture::{CameraState, Posture};
use crate::svg::Told;
use crate::svg::chart::Spread;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/boxes/{name}", BOXES, show),
        Route::post("/boxes/{name}/sign", SUPERVISE, sign),
        Route::post("/boxes/{name}/revoke", SUPERVISE, revoke),
        Route::post("/boxes/{name}/hand-out", ADMINISTER, hand_out),
        Route::post("/boxes/{name}/suspend", ADMINISTER, suspend),
        Route::post("/boxes/{name}/resume", ADMINISTER, resume),
    ]
}

struct Figures {
    picture: String,
    settlements: u64,
    inconclusive: String,
    verdicts: Vec<(String, u64)>,
    advice: String,
    advice_class: &'static str,
    concerns: Vec<String>,
    needs_reason: bool,
}

struct Handed {
    number: u64,
    kind: String,
    digest: String,
    by: String,
    at: String,
    arrived: Option<String>,
    in_force: bool,
}

#[derive(Template)]
#[template(path = "console/box.html")]
struct BoxPage<'a> {
    frame: Frame<'a>,
    name: String,
    facts: Vec<(String, String)>,
    mode: String,
    policy: Mark,
    troubles: Vec<String>,
    figures: Option<Figures>,
    handed_out: Vec<Handed>,
    has_declared: bool,
    calibrations: Vec<String>,
    suspended: bool,
    supervises: bool,
    administers: bool,
    may_join: bool,
}

fn named(name: &str) -> Result<AgentId, Failure> {
    name.parse().map_err(|_| Failure::not_found())
}

async fn show(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let (store, name) = (&console.store, named(&name)?);
    let summary = store.agent_summary(&name).await?.ok_or_else(Failure::not_found)?;
    let of = Known::of(store, summary.agent.clone()).await?;
    let new_epoch = store.newer_epochs().await?.get(&name).copied();
    let code = store.codes().await?.into_iter().find(|c| c.agent == name);
    let report = match commission::report(store, &name).await {
        Ok(report) => Some(report),
        // It has not told how it stands.
        Err(BureauError::Command(_)) => None,
        Err(e) => return Err(e.into()),
    };
    let told = of.told();
    let in_force = told.map(|p| [p.policy, p.calibration]).into_iter().flatten().collect::<Vec<_>>();
    let handed_out = store.handed_out(Some(&name)).await?;
    let calibrations = store.document_digests(DocumentKind::Calibration).await?;
    page(
        &visitor,
        &BoxPage {
            frame: Frame::titled(&visitor, name.to_string()),
            facts: facts(&visitor, &of, &summary, (code.as_ref(), new_epoch)),
            policy: agreement(&visitor, of.agreement()),
            troubles: troubles(&visitor, &of),
            mode: mode(&visitor, report.as_ref().map(|r| r.standing.mode)),
            figures: report.as_ref().map(|r| figures(&visitor, r)),
            handed_out: handed_out.into_iter().map(|h| handed(&visitor, h, &in_force)).collect(),
            has_declared: of.declared_policy.is_some(),
            calibrations: calibrations.iter().map(ToString::to_string).collect(),
            suspended: of.agent.suspended,
            supervises: visitor.has(Role::Supervisor),
            administers: visitor.has(Role::Administrator),
            may_join: console.codes.is_some(),
            name: name.to_string(),
        },
    )
}

/// What is on record of it and what it last said, by name.
fn facts(
    visitor: &Visitor,
    of: &Known,
    summary: &AgentSummary,
    (code, new_epoch): (Option<&Code>, Option<WallTime>),
) -> Vec<(String, String)> {
    let words = visitor.words();
    let told = |what: fn(&Posture) -> String| of.told().map_or_else(|| "–".to_owned(), what);
    let camera = |(counter, state): (&CounterId, &CameraState)| {
        format!("{counter}: {}", words.word("alert-camera", state.as_str()))
    };
    let cameras: Vec<String> = of.told().into_iter().flat_map(|p| p.cameras.iter().map(camera)).collect();
    [
        ("box-hospital", of.agent.hospital.to_string()),
        ("box-key", of.agent.public_key.id().to_string()),
        ("box-certificate", short(of.agent.certificate)),
        ("box-certificate-until", moment_or_dash(code.and_then(|c| c.certificate_until))),
        ("box-joined", moment_or_dash(code.and_then(|c| c.used_at))),
        ("box-last", moment_or_dash(of.agent.last_seen)),
        (
            "box-held",
            format!("{} / {} / {} / {}", summary.events, summary.gaps, summary.expired, summary.broken),
        ),
        ("box-waiting", told(|p| format!("{} / {}", p.outbox_waiting, p.outbox_set_aside))),
        ("box-version", told(|p| p.agent_version.clone())),
        ("box-wanted", told(|p| p.wanted.as_ref().map_or_else(|| "–".to_owned(), |w| w.version.clone()))),
        ("box-calibration", told(|p| short(p.calibration))),
        ("box-policy", told(|p| short(p.policy))),
        ("box-liveness", told(|p| p.liveness.clone())),
        (
            "box-verdicts",
            told(|p| p.verdicts.iter().map(|(v, n)| format!("{v} {n}")).collect::<Vec<_>>().join(", ")),
        ),
        ("box-cameras", if cameras.is_empty() { "–".to_owned() } else { cameras.join(", ") }),
        ("box-new-epoch", moment_or_dash(new_epoch)),
    ]
    .map(|(id, value)| (words.say(id), value))
    .to_vec()
}

fn handed(visitor: &Visitor, h: HandedOut, in_force: &[Sha256]) -> Handed {
    Handed {
        number: h.number,
        kind: visitor.words().word("document", h.kind.as_str()),
        digest: h.digest.to_string(),
        by: h.by,
        at: moment(h.at),
        arrived: h.arrived_at.map(moment),
        in_force: in_force.contains(&h.digest),
    }
}

fn figures(visitor: &Visitor, report: &Report) -> Figures {
    let words = visitor.words();
    let seen = &report.standing.figures;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let concern = |c: &Concern| match c {
        Concern::LikeStrangers => words.say("concern-like-strangers"),
        Concern::FarFromGenuine { statistic } => {
            words.say_with("concern-far-from-genuine", &[("statistic", &format!("{statistic:.2}"))])
        }
        Concern::Inconclusive { share, most, reason } => words.say_with(
            "concern-inconclusive",
            &[("share", &percent(*share)), ("most", &percent(*most)), ("reason", reason)],
        ),
        Concern::Mismatches { share } => words.say_with("concern-mismatches", &[("share", &percent(*share))]),
    };
    let (advice, advice_class, concerns) = match &report.recommendation {
        Recommendation::Arm => (words.say("advice-arm"), "good", Vec::new()),
        Recommendation::Wait { seen, wanted, concerns } => (
            words.say_with("advice-wait", &[("seen", &seen.to_string()), ("wanted", &wanted.to_string())]),
            "watch",
            concerns.iter().map(concern).collect(),
        ),
        Recommendation::DoNotArm { concerns } => {
            (words.say("advice-do-not-arm"), "trouble", concerns.iter().map(concern).collect())
        }
    };
    Figures {
        picture: picture(visitor, report),
        settlements: seen.scores.total(),
        inconclusive: percent(seen.inconclusive_share()),
        verdicts: seen.verdicts.iter().map(|(v, n)| (v.clone(), *n)).collect(),
        advice,
        advice_class,
        concerns,
        needs_reason: report.recommendation != Recommendation::Arm,
    }
}

/// The box's scores beside the calibration's two distributions.
fn picture(visitor: &Visitor, report: &Report) -> String {
    let words = visitor.words();
    let names = ["figures-this-box", "figures-genuine", "figures-impostor"].map(|id| words.say(id));
    let seen = report.standing.figures.scores.shares();
    let mut distributions: Vec<(&str, &[f64])> = Vec::new();
    let [this, genuine, impostor] = &names;
    if let Some(seen) = &seen {
        distributions.push((this, seen.by_bin()));
    }
    if let Some(expected) = &report.expected {
        distributions.push((genuine, expected.genuine.by_bin()));
        distributions.push((impostor, expected.impostor.by_bin()));
    }
    if distributions.is_empty() {
        return String::new();
    }
    let (title, description) = (words.say("figures-picture"), words.say("figures-picture-told"));
    let told = Told { id: "figures", title: &title, description: &description };
    Spread { told, axis: (-1.0, 1.0), distributions: &distributions, marks: &[] }.draw()
}

fn back(name: &AgentId) -> Response {
    Redirect::to(&format!("/boxes/{name}")).into_response()
}

#[derive(Deserialize)]
struct SignForm {
    #[serde(default)]
    note: String,
    #[serde(default)]
    without_figures: String,
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|t| !t.trim().is_empty())
}

async fn sign(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Posted { form }: Posted<SignForm>,
) -> Result<Response, Failure> {
    let name = named(&name)?;
    let signing = Signing {
        supervisor: visitor.account()?.as_str().to_owned(),
        note: given(form.note),
        without_figures: given(form.without_figures),
        calibration: None,
    };
    commission::sign(&console.store, &console.key, &name, signing).await?;
    Ok(back(&name))
}

#[derive(Deserialize)]
struct RevokeForm {
    reason: String,
}

async fn revoke(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Posted { form }: Posted<RevokeForm>,
) -> Result<Response, Failure> {
    let name = named(&name)?;
    let supervisor = visitor.account()?.as_str().to_owned();
    commission::revoke(&console.store, &console.key, &name, supervisor, form.reason).await?;
    Ok(back(&name))
}

#[derive(Deserialize)]
struct HandOutForm {
    /// `declared`, the digest of a calibration that is held here, or `pasted`.
    what: String,
    #[serde(default)]
    text: String,
}

async fn hand_out(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Posted { form }: Posted<HandOutForm>,
) -> Result<Response, Failure> {
    let (store, name) = (&console.store, named(&name)?);
    let document = match form.what.as_str() {
        "declared" => {
            let declared = store.declared_policy(&name).await?.ok_or_else(Failure::not_found)?;
            Document::policy(PolicyDocument::to_string(&declared).as_bytes())
        }
        // Browsers send line ends as CR LF; calibrations have LF, which their digest is of.
        "pasted" => Document::calibration(form.text.replace("\r\n", "\n").into_bytes()),
        digest => {
            let digest = digest.parse().map_err(|_| Failure::not_found())?;
            Document::calibration(store.document(digest).await?.ok_or_else(Failure::not_found)?)
        }
    };
    let document = document.map_err(Failure::refused)?;
    let now = console.clock.now().wall;
    handouts::hand_out(store, &console.key, &visitor.acts_as()?, &name, (&document, now)).await?;
    Ok(back(&name))
}

async fn suspend(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let name = named(&name)?;
    agents::set_suspended(&console.store, &visitor.acts_as()?, &name, true).await?;
    Ok(back(&name))
}

async fn resume(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let name = named(&name)?;
    agents::set_suspended(&console.store, &visitor.acts_as()?, &name, false).await?;
    Ok(back(&name))
}
