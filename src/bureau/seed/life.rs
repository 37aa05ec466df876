//! What made-up boxes would have told beside their alerts: how they stand, what they
//! counted day by day; and settlement statistics, so that no page of the console is empty.
//!
//! Most boxes are in order. A few are not, so that the pages show what that looks like.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::city::{City, MadeBox, amount_fen, frequent_cardholder, medical_type};
use crate::bureau::BureauError;
use crate::bureau::figures::calendar::{Day, Month};
use crate::bureau::figures::import::Line;
use crate::bureau::store::{MadeDay, Store};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::crypto::sign::{SigningKey, Unverified};
use crate::privacy::policy::LIMITS;
use crate::protocol::alert::Settings;
use crate::protocol::commission::{Mode, Standing};
use crate::protocol::countersign::Countersigned;
use crate::protocol::id::{CounterId, Epoch};
use crate::protocol::policy::PolicyDocument;
use crate::protocol::posture::{AuditHead, CameraState, LastPurge, Posture};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// So many days before now boxes count.
const COUNTED_DAYS: i64 = 45;
/// One box of so many is not as it should be, each in its own way.
const ODD_ONE_OF: usize = 16;
/// Months of settlement statistics, and cardholders in them.
const MONTHS: i64 = 2;
const SETTLED: usize = 260;
/// The first of them settle far more often, or for far more, than others.
const UNUSUAL: usize = 5;
/// Verdicts with their reasons, in settlements of a thousand.
const VERDICTS: [(&str, &str, f64); 7] = [
    ("match", "", 872.0),
    ("inconclusive", "scores_between", 21.0),
    ("inconclusive", "turned_away", 24.0),
    ("inconclusive", "occluded", 12.0),
    ("not_assessed", "no_reference", 52.0),
    ("not_assessed", "out_of_scope", 17.0),
    ("mismatch", "", 2.0),
];

/// The same of sessions at the entrance of a dialysis room.
const SESSIONS: [(&str, &str, f64); 5] = [
    ("match", "", 938.0),
    ("inconclusive", "entrance_unclear", 22.0),
    ("inconclusive", "others_not_seen", 13.0),
    ("not_assessed", "no_roster", 22.0),
    ("absent", "", 5.0),
];
/// Of so many settlements at a window one session is billed at an entrance.
const SESSIONS_SHARE: f64 = 0.4;

/// How a box fares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Odd {
    No,
    /// It has not spoken for days.
    Silent,
    /// Something is before the lens of its second counter.
    Covered,
    /// Nobody declared its policy.
    Undeclared,
}

impl Odd {
    const fn of(number: usize) -> Self {
        match number % ODD_ONE_OF {
            5 => Self::Silent,
            9 => Self::Covered,
            13 => Self::Undeclared,
            _ => Self::No,
        }
    }
}

/// What is drawn from.
pub(super) struct Life<'m> {
    pub(super) city: &'m City,
    pub(super) settings: &'m Settings,
    pub(super) model: Sha256,
    pub(super) policy: &'m PolicyDocument,
    pub(super) bureau: &'m SigningKey,
    pub(super) now: WallTime,
}

