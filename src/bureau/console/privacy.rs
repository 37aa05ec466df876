//! The privacy officer's pages: each box's policy, limits, purges and audit log, the
//! bureau's own, and the file for an inspection.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::failure::Failure;
use super::frame::Frame;
use super::parts::{HospitalNames, JSON, Mark, Nothing, file};
use super::route::{Needs, Route};
use super::shown::{day, moment, moment_or_dash, short, span};
use super::visitor::{Posted, Visitor};
use super::{Console, page};
use crate::bureau::accounts::Role;
use crate::bureau::privacy::{self, Agreement, BoxPrivacy, FILING_AT, Filing, Overview};
use crate::bureau::rights;
use crate::http::language::Language;
use crate::privacy::policy::{Limit, all_limits};
use crate::svg::chart::Unit;

/// Who reads these pages.
pub(super) const READ: Needs = Needs::Roles(&[Role::PrivacyOfficer, Role::Supervisor]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/privacy", READ, show),
        Route::get("/privacy/boxes/{name}", READ, one),
        Route::post("/privacy/export", READ, export),
    ]
}

struct Row {
    name: String,
    hospital: String,
    agreement: Mark,
    audit: Mark,
    review: String,
    overdue: Option<i32>,
    last_purge: String,
    outlived: String,
    version: String,
}

struct Held {
    kind: String,
    days: u32,
    ceiling: u64,
    at: String,
    deleted: String,
    oldest: String,
}

#[derive(Template)]
#[template(path = "console/privacy.html")]
struct PrivacyPage<'a> {
    frame: Frame<'a>,
    rows: Vec<Row>,
    limits: Vec<Held>,
    enrolled: i64,
    line: String,
    filing: String,
    filing_class: &'static str,
    waiting: usize,
    overdue: usize,
}

/// Whether a box's policy is the declared one.
pub(super) fn agreement(visitor: &Visitor, of: Agreement) -> Mark {
    let class = match of {
        Agreement::Same => "good",
        Agreement::Differs => "bad",
        Agreement::NotDeclared | Agreement::NotTold => "watch",
    };
    Mark::new(visitor.words().word("agreement", of.as_str()), class)
}

/// Whether the audit log's heads fit: `good`, `bad` or `watch`, in words.
fn audit(visitor: &Visitor, of: &BoxPrivacy) -> Mark {
    let words = visitor.words();
    match (of.findings.len(), of.head_at) {
        (0, Some(at)) => Mark::new(words.say_with("audit-verified", &[("at", &moment(at))]), "good"),
        (0, None) => Mark::new(words.say("audit-not-seen"), "watch"),
        (n, _) => Mark::new(words.say_with("audit-findings", &[("number", &n.to_string())]), "bad"),
    }
}

fn row(visitor: &Visitor, of: &BoxPrivacy, names: &HospitalNames) -> Row {
    let last = of.purges.iter().filter(|(kind, _)| *kind != "frames_seconds").map(|(_, p)| p.at).max();
    let last = last.or_else(|| of.purges.values().map(|p| p.at).max());
    Row {
        name: of.agent.to_string(),
        hospital: names.name(&of.hospital),
        agreement: agreement(visitor, of.agreement),
        audit: audit(visitor, of),
        review: of.assessment.as_ref().map_or_else(|| "–".to_owned(), |a| a.review_by.to_string()),
        overdue: of.overdue_days.filter(|d| *d > 0),
        last_purge: moment_or_dash(last),
        outlived: of.outlived().collect::<Vec<_>>().join(", "),
        version: of.version.clone().unwrap_or_else(|| "–".to_owned()),
    }
}

/// What a kind of data is, in the visitor's language.
fn said(visitor: &Visitor, limit: &Limit) -> String {
    match visitor.language {
        Language::Chinese => limit.what.zh,
        Language::English => limit.what.en,
    }
    .to_owned()
}

async fn look(console: &Console) -> Result<Overview, Failure> {
    let today = day(console.clock.now().wall);
    Ok(privacy::overview(&console.store, &console.retention, today).await?)
}

