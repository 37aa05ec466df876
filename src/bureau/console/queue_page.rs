//! The queue as its templates see it: lines of text, which they escape.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use super::parts::{Mark, claim};
use super::queue_asked::{Asked, Band, MINE, NEWEST, NOBODY, SERIOUS};
use super::shown::{moment, yuan};
use super::visitor::Visitor;
use crate::bureau::review::Claim;
use crate::bureau::store::{ChainState, Hospital, QueueRow, QueueState};
use crate::clock::WallTime;

const DAY_MS: i64 = 24 * 3_600_000;
/// From so many days before its limit on, an alert's age is marked.
const SOON_DAYS: i64 = 14;

/// One state of alerts, as a link.
pub(super) struct Tab {
    pub(super) state: &'static str,
    pub(super) n: String,
    pub(super) link: String,
    pub(super) is_here: bool,
}

/// Where other pages are.
pub(super) struct Links {
    pub(super) top: Option<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// One alert.
pub(super) struct Line {
    id: String,
    arrival: i64,
    settled: String,
    settled_exactly: String,
    hospital: String,
    district: Option<String>,
    counter: String,
    amount: String,
    kind: String,
    claim: Mark,
    band: String,
    seriousness: Mark,
    is_signed: bool,
    signature: Mark,
    chain: Option<Mark>,
    state: Mark,
    decision: Option<String>,
    assignee: Option<String>,
    age: Mark,
    /// That a letter about it waits longer than it should.
    letter: Option<String>,
    /// What somebody who does not see the page is told when it changed.
    said: String,
}

impl Line {
    /// `limit` is how many days an open alert is kept.
    pub(super) fn new(visitor: &Visitor, row: &QueueRow, now: WallTime, limit: u32) -> Self {
        let words = visitor.words();
        let settled = moment(row.occurred_at);
        let state = Mark::new(words.word("alert-state", row.state.as_str()), state_class(row.state));
        let said = words.say_with("queue-said", &[("settled", &settled), ("state", &state.text)]);
        let (name, district) = row.place.clone().unzip();
        Self {
            id: row.alert.id.to_string(),
            arrival: row.alert.arrival,
            settled_exactly: Timestamp::from_millisecond(row.occurred_at.as_millis())
                .map(|t| t.to_string())
                .unwrap_or_default(),
            settled,
            hospital: name.unwrap_or_else(|| row.hospital.clone()),
            district: district.filter(|d| !d.is_empty()),
            counter: row.counter.clone(),
            amount: yuan(row.amount_fen.unsigned_abs()),
            kind: words.care(&row.medical_type),
            claim: claim(words, row.claim),
            band: match row.claim {
                Claim::Mismatch => words.word("queue-band", Band::of(row.score_bin).as_str()),
                // Nobody was compared at an entrance whom nobody saw there.
                Claim::Absent => words.word("queue-band", "none"),
            },
            seriousness: match row.seriousness {
                0 => Mark::new(words.word("queue-serious", "ordinary"), "calm"),
                1 => Mark::new(words.word("queue-serious", "raised"), "watch"),
                _ => Mark::new(words.word("queue-serious", "high"), "bad"),
            },
            is_signed: row.alert.signature_valid,
            // Plain where nothing is amiss: what stands out is what wants somebody.
            signature: match row.alert.signature_valid {
                true => Mark::new(words.word("queue-signature", "valid"), "calm"),
                false => Mark::new(words.word("queue-signature", "invalid"), "bad"),
            },
            chain: match row.alert.chain {
                ChainState::Ok => None,
                ChainState::Gap => Some(Mark::new(words.word("queue-chain", "gap"), "watch")),
                ChainState::Expired => Some(Mark::new(words.word("queue-chain", "expired"), "watch")),
                ChainState::Broken => Some(Mark::new(words.word("queue-chain", "broken"), "bad")),
            },
            state,
            decision: row.decision.as_deref().map(|d| words.word("alert-decision", d)),
            assignee: row.assignee.clone(),
            age: age(visitor, row, now, i64::from(limit)),
            letter: None,
            said,
        }
    }

    /// Whether signature and chain are as they should be.
    const fn is_sound(&self) -> bool {
        self.is_signed && self.chain.is_none()
    }