impl Life<'_> {
    /// Puts all of it into the store.
    pub(super) async fn put(&self, store: &Store, chance: &mut Chance) -> Result<(), BureauError> {
        let long_ago = self.now.as_millis() - (super::alerts::DAYS + 1) * DAY_MS;
        let mut days = Vec::new();
        for (number, (busy, made)) in self.city.boxes.iter().enumerate() {
            let odd = Odd::of(number);
            if odd != Odd::Undeclared {
                store.declare_policy(&made.name, self.policy, WallTime::from_millis(long_ago)).await?;
            }
            let last = self.now.as_millis() - if odd == Odd::Silent { 3 * DAY_MS } else { 20_000 };
            let epoch = Epoch::new();
            for (seq, at) in [(1, long_ago), (90_000, last)] {
                self.tell(store, made, odd, (epoch, seq), WallTime::from_millis(at)).await?;
            }
            for counter in made.counters() {
                days.extend(self.days(made, counter, odd, *busy, chance));
            }
        }
        store.put_made_days(&days).await?;
        let lines = self.settled(chance)?;
        store.import_settled(Sha256::of(b"made up"), &lines, "made-up", self.now).await?;
        Ok(())
    }

    /// Keeps what a box says of itself.
    async fn tell(
        &self,
        store: &Store,
        made: &MadeBox,
        odd: Odd,
        (epoch, seq): (Epoch, u64),
        at: WallTime,
    ) -> Result<(), BureauError> {
        let unfit = |what: String| BureauError::Command(format!("a made-up posture: {what}"));
        let posture =
            self.posture(made, odd, AuditHead { epoch, seq, hash: Sha256::of(&seq.to_be_bytes()) }, at);
        let bytes = serde_json::to_vec(&posture).map_err(|e| unfit(e.to_string()))?;
        let signed = Unverified::new(&bytes, made.key.sign(&bytes));
        let verified = signed.verify(&made.key.public()).map_err(|e| unfit(e.to_string()))?;
        let head = Countersigned::new(made.name.clone(), posture.audit, at, self.bureau);
        store.keep_posture(&posture, &verified, &head).await?;
        Ok(())
    }

    fn posture(&self, made: &MadeBox, odd: Odd, audit: AuditHead, at: WallTime) -> Posture {
        let covered =
            |n: usize| if odd == Odd::Covered && n == 1 { CameraState::Covered } else { CameraState::Ok };
        let purge = |limit: u64| LastPurge {
            at: WallTime::from_millis(at.as_millis() - 9 * MINUTE_MS),
            deleted: 3,
            since_start: 4_120,
            oldest_left_s: Some(limit / 2),
        };
        let armed = Standing {
            mode: Mode::Armed,
            since: WallTime::from_millis(self.now.as_millis() - (super::alerts::DAYS + 1) * DAY_MS),
            detail: None,
            number: 1,
            commission: None,
            figures: Default::default(),
        };
        Posture {
            agent: made.name.clone(),
            hospital: made.hospital.clone(),
            at,
            agent_version: self.settings.agent_version.clone(),
            models: BTreeMap::from([("embedder".to_owned(), self.model)]),
            policy: self.settings.policy,
            notice: Some(self.settings.notice),
            calibration: self.settings.calibration,
            retention_s: LIMITS.iter().map(|l| (l.key.to_owned(), l.floor)).collect(),
            purges: LIMITS.iter().map(|l| (l.key.to_owned(), purge(l.floor))).collect(),
            arrived: Vec::new(),
            wanted: None,
            run: None,
            verdicts: BTreeMap::new(),
            counters: BTreeMap::new(),
            cameras: made.counters().enumerate().map(|(n, c)| (c.clone(), covered(n))).collect(),
            outbox_waiting: 0,
            outbox_set_aside: 0,
            audit,
            liveness: "on".into(),
            commissioning: Some(armed),
            troubles: Vec::new(),
        }
    }

    /// What a counter did, day by day.
    fn days(
        &self,
        made: &MadeBox,
        counter: &CounterId,
        odd: Odd,
        busy: f64,
        chance: &mut Chance,
    ) -> Vec<MadeDay> {
        let today = Day::of(self.now);
        let mut days = Vec::new();
        for back in 1..=COUNTED_DAYS {
            let day = today.plus(-back);
            // 1 January 1970 was a Thursday.
            let is_weekend = matches!((day.number() + 3).rem_euclid(7), 5 | 6);
            let is_away = (odd == Odd::Silent && back <= 3) || chance.happens(0.02);
            if is_away {
                continue;
            }
            let settlements = busy * if is_weekend { 60.0 } else { 150.0 } * (0.85 + 0.3 * chance.share());
            let is_entrance = made.entrance.as_ref() == Some(counter);
            let (verdicts, share) =
                if is_entrance { (&SESSIONS[..], SESSIONS_SHARE) } else { (&VERDICTS[..], 1.0) };
            let counts = verdicts.iter().map(|(verdict, reason, of_thousand)| {
                let n = settlements * share * of_thousand / 1000.0;
                (*verdict, *reason, n as u64 + u64::from(chance.happens(n.fract())))
            });
            days.push(MadeDay {
                day,
                agent: made.name.clone(),
                hospital: made.hospital.clone(),
                counter: counter.clone(),
                worked_ms: if is_weekend { 5 * 3_600_000 } else { 10 * 3_600_000 },
                counts: counts.filter(|(_, _, n)| *n > 0).collect(),
            });
        }
        days
    }

    /// What cardholders settled in the last whole months.
    fn settled(&self, chance: &mut Chance) -> Result<Vec<Line>, BureauError> {
        let this = Month::of(self.now);
        let mut lines = Vec::new();
        for n in 0..SETTLED {
            let (cardholder, medical_type) = (frequent_cardholder(n)?, medical_type(chance)?);
            let home = self.city.hospitals.get(chance.below(self.city.hospitals.len()));
            let Some(home) = home else { continue };
            for back in 1..=MONTHS {
                let settlements = if n < UNUSUAL { 19 + chance.below(9) } else { 1 + chance.below(4) };
                let amount: u64 = (0..settlements).map(|_| amount_fen(chance)).sum();
                lines.push(Line {
                    month: this.plus(-back),
                    cardholder: cardholder.clone(),
                    hospital: home.code.clone(),
                    medical_type: medical_type.clone(),
                    settlements: settlements as i64,
                    amount_fen: i64::try_from(amount).unwrap_or(i64::MAX),
                });
            }
        }
        Ok(lines)
    }
}
