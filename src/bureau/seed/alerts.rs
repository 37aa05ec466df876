//! Made-up alerts: when, where, of whom and how much, then signed in the order in
//! which they would have come.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::Offset;
use serde::Deserialize;

use super::chance::Chance;
use super::city::{City, MadeBox, amount_fen, cardholder, medical_type, time_of_day_ms};
use crate::bureau::BureauError;
use crate::bureau::review::Claim;
use crate::bureau::store::{MadeDecision, MadeEvent, SERIOUS_AMOUNT_FEN};
use crate::clock::{HisTime, WallTime};
use crate::crypto::Sha256;
use crate::crypto::sign::SigningKey;
use crate::protocol::absence::{Absent, Observation, Shift, WHOLE};
use crate::protocol::alert::{
    Comparison, Content, Event, JsonType, Link, Mismatch, QualitySummary, Settings, Source, SpecVersion,
    WithdrawalReason, Withdrawn,
};
use crate::protocol::countersign::{Receipt, Received};
use crate::protocol::figures::ScoreHistogram;
use crate::protocol::id::{AlertId, CardholderId, Epoch};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// So far back the oldest alert lies.
pub(super) const DAYS: i64 = 90;
/// What share of settlements is cancelled after its alert.
const WITHDRAWN: f64 = 0.03;
/// What share of the alerts of a box at an entrance are about it.
const ABSENT: f64 = 0.3;
/// How decisions fall, with their words.
const DECISIONS: [(f64, &str); 4] =
    [(0.42, "false_alert"), (0.33, "undeclared_proxy"), (0.09, "impersonation"), (0.16, "not_established")];
/// The same of absences.
const DECISIONS_ABSENT: [(f64, &str); 3] =
    [(0.46, "false_alert"), (0.31, "not_rendered"), (0.23, "not_established")];
/// Chronic illness: what dialysis is billed as.
const DIALYSIS_CARE: &str = "14";
/// Who works on some of them: names to sign in with.
pub const DESK: [&str; 2] = ["li", "wang"];

/// What of a calibration says how scores fall.
#[derive(Debug, Deserialize)]
pub(super) struct Scores {
    model: Sha256,
    rule: Rule,
    maps: Vec<Map>,
    expected: Expected,
}

#[derive(Debug, Deserialize)]
struct Rule {
    mismatch_llr: f64,
}

#[derive(Debug, Deserialize)]
struct Map {
    views: u32,
    offset: f64,
    slope: f64,
    least: f64,
}

#[derive(Debug, Deserialize)]
struct Expected {
    impostor: Vec<f64>,
}

impl Scores {
    pub(super) fn read(calibration: &str) -> Result<Self, BureauError> {
        toml::from_str(calibration).map_err(|e| BureauError::Command(format!("the calibration: {e}")))
    }

    /// The model of the calibration.
    pub(super) const fn model(&self) -> Sha256 {
        self.model
    }

    /// What a comparison that raised an alert could have been.
    fn comparison(&self, chance: &mut Chance) -> Option<Comparison> {
        let probes = 3 + chance.below(5) as u32;
        let map = self.maps.iter().filter(|m| m.views <= probes).max_by_key(|m| m.views)?;
        let threshold = (self.rule.mismatch_llr - map.offset) / map.slope;
        let bins: Vec<(f64, usize)> =
            self.expected.impostor.iter().copied().enumerate().map(|(bin, n)| (n, bin)).collect();
        let (low, high) = ScoreHistogram::borders(*chance.weighted(&bins)?);
        let score = (low + (high - low) * chance.share()).min(threshold - 0.001);
        Some(Comparison {
            model: self.model,
            score: score as f32,
            threshold: threshold as f32,
            log_likelihood_ratio: Some((map.offset + map.slope * score).max(map.least) as f32),
            probes,
            span_ms: 800 + chance.below(5200) as u64,
            faces: if chance.happens(0.12) { 2 } else { 1 },
        })
    }
}