    /// The same, of an alert of which a letter waits longer than it should.
    pub(super) fn with_letter_overdue(self, visitor: &Visitor) -> Self {
        Self { letter: Some(visitor.words().say("alert-letter-overdue")), ..self }
    }
}

const fn state_class(state: QueueState) -> &'static str {
    match state {
        QueueState::Open => "",
        QueueState::Decided | QueueState::Withdrawn => "quiet",
    }
}

/// How old an alert is, and how long it is still kept.
fn age(visitor: &Visitor, row: &QueueRow, now: WallTime, limit: i64) -> Mark {
    let days = (now.as_millis() - row.alert.received_at.as_millis()).max(0) / DAY_MS;
    let words = visitor.words();
    if row.state != QueueState::Open {
        return Mark::new(words.count("queue-age", days), "");
    }
    let left = (limit - days).max(0);
    let text = words.say_with("queue-age-of", &[("days", &days.to_string()), ("limit", &limit.to_string())]);
    Mark::new(text, if left <= SOON_DAYS { "overdue" } else { "" })
}

/// An entry of a list to choose from.
struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "console/queue.html")]
pub(super) struct QueuePageOf<'a> {
    frame: Frame<'a>,
    asked: Asked,
    tabs: Vec<Tab>,
    lines: Vec<Line>,
    links: Links,
    newest: i64,
    /// The address of the new alerts' count and rows, but for the moment.
    fresh: String,
    rows: String,
    top: String,
    hospitals: Vec<Choice>,
    districts: Vec<Choice>,
    claims: Vec<Choice>,
    bands: Vec<Choice>,
    orders: Vec<Choice>,
    assignees: Vec<Choice>,
}

impl<'a> QueuePageOf<'a> {
    pub(super) fn new(
        visitor: &'a Visitor,
        asked: Asked,
        tabs: Vec<Tab>,
        lines: Vec<Line>,
        links: Links,
        hospitals: Vec<Hospital>,
        newest: i64,
    ) -> Self {
        let words = visitor.words();
        let choice = |value: &str, label: String, chosen: &str| Choice {
            is_chosen: value == chosen.trim(),
            value: value.to_owned(),
            label,
        };
        let mut districts: Vec<&str> = hospitals.iter().map(|h| h.district.as_str()).collect();
        districts.retain(|d| !d.is_empty());
        districts.dedup();
        let order = if asked.order.is_empty() { SERIOUS } else { asked.order.as_str() };
        Self {
            frame: Frame::new(visitor, "queue-title"),
            newest,
            fresh: asked.link("/alerts/fresh", &[]),
            rows: asked.link("/alerts/rows", &[]),
            top: asked.link("/alerts", &[]),
            districts: districts.into_iter().map(|d| choice(d, d.to_owned(), &asked.district)).collect(),
            hospitals: hospitals
                .iter()
                .map(|h| choice(h.code.as_str(), format!("{} · {}", h.name, h.code), &asked.hospital))
                .collect(),
            claims: Claim::ALL
                .iter()
                .map(|c| choice(c.as_str(), words.word("claim", c.as_str()), &asked.claim))
                .collect(),
            bands: Band::ALL
                .map(|b| choice(b.as_str(), words.word("queue-band", b.as_str()), &asked.score))
                .into(),
            orders: [SERIOUS, NEWEST].map(|o| choice(o, words.word("queue-order", o), order)).into(),
            assignees: [MINE, NOBODY]
                .map(|a| choice(a, words.word("queue-assignee", a), &asked.assignee))
                .into(),
            asked,
            tabs,
            lines,
            links,
        }
    }
}

/// Lines alone, for a page that is open.
#[derive(Template)]
#[template(path = "console/queue_lines.html")]
pub(super) struct LinesPage<'a> {
    frame: Frame<'a>,
    lines: Vec<Line>,
    newest: i64,
}

impl<'a> LinesPage<'a> {
    pub(super) fn new(visitor: &'a Visitor, lines: Vec<Line>, newest: i64) -> Self {
        Self { frame: Frame::new(visitor, "queue-title"), lines, newest }
    }
}