async fn show(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let (overview, words) = (look(&console).await?, visitor.words());
    let (waiting, overdue) = rights::waiting(&console.store, console.clock.now().wall).await?;
    let names = HospitalNames::of(&console.store).await?;
    let limits = overview.bureau.iter().map(|l| Held {
        kind: said(&visitor, &l.kind.limit()),
        days: l.days,
        ceiling: l.ceiling_days,
        at: moment_or_dash(l.last.as_ref().map(|p| p.at)),
        deleted: l.last.as_ref().map_or_else(|| "–".to_owned(), |p| p.deleted.to_string()),
        oldest: moment_or_dash(l.last.as_ref().and_then(|p| p.oldest_left)),
    });
    let page_of = PrivacyPage {
        frame: Frame::new(&visitor, "privacy-title"),
        rows: overview.boxes.iter().map(|b| row(&visitor, b, &names)).collect(),
        limits: limits.collect(),
        enrolled: overview.enrolled,
        line: Unit::Count.write(FILING_AT as f64),
        filing: words.word("filing", overview.filing.as_str()),
        filing_class: match overview.filing {
            Filing::NotDue => "good",
            Filing::Near => "watch",
            Filing::Due => "trouble",
        },
        waiting,
        overdue,
    };
    page(&visitor, &page_of)
}

struct Kept {
    kind: String,
    limit: String,
    at: String,
    deleted: String,
    since_start: String,
    oldest: String,
    outlived: bool,
}

#[derive(Template)]
#[template(path = "console/privacy_box.html")]
struct BoxPage<'a> {
    frame: Frame<'a>,
    facts: Vec<(String, String)>,
    overdue: Option<i32>,
    agreement: Mark,
    differences: Vec<(String, String, String)>,
    kept: Vec<Kept>,
    audit: Mark,
    findings: Vec<(String, String, String, String)>,
    models: Vec<(String, String)>,
}

async fn one(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let overview = look(&console).await?;
    let of = overview.boxes.iter().find(|b| b.agent.as_str() == name).ok_or_else(Failure::not_found)?;
    let words = visitor.words();
    let dash = || "–".to_owned();
    let digest = |d: Option<crate::crypto::Sha256>| d.map_or_else(dash, short);
    let notice = of.notice.as_ref();
    let names = HospitalNames::of(&console.store).await?;
    let facts = [
        ("box-hospital", names.name(&of.hospital)),
        ("privacy-posture", moment_or_dash(of.posture_at)),
        ("box-version", of.version.clone().unwrap_or_else(dash)),
        ("privacy-declared", digest(of.declared)),
        ("privacy-in-force", digest(of.in_force)),
        ("privacy-notice", notice.map_or_else(dash, |n| format!("{} ({})", n.id, n.posted_on))),
        ("privacy-notice-place", notice.map_or_else(dash, |n| n.place.clone())),
        ("privacy-notice-digest", notice.map_or_else(dash, |n| short(n.sha256))),
        ("privacy-assessment", of.assessment.as_ref().map_or_else(dash, |a| a.id.clone())),
        ("privacy-review", of.assessment.as_ref().map_or_else(dash, |a| a.review_by.to_string())),
        ("box-calibration", digest(of.calibration)),
    ];
    let kept = of.retention_s.iter().map(|(kind, limit)| {
        let last = of.purges.get(kind);
        Kept {
            kind: all_limits().find(|l| l.key == kind).map_or_else(|| kind.clone(), |l| said(&visitor, &l)),
            limit: span(*limit),
            at: moment_or_dash(last.map(|p| p.at)),
            deleted: last.map_or_else(dash, |p| p.deleted.to_string()),
            since_start: last.map_or_else(dash, |p| p.since_start.to_string()),
            oldest: last.and_then(|p| p.oldest_left_s).map_or_else(dash, span),
            outlived: of.outlived().any(|k| k == kind),
        }
    });
    let differences = of.differences.iter().map(|d| {
        let side = |s: &Option<String>| s.clone().unwrap_or_else(dash);
        (d.field.clone(), side(&d.at_box), side(&d.declared))
    });
    let findings = of.findings.iter().map(|f| {
        (
            words.word("finding", f.kind.as_str()),
            f.held.seq.to_string(),
            f.found.seq.to_string(),
            moment(f.last_at),
        )
    });
    let page_of = BoxPage {
        frame: Frame::titled(&visitor, words.say_with("privacy-box-title", &[("name", &name)])),
        facts: facts.map(|(id, value)| (words.say(id), value)).to_vec(),
        overdue: of.overdue_days.filter(|d| *d > 0),
        agreement: agreement(&visitor, of.agreement),
        differences: differences.collect(),
        kept: kept.collect(),
        audit: audit(&visitor, of),
        findings: findings.collect(),
        models: of.models.iter().map(|(role, d)| (role.clone(), d.to_string())).collect(),
    };
    page(&visitor, &page_of)
}

async fn export(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    _: Posted<Nothing>,
) -> Result<Response, Failure> {
    let (overview, now) = (look(&console).await?, console.clock.now().wall);
    let by = visitor.acts_as()?;
    let signed = privacy::inspection(&console.store, &console.key, &by, &overview, now).await?;
    Ok(file(JSON, &format!("inspection-{}.json", day(now)), signed))
}