/// Where a box raises an alert.
enum Place {
    Window(usize),
    Entrance,
}

/// What happens at a moment.
enum What {
    Alert { place: Place, withdrawn_at: Option<i64> },
    Withdrawal { of: AlertId },
}

/// Something that a box will say.
struct Plan {
    received_ms: i64,
    /// Between the settlement and its arrival here.
    delay_ms: i64,
    id: AlertId,
    at: usize,
    what: What,
}

/// The end of a box's chain.
struct Chain {
    epoch: Epoch,
    seq: u64,
    previous: Option<Sha256>,
}

/// What is drawn from.
pub(super) struct Made<'m> {
    pub(super) city: &'m City,
    pub(super) scores: &'m Scores,
    pub(super) settings: &'m Settings,
    pub(super) bureau: &'m SigningKey,
    pub(super) now: WallTime,
}

/// Makes events one after another.
pub(super) struct Maker<'m> {
    made: Made<'m>,
    chance: Chance,
    plans: std::vec::IntoIter<Plan>,
    chains: Vec<Chain>,
    seen: BTreeSet<CardholderId>,
}

/// An id of its moment.
fn id_at(ms: i64, chance: &mut Chance) -> AlertId {
    let mut rest = [0_u8; 10];
    for (to, from) in rest.iter_mut().zip(chance.bits().to_le_bytes().into_iter().chain([7, 1])) {
        *to = from;
    }
    AlertId(uuid::Builder::from_unix_timestamp_millis(ms.unsigned_abs(), &rest).into_uuid())
}

/// A moment at which somebody settles: on weekdays more than on others.
fn moment(now_ms: i64, chance: &mut Chance) -> i64 {
    loop {
        let day = now_ms - chance.below(DAYS as usize) as i64 * DAY_MS;
        let Ok(time) = Timestamp::from_millisecond(day) else { return now_ms - DAY_MS };
        let date = Offset::constant(8).to_datetime(time).date();
        let quiet = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
        let midnight = Offset::constant(8).to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
        let Ok(midnight) = midnight else { return now_ms - DAY_MS };
        let at = midnight.as_millisecond() + time_of_day_ms(chance);
        if at < now_ms - 10 * MINUTE_MS && !(quiet && chance.happens(0.6)) {
            return at;
        }
    }
}

impl<'m> Maker<'m> {
    /// Plans so many alerts.
    pub(super) fn new(made: Made<'m>, alerts: u32, mut chance: Chance) -> Self {
        let now_ms = made.now.as_millis();
        let places: Vec<(f64, usize)> =
            made.city.boxes.iter().enumerate().map(|(i, (busy, _))| (*busy, i)).collect();
        let mut plans = Vec::with_capacity(alerts as usize);
        for _ in 0..alerts {
            let occurred = moment(now_ms, &mut chance);
            let delay_ms = 70_000 + chance.below(140_000) as i64;
            let received_ms = occurred + delay_ms;
            let at = chance.weighted(&places).copied().unwrap_or_default();
            let id = id_at(received_ms, &mut chance);
            let later = received_ms + (4 + chance.below(80) as i64) * MINUTE_MS;
            let withdrawn_at = (chance.happens(WITHDRAWN) && later < now_ms).then_some(later);
            if let Some(later) = withdrawn_at {
                let what = What::Withdrawal { of: id };
                plans.push(Plan { received_ms: later, delay_ms: 0, id: id_at(later, &mut chance), at, what });
            }
            let watched = made.city.boxes.get(at).is_some_and(|(_, b)| b.entrance.is_some());
            let place = match watched && chance.happens(ABSENT) {
                true => Place::Entrance,
                false => Place::Window(chance.below(2)),
            };
            let what = What::Alert { place, withdrawn_at };
            plans.push(Plan { received_ms, delay_ms, id, at, what });
        }
        plans.sort_by_key(|p| p.received_ms);
        let chain = |_| Chain { epoch: Epoch::new(), seq: 0, previous: None };
        let chains = made.city.boxes.iter().map(chain).collect();
        Self { made, chance, plans: plans.into_iter(), chains, seen: BTreeSet::new() }
    }

