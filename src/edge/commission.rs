//! What the box knows of its commissioning: whether it is armed, by which word,
//! and what it counted since.
//!
//! Promises: [`Armed`] is made of a verified commission for what is in force and
//! of nothing else; a box without one is in shadow; what was counted under
//! another calibration, or before the box was armed or disarmed, is not mixed
//! with what is counted now. Pure: `standing.rs` keeps it in the store.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::WallTime;
use crate::commissioning::drift::{Baseline, Drift, Limits, Window};
use crate::commissioning::recommend::LEAST_SETTLEMENTS;
use crate::crypto::Sha256;
use crate::crypto::sign::PublicKey;
use crate::privacy::audit::Kind;
use crate::protocol::commission::{
    Arm, Commission, Mode, NotArmed, ShadowReason, Standing, Subject, VerifiedCommission, Word,
};
use crate::protocol::figures::{Figures, ScoreHistogram};
use crate::protocol::verdict::Outcome;

/// The bureau hears of scores once so many have come: the difference of two
/// postures is then never about one person.
const TOLD_EVERY: u64 = 20;

/// That this box may raise alerts: made of a verified commission for the model
/// and calibration in force.
///
/// ```compile_fail
/// use counterproof::{edge::commission::Armed, protocol::commission::{Commission, NotArmed, Subject}};
/// fn arm(c: &Commission, s: &Subject) -> Result<Armed, NotArmed> { Armed::by(c, s) }
/// ```
/// ```compile_fail
/// let armed = counterproof::edge::commission::Armed { commission: todo!(), model: todo!(), calibration: todo!() };
/// ```
/// ```
/// use counterproof::{edge::commission::Armed, protocol::commission::{NotArmed, Subject, VerifiedCommission}};
/// fn arm(c: &VerifiedCommission, s: &Subject) -> Result<Armed, NotArmed> { Armed::by(c, s) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    commission: Sha256,
    model: Sha256,
    calibration: Sha256,
}

impl Armed {
    /// By a commission, for what is in force.
    ///
    /// # Errors
    /// If it is for something else, or revokes.
    pub fn by(word: &VerifiedCommission, in_force: &Subject) -> Result<Self, NotArmed> {
        let Arm { model, calibration, .. } = word.arms(in_force)?;
        Ok(Self { commission: word.commission().digest(), model: *model, calibration: *calibration })
    }

    /// SHA-256 of the commission.
    pub fn commission(&self) -> Sha256 {
        self.commission
    }

    /// Whether a verdict of this model and calibration may be told.
    pub(super) fn covers(&self, model: Sha256, calibration: Sha256) -> bool {
        (self.model, self.calibration) == (model, calibration)
    }
}

/// What is in force from the start to the end of the program.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Box, model and calibration.
    pub subject: Subject,
    /// The pinned key of the bureau.
    pub bureau: PublicKey,
    /// When the box disarms itself.
    pub limits: Limits,
}

/// What the store keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    subject: Subject,
    mode: Mode,
    since: WallTime,
    detail: Option<String>,
    /// The greatest number of an order seen; 0 if none.
    number: u64,
    /// That order.
    commission: Option<Commission>,
    /// What moved after it was heeded: it arms no more.
    spent: Option<String>,
    figures: Figures,
    /// Of the scores, what the bureau was told.
    told: ScoreHistogram,
    window: Window,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeded {
    /// It is the one that was heeded before.
    Known,
    /// It is new, and kept.
    Taken,
    /// Its number is not greater than one that was seen: it is not heeded.
    Old {
        /// The greatest seen.
        seen: u64,
    },
}

/// A box in shadow, and why.
type Shadow = (ShadowReason, Option<String>);

/// A change of mode, for the record.
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) data: serde_json::Value,
}