    /// The next few, in the order in which they came; none when all were made.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<MadeEvent>, BureauError> {
        let plans: Vec<Plan> = self.plans.by_ref().take(most).collect();
        plans.into_iter().map(|plan| self.make(plan)).collect()
    }

    fn make(&mut self, plan: Plan) -> Result<MadeEvent, BureauError> {
        let made_of = |what: &str| BureauError::Command(format!("a made-up alert: {what}"));
        let (_, from) = self.made.city.boxes.get(plan.at).ok_or_else(|| made_of("no box"))?;
        let chain = self.chains.get_mut(plan.at).ok_or_else(|| made_of("no chain"))?;
        chain.seq += 1;
        let link = Link { epoch: chain.epoch, seq: chain.seq, previous: chain.previous };
        let received_at = WallTime::from_millis(plan.received_ms);
        let at = |ms| Timestamp::from_millisecond(ms).map_err(|e| made_of(&e.to_string()));
        let mut withdrawn = None;
        let content = match &plan.what {
            What::Alert { place, withdrawn_at } => {
                withdrawn = *withdrawn_at;
                let occurred = HisTime::new(at(plan.received_ms - plan.delay_ms)?);
                let (made, chance) = (&self.made, &mut self.chance);
                match place {
                    Place::Window(n) => {
                        Content::Mismatch(Box::new(mismatch(made, from, *n, occurred, chance)?))
                    }
                    Place::Entrance => Content::Absent(Box::new(absence(made, from, occurred, chance)?)),
                }
            }
            What::Withdrawal { of } => {
                Content::Withdrawn(Withdrawn { alert: *of, reason: WithdrawalReason::SettlementCancelled })
            }
        };
        let settlement = format!("S{:016x}", self.chance.bits());
        let event = Event {
            specversion: SpecVersion::V1,
            id: plan.id,
            source: Source(from.name.clone()),
            time: at(plan.received_ms - 2_000)?,
            subject: settlement.parse().ok(),
            datacontenttype: JsonType::Json,
            chain: link,
            content,
        };
        let bytes = event.to_bytes().map_err(|e| made_of(&e.to_string()))?;
        let digest = Sha256::of(&bytes);
        chain.previous = Some(digest);
        let received = Received { agent: &from.name, epoch: link.epoch, seq: link.seq, digest };
        let receipt = Receipt::new(received, received_at, self.made.bureau).signature;
        let seriousness = self.seriousness(&event, withdrawn.is_some());
        let (decision, assignee) = self.judged(&event, plan.received_ms, withdrawn.is_some());
        Ok(MadeEvent {
            signature: from.key.sign(&bytes),
            receipt,
            agent: from.name.clone(),
            received_at,
            seriousness,
            withdrawn_at: withdrawn.map(WallTime::from_millis),
            decision,
            assignee,
            event,
            bytes,
        })
    }

    fn seriousness(&mut self, event: &Event, withdrawn: bool) -> i64 {
        let Some(data) = event.content.about() else { return 0 };
        let again = self.seen.contains(data.cardholder);
        if !withdrawn {
            self.seen.insert(data.cardholder.clone());
        }
        i64::from(data.amount_fen >= SERIOUS_AMOUNT_FEN) + i64::from(again)
    }

    /// The older an alert is, the likelier somebody has decided it.
    fn judged(
        &mut self,
        event: &Event,
        received_ms: i64,
        withdrawn: bool,
    ) -> (Option<MadeDecision>, Option<&'static str>) {
        let Some(claim) = Claim::of(&event.content).filter(|_| !withdrawn) else { return (None, None) };
        let now_ms = self.made.now.as_millis();
        let age_days = (now_ms - received_ms) as f64 / DAY_MS as f64;
        let desk = DESK.get(self.chance.below(DESK.len())).copied();
        if self.chance.happens(0.75 * age_days / DAYS as f64) {
            let after_ms = (now_ms - received_ms).min((1 + self.chance.below(10) as i64) * DAY_MS);
            let at = WallTime::from_millis(received_ms + after_ms / 2);
            let word = match claim {
                Claim::Mismatch => self.chance.weighted(&DECISIONS).copied(),
                Claim::Absent => self.chance.weighted(&DECISIONS_ABSENT).copied(),
            };
            return (word.map(|word| MadeDecision { word, at }), desk);
        }
        (None, desk.filter(|_| self.chance.happens(0.08)))
    }
}