impl Kept {
    /// A box that has seen no order.
    pub(super) fn new(subject: Subject, since: WallTime) -> Self {
        Self {
            subject,
            mode: Mode::Shadow(ShadowReason::NeverCommissioned),
            since,
            detail: None,
            number: 0,
            commission: None,
            spent: None,
            figures: Figures::default(),
            told: ScoreHistogram::default(),
            window: Window::default(),
        }
    }

    /// With what the box is armed, or why it is not.
    pub(super) fn armed(&self, in_force: &InForce) -> Result<Armed, Shadow> {
        let word = self.word(in_force)?;
        let armed = Armed::by(&word, &in_force.subject).map_err(|why| match (why, &word.order().order) {
            (NotArmed::OtherModel, _) => (ShadowReason::OtherModel, None),
            (NotArmed::OtherCalibration, _) => (ShadowReason::OtherCalibration, None),
            (NotArmed::Revoked, Word::Revoke(r)) => (ShadowReason::Revoked, Some(r.reason.clone())),
            (NotArmed::Revoked, Word::Arm(_)) => (ShadowReason::Revoked, None),
        })?;
        match &self.spent {
            Some(drift) => Err((ShadowReason::Drift, Some(drift.clone()))),
            None => Ok(armed),
        }
    }

    /// The order at hand, its signature checked anew.
    fn word(&self, in_force: &InForce) -> Result<VerifiedCommission, Shadow> {
        let commission = self.commission.as_ref().ok_or((ShadowReason::NeverCommissioned, None))?;
        commission
            .verify(&in_force.bureau, &in_force.subject.agent)
            .map_err(|e| (ShadowReason::Unverified, Some(e.to_string())))
    }

    /// Stands as the order at hand and what is in force make it. Begins to count
    /// anew, and says what changed, if that is not how it stood.
    pub(super) fn stand(&mut self, in_force: &InForce, now: WallTime) -> Option<Change> {
        let (mode, detail) = match self.armed(in_force) {
            Ok(_) => (Mode::Armed, None),
            Err((reason, detail)) => (Mode::Shadow(reason), detail),
        };
        if (mode, &self.subject) == (self.mode, &in_force.subject) {
            return None;
        }
        Some(self.begin(mode, detail, in_force, now))
    }

    fn begin(&mut self, mode: Mode, detail: Option<String>, in_force: &InForce, now: WallTime) -> Change {
        let (from, subject) = (self.mode, in_force.subject.clone());
        let word = self.word(in_force).ok();
        let arm = word.as_ref().and_then(|w| w.arms(&subject).ok()).filter(|_| mode.is_armed());
        let mut data = json!({
            "from": from, "to": mode, "number": self.number, "detail": detail,
            "commission": self.commission.as_ref().map(Commission::digest),
            "supervisor": word.as_ref().map(|w| &w.order().supervisor),
            "model": subject.model, "calibration": subject.calibration,
        });
        if let Some(arm) = arm {
            data["settlements"] = arm.settlements.into();
            data["without_figures"] = json!(arm.without_figures);
        }
        // Signed figures are of this place; what the calibration found, of its own people.
        let signed = arm.and_then(|a| a.figures.as_ref()).filter(|f| f.scores.total() >= LEAST_SETTLEMENTS);
        // Not what the calibration expects: a window is easier than photographs years
        // apart, and that is no drift. Without signed figures the first window counts.
        let baseline = signed.map(Baseline::of_figures);
        *self = Self {
            mode,
            detail,
            window: Window::against(baseline),
            number: self.number,
            commission: self.commission.take(),
            spent: self.spent.take(),
            ..Self::new(subject, now)
        };
        Change { kind: if mode.is_armed() { Kind::Commissioned } else { Kind::Shadowed }, data }
    }

    /// Takes an order with a greater number than any before.
    pub(super) fn heed(
        &mut self,
        word: &VerifiedCommission,
        in_force: &InForce,
        now: WallTime,
    ) -> (Heeded, Option<Change>) {
        let number = word.order().number;
        if self.commission.as_ref() == Some(word.commission()) {
            return (Heeded::Known, None);
        }
        if number <= self.number {
            return (Heeded::Old { seen: self.number }, None);
        }
        let rearmed = self.mode.is_armed();
        self.number = number;
        self.commission = Some(word.commission().clone());
        self.spent = None;
        let change = match (self.stand(in_force, now), rearmed) {
            // Armed again: what is compared from now on is what was signed now.
            (None, true) => Some(self.begin(Mode::Armed, None, in_force, now)),
            (change, _) => change,
        };
        (Heeded::Taken, change)
    }

    /// Counts a settlement that ended.
    pub(super) fn count(&mut self, outcome: Outcome, score: Option<f32>, limits: &Limits) {
        self.figures.count(outcome, score);
        if self.mode.is_armed() {
            self.window.count(outcome, score, limits);
        }
        if self.figures.scores.total().saturating_sub(self.told.total()) >= TOLD_EVERY {
            self.told = self.figures.scores;
        }
    }

    /// What moved beyond its limit, if the box is armed.
    pub(super) fn drift(&self, limits: &Limits) -> Option<Drift> {
        self.window.drift(limits).filter(|_| self.mode.is_armed())
    }

    /// Notes that the order at hand arms no more.
    pub(super) fn spend(&mut self, drift: Drift, in_force: &InForce, now: WallTime) -> Option<Change> {
        self.spent = Some(drift.to_string());
        self.stand(in_force, now)
    }