fn mismatch(
    made: &Made<'_>,
    from: &MadeBox,
    counter: usize,
    occurred_at: HisTime,
    chance: &mut Chance,
) -> Result<Mismatch, BureauError> {
    let missing = |what: &str| BureauError::Command(format!("a made-up alert: no {what}"));
    Ok(Mismatch {
        hospital: from.hospital.clone(),
        counter: from.windows.get(counter).cloned().ok_or_else(|| missing("counter"))?,
        cardholder: cardholder(chance)?,
        occurred_at,
        clock_error_ms: 200 + chance.below(1800) as u64,
        amount_fen: amount_fen(chance),
        medical_type: medical_type(chance)?,
        proxies_compared: if chance.happens(0.07) { 1 } else { 0 },
        comparison: made.scores.comparison(chance).ok_or_else(|| missing("score"))?,
        quality: QualitySummary {
            inter_eye_px: chance.normal(64.0, 12.0).clamp(38.0, 120.0) as f32,
            detection: chance.normal(0.92, 0.03).clamp(0.8, 0.99) as f32,
            yaw: chance.share() as f32 * 0.25,
            sharpness: chance.normal(220.0, 60.0).clamp(60.0, 500.0) as f32,
        },
        settings: made.settings.clone(),
    })
}

/// A dialysis session that was billed after its shift for somebody who was not seen there.
fn absence(
    made: &Made<'_>,
    from: &MadeBox,
    occurred_at: HisTime,
    chance: &mut Chance,
) -> Result<Absent, BureauError> {
    const HALF_HOUR_MS: i64 = 30 * MINUTE_MS;
    const SHIFT_MS: i64 = 9 * HALF_HOUR_MS;
    let wrong = |what: &str| BureauError::Command(format!("a made-up alert: {what}"));
    let ends = occurred_at.timestamp().as_millisecond() / HALF_HOUR_MS * HALF_HOUR_MS;
    let at = |ms| Timestamp::from_millisecond(ms).map(HisTime::new).map_err(|e| wrong(&e.to_string()));
    let expected = 18 + chance.below(23) as u32;
    let faces = 90 + chance.below(220) as u32;
    Ok(Absent {
        hospital: from.hospital.clone(),
        counter: from.entrance.clone().ok_or_else(|| wrong("no entrance"))?,
        cardholder: cardholder(chance)?,
        occurred_at,
        clock_error_ms: 200 + chance.below(1800) as u64,
        amount_fen: 36_000 + 100 * chance.below(120) as u64,
        medical_type: DIALYSIS_CARE.parse().map_err(|_| wrong("no kind of care"))?,
        shift: Shift { begins_at: at(ends - SHIFT_MS)?, ends_at: at(ends)? },
        observation: Observation {
            model: made.scores.model(),
            observed_permille: WHOLE - chance.below(80) as u16,
            expected,
            seen: expected - 1 - chance.below(3) as u32,
            faces,
            unclear: chance.below(1 + faces as usize / 20) as u32,
            log_likelihood_ratio: -(4.0 + 8.0 * chance.share()) as f32,
        },
        settings: made.settings.clone(),
    })
}