    /// Whether it raises alerts.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// How it stands, with everything that was counted.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            mode: self.mode,
            since: self.since,
            detail: self.detail.clone(),
            number: self.number,
            commission: self.commission.as_ref().map(Commission::digest),
            figures: self.figures.clone(),
        }
    }

    /// The same as the bureau may hear it.
    pub(super) fn told(&self) -> Standing {
        let standing = self.standing();
        Standing { figures: Figures { scores: self.told, ..standing.figures }, ..standing }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::crypto::sign::SigningKey;
    use crate::protocol::commission::tests::{key, order, subject};
    use crate::protocol::commission::{Order, Revoke};
    use proptest::prelude::*;

    pub(in crate::edge) fn in_force(bureau: &SigningKey) -> InForce {
        let limits = Limits { window: 20, ..Limits::default() };
        InForce { subject: subject(), bureau: bureau.public(), limits }
    }

    pub(in crate::edge) fn word(order: &Order, bureau: &SigningKey) -> VerifiedCommission {
        Commission::sign(order, bureau).unwrap().verify(&bureau.public(), &order.agent).unwrap()
    }

    const T: fn(i64) -> WallTime = WallTime::from_millis;

    fn fresh(f: &InForce) -> Kept {
        Kept::new(f.subject.clone(), T(1))
    }

    #[test]
    fn a_signature_arms_and_a_greater_number_revokes() {
        let bureau = key();
        let f = in_force(&bureau);
        let mut k = fresh(&f);
        assert_eq!(k.armed(&f).unwrap_err().0, ShadowReason::NeverCommissioned);
        k.count(Outcome::Match, Some(0.7), &f.limits);
        let first = word(&order(3, &f.subject), &bureau);
        let (heeded, change) = k.heed(&first, &f, T(2));
        assert_eq!(
            (heeded, change.unwrap().kind, k.mode()),
            (Heeded::Taken, Kind::Commissioned, Mode::Armed)
        );
        assert_eq!((k.standing().since, k.standing().figures), (T(2), Figures::default()));
        assert_eq!(k.heed(&first, &f, T(3)).0, Heeded::Known);
        let revoke = Word::Revoke(Revoke { reason: "moved".into() });
        let revoke = word(&Order { order: revoke, ..order(4, &f.subject) }, &bureau);
        let (_, change) = k.heed(&revoke, &f, T(4));
        assert_eq!((change.unwrap().kind, k.mode()), (Kind::Shadowed, Mode::Shadow(ShadowReason::Revoked)));
        assert_eq!(k.standing().detail.as_deref(), Some("moved"));
        // The former word again arms nothing.
        assert_eq!(k.heed(&first, &f, T(5)).0, Heeded::Old { seen: 4 });
        assert!(!k.mode().is_armed());
    }

    #[test]
    fn another_calibration_model_or_pinned_key_is_shadow_and_the_former_one_arms_again() {
        let bureau = key();
        let f = in_force(&bureau);
        let mut k = fresh(&f);
        k.heed(&word(&order(1, &f.subject), &bureau), &f, T(2));
        let with = |change: &dyn Fn(&mut InForce)| {
            let mut other = f.clone();
            change(&mut other);
            let mut k = k.clone();
            k.stand(&other, T(3)).unwrap();
            k.mode()
        };
        let another = Sha256::of(b"another");
        assert_eq!(with(&|o| o.subject.calibration = another), Mode::Shadow(ShadowReason::OtherCalibration));
        assert_eq!(with(&|o| o.subject.model = another), Mode::Shadow(ShadowReason::OtherModel));
        assert_eq!(with(&|o| o.bureau = key().public()), Mode::Shadow(ShadowReason::Unverified));
        let mut other = f.clone();
        other.subject.calibration = another;
        k.stand(&other, T(3)).unwrap();
        k.count(Outcome::Match, Some(0.2), &f.limits);
        // What a supervisor signed for the former calibration still stands.
        assert_eq!(k.stand(&f, T(4)).unwrap().kind, Kind::Commissioned);
        assert_eq!(k.standing().figures, Figures::default());
        assert!(k.stand(&f, T(5)).is_none());
    }

    #[test]
    fn drift_spends_the_order_and_only_a_new_one_arms_again() {
        let bureau = key();
        let f = in_force(&bureau);
        let mut k = fresh(&f);
        let first = word(&order(1, &f.subject), &bureau);
        k.heed(&first, &f, T(2));
        (0..20).for_each(|_| k.count(Outcome::Match, Some(0.7), &f.limits));
        (0..20).for_each(|_| k.count(Outcome::Match, Some(0.4), &f.limits));
        let drift = k.drift(&f.limits).unwrap();
        assert_eq!(k.spend(drift, &f, T(3)).unwrap().kind, Kind::Shadowed);
        assert_eq!(k.mode(), Mode::Shadow(ShadowReason::Drift));
        assert_eq!(k.drift(&f.limits), None);
        assert_eq!(k.heed(&first, &f, T(4)).0, Heeded::Known);
        assert!(k.stand(&f, T(5)).is_none(), "nor does a restart arm it");
        assert_eq!(k.heed(&word(&order(2, &f.subject), &bureau), &f, T(6)).0, Heeded::Taken);
        assert_eq!(k.mode(), Mode::Armed);
    }

    #[test]
    fn the_bureau_never_hears_of_one_score() {
        let f = in_force(&key());
        let mut k = fresh(&f);
        for n in 1..=65u64 {
            k.count(Outcome::Match, Some(0.7), &f.limits);
            assert_eq!(k.told().figures.scores.total(), n / 20 * 20);
            assert_eq!(k.standing().figures.scores.total(), n);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_only_the_greatest_number_counts(numbers in proptest::collection::vec(1u64..9, 1..12)) {
            let bureau = key();
            let f = in_force(&bureau);
            let mut k = fresh(&f);
            for (i, n) in numbers.iter().enumerate() {
                let o = order(*n, &f.subject);
                let revokes = n % 2 == 0;
                let what = Word::Revoke(Revoke { reason: "even".into() });
                let o = if revokes { Order { order: what, ..o } } else { o };
                k.heed(&word(&o, &bureau), &f, T(i as i64));
                let greatest = numbers.iter().take(i + 1).max().unwrap();
                prop_assert_eq!((k.number, k.mode().is_armed()), (*greatest, greatest % 2 == 1));
            }
        }
    }
}
