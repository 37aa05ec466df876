//! An entrance's actor: it owns the shifts of one entrance.
//!
//! Once a second, while a shift is running, it gives the camera's last second to a worker
//! with the shift's watch, and counts the second as observed if everything that must be
//! trusted can be. It writes down who was seen at once, and how far it has come each minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::super::alerts::Draft;
use super::super::config;
use super::super::context::{Context, Ending};
use super::super::counter::Tools;
use super::super::metrics;
use super::super::outbox::Held;
use super::super::rosters::{Fact, Kept};
use super::super::workers::{Glance, Looked};
use super::shift::{Shift, Stage};
use super::{Expectation, Expecting, Named, Order};
use crate::camera::ring::Ring;
use crate::clock::{BoxTime, WallTime};
use crate::heart::Heart;
use crate::privacy::age::Age;
use crate::privacy::audit::Kind;
use crate::privacy::policy;
use crate::protocol::id::{CardholderId, ShiftId, VerificationId};
use crate::protocol::roster::{AHEAD, Roster};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::{NotAssessed, Outcome};
use crate::verify::roster::Expected;

/// How often pictures are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest piece of the camera's pictures that is looked at together: what was missed
/// before it is not observed.
const LONGEST_LOOK: Duration = Duration::from_secs(3);
/// References fetched between two looks: a full roster in a quarter of a minute, and a
/// quarter of what the bureau gives one box by default.
const FETCHED_AT_A_TIME: usize = 4;
/// The wait after the bureau could not be asked.
const FETCH_AGAIN: Duration = Duration::from_secs(5);
/// How often it is written down how far a watch has come.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether a shift is near.
const IDLE: Duration = Duration::from_secs(20);

pub(super) struct Actor {
    heart: Heart,
    settings: config::Counter,
    ring: Arc<Ring>,
    tools: Arc<Tools>,
    expecting: Arc<Expecting>,
    shifts: BTreeMap<ShiftId, Shift>,
    kept_at: BoxTime,
    fetch_at: BoxTime,
}

impl Actor {
    pub(super) fn new(
        settings: config::Counter,
        ring: Arc<Ring>,
        tools: Arc<Tools>,
        expecting: Arc<Expecting>,
        held: Vec<(Kept, Age)>,
    ) -> Self {
        let heart = tools.context.watch.counter(&settings.id);
        let wall = tools.context.wall();
        let taken_up = |(mut kept, since): (Kept, Age)| {
            // Whatever passed since it began was seen by a program that is gone.
            kept.is_broken |= wall.as_millis() >= kept.shift.begins_at.timestamp().as_millisecond();
            (kept.name.clone(), Shift::new(kept, since))
        };
        let shifts = held.into_iter().map(taken_up).collect();
        let now = tools.context.clock.now().boot;
        let actor = Self { heart, settings, ring, tools, expecting, shifts, kept_at: now, fetch_at: now };
        actor.shifts.values().for_each(|s| actor.name(s));
        actor
    }

    fn context(&self) -> &Arc<Context> {
        &self.tools.context
    }

    pub(super) async fn run(mut self, mut mailbox: mpsc::Receiver<Order>) {
        let heart = self.heart.clone();
        loop {
            self.turn().await;
            let wait = if self.is_busy() { LOOK_EVERY } else { IDLE };
            let order = heart.rest(tokio::time::timeout(wait, mailbox.recv())).await.ok();
            match order {
                Some(Some(order)) => self.heed(order).await,
                Some(None) => return,
                None => {}
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.shifts.values().any(|s| matches!(s.stage, Stage::Fetching(_) | Stage::Watching(_)))
    }

    async fn heed(&mut self, order: Order) {
        match order {
            Order::Expect(name, roster, answer) => {
                let said = self.expect(name, *roster).await;
                let _ = answer.send(said);
            }
            Order::Close(name, answer) => {
                let is_there = self.close(&name).await;
                let _ = answer.send(is_there);
            }
            Order::Billed(id, settlement) => self.bill(id, *settlement).await,
            Order::Stop(id) => {
                for shift in self.shifts.values_mut() {
                    let before = shift.bills.len();
                    shift.bills.retain(|(other, _)| *other != id);
                    let stopped = (before - shift.bills.len()) as u64;
                    self.tools.context.in_flight.fetch_sub(stopped, Ordering::Relaxed);
                }
            }
        }
    }

    async fn expect(&mut self, name: ShiftId, roster: Roster) -> Expectation {
        let now = self.context().wall();
        let (begins, ends) = (ms(roster.begins_at), ms(roster.ends_at));
        let fits = |kept: &Kept| {
            kept.shift == roster.shift()
                && kept.people.len() == roster.cardholders.len()
                && roster.cardholders.iter().all(|p| kept.people.contains_key(p))
        };
        if let Some(held) = self.shifts.get(&name) {
            if fits(&held.kept) {
                return Expectation::Again;
            }
            if !matches!(held.stage, Stage::Ahead) {
                return Expectation::HasBegun;
            }
        }
        if now.as_millis() >= ends {
            return Expectation::OutOfTime("it is over already");
        }
        if begins.saturating_sub(now.as_millis()) > i64::try_from(AHEAD.as_millis()).unwrap_or(i64::MAX) {
            return Expectation::OutOfTime("it begins more than 24 hours from now: give it on the day");
        }
        let crosses = |s: &Shift| !s.kept.is_over && s.begins_ms() < ends && begins < s.ends_ms();
        if let Some((other, _)) = self.shifts.iter().find(|(n, s)| **n != name && crosses(s)) {
            return Expectation::Overlaps(other.clone());
        }
        let kept = Kept {
            counter: self.settings.id.clone(),
            name: name.clone(),
            shift: roster.shift(),
            people: roster.cardholders.into_iter().map(|p| (p, Fact::Sought)).collect(),
            observed_ms: 0,
            is_broken: false,
            is_over: false,
        };
        let shift = Shift::new(kept, self.context().moment().age);
        if let Err(e) = self.keep(&shift.kept).await {
            return Expectation::NotKept(e);
        }
        self.name(&shift);
        let former = self.shifts.insert(name, shift);
        // What was billed ahead is looked up anew: its patient may stand there no more.
        for (id, settlement) in former.into_iter().flat_map(|f| f.bills) {
            self.bill(id, settlement).await;
        }
        Expectation::Taken
    }

    async fn close(&mut self, name: &ShiftId) -> bool {
        let now = self.context().wall();
        let Some(shift) = self.shifts.get_mut(name) else { return false };
        if !shift.kept.is_over {
            let end = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
            let first = shift.kept.shift.begins_at.timestamp();
            // Closed before it began, it was not observed at all.
            shift.kept.shift.ends_at = crate::clock::HisTime::new(end.max(first + Duration::from_secs(1)));
            self.conclude(name, now).await;
        }
        true
    }

    /// What is due.
    async fn turn(&mut self) {
        let now = self.context().wall();
        let names: Vec<ShiftId> = self.shifts.keys().cloned().collect();
        for name in names {
            self.heart.beat();
            let Some(shift) = self.shifts.get_mut(&name) else { continue };
            if shift.is_due_to_end(now, self.settings.camera.delay()) {
                self.conclude(&name, now).await;
                continue;
            }
            if shift.is_due_to_fetch(now) {
                shift.fetch();
                let data = json!({ "counter": self.settings.id, "shift": name, "expected": shift.kept.people.len() });
                self.note(Kind::RosterBegun, data).await;
            }
            self.fetch(&name).await;
            self.look(&name, now, LOOK_EVERY).await;
        }
        self.keep_up().await;
        self.let_go();
    }

    /// Fetches a few references more.
    async fn fetch(&mut self, name: &ShiftId) {
        let now = self.context().clock.now().boot;
        if now < self.fetch_at {
            return;
        }
        let Some(entrance) = self.context().policy.entrance.clone() else { return };
        let (references, heart) = (self.tools.references.clone(), self.heart.clone());
        let (calibration, region) = (Arc::clone(&self.context().calibration), self.settings.region);
        let turns = self.context().clock_turns();
        let Some(shift) = self.shifts.get_mut(name) else { return };
        let Stage::Fetching(fetching) = &mut shift.stage else { return };
        for _ in 0..FETCHED_AT_A_TIME {
            let Some(person) = fetching.left.front().cloned() else { break };
            let found = match heart.rest(references.expected(&person, name)).await {
                Ok(found) => found,
                Err(_) => {
                    self.fetch_at = now.plus(FETCH_AGAIN);
                    return;
                }
            };
            fetching.left.pop_front();
            let Some((transform, own)) = found else {
                shift.kept.people.insert(person, Fact::NoReference);
                continue;
            };
            let expected = fetching.expected.get_or_insert_with(|| Expected::under(&entrance, transform));
            match expected.add(own) {
                Ok(_) => fetching.numbers.push(person),
                Err(e) => {
                    // The bureau issued a new transform meanwhile: all are fetched anew under it.
                    warn!(counter = %self.settings.id, error = %e, "a roster's references do not fit together; they are fetched again");
                    shift.fetch();
                    self.fetch_at = now.plus(FETCH_AGAIN);
                    return;
                }
            }
        }
        if fetching.left.is_empty() {
            shift.watch(&calibration, region, (now, turns));
            let (expected, _) = shift.counts();
            info!(counter = %self.settings.id, expected, "a shift's roster is watched for");
            self.save(name).await;
            self.answer(name).await;
        }
    }

    /// Shows the camera's last moments to the watch, if there are as many as that: an order
    /// that comes between two looks must not make of each a moment without a picture.
    async fn look(&mut self, name: &ShiftId, wall: WallTime, least: Duration) {
        let context = Arc::clone(self.context());
        let now = context.clock.now().boot;
        let Some(shift) = self.shifts.get_mut(name) else { return };
        let (begins, ends) = shift.span(wall, now);
        let Stage::Watching(watching) = &mut shift.stage else { return };
        let to = now.minus(self.settings.camera.delay()).min(ends);
        if to.since(watching.until) < least && to < ends {
            return;
        }
        // Stepped since it began, the wall clock placed its beginning and end elsewhere.
        shift.kept.is_broken |= context.clock_turns() != watching.clock_turns;
        let passed = to.since(watching.until.max(begins));
        let from = watching.until.max(begins).max(to.minus(LONGEST_LOOK));
        watching.until = watching.until.max(to);
        if to <= from {
            return;
        }
        let clip = self.ring.between(from.plus(Duration::from_millis(1)), to);
        let camera = context.watch.cameras.known(&self.settings.id);
        let is_sound = context.doubt().is_none()
            && context.trouble().is_none()
            && !clip.is_empty()
            && camera.refusal(clip.samples()).is_none()
            && camera.temper(Outcome::Absent) == Outcome::Absent;
        let missed = || metrics::entrance_watched(&self.settings.id, Duration::ZERO, passed);
        if !is_sound {
            return missed();
        }
        let Some(watch) = watching.watch.take() else { return missed() };
        let looked = match self.tools.workers.glance(Glance { watch, clip }) {
            Ok(answer) => self.heart.rest(answer).await.ok().flatten(),
            Err(glance) => {
                watching.watch = Some(glance.watch);
                return missed();
            }
        };
        let Some(Looked { watch, found, frames }) = looked else {
            error!(counter = %self.settings.id, "a shift's watch was lost; nobody of it who was not seen is told of");
            shift.kept.is_broken = true;
            return missed();
        };
        watching.watch = Some(watch);
        let seen_for = if frames > 0 { to.since(from) } else { Duration::ZERO };
        shift.kept.observed_ms = shift.kept.observed_ms.saturating_add(seen_for.as_millis() as u64);
        metrics::entrance_watched(&self.settings.id, seen_for, passed.saturating_sub(seen_for));
        if shift.saw(&found, wall) {
            self.save(name).await;
            self.answer(name).await;
        }
    }

    /// Ends a shift.
    async fn conclude(&mut self, name: &ShiftId, wall: WallTime) {
        self.look(name, wall, Duration::ZERO).await;
        let context = Arc::clone(self.context());
        let (age, latest) = (context.moment().age, BoxTime::from_millis(u64::MAX));
        let Some(shift) = self.shifts.get_mut(name) else { return };
        shift.conclude(&context.config.entrance.demands(), age, latest);
        let ((expected, seen), observed) = (shift.counts(), shift.observed());
        let data = json!({
            "counter": self.settings.id, "shift": name, "expected": expected, "seen": seen,
            "observed_permille": (observed * 1000.0) as u64, "interrupted": shift.kept.is_broken,
        });
        info!(counter = %self.settings.id, expected, seen, observed_permille = (observed * 1000.0) as u64, "a shift is over");
        self.note(Kind::RosterEnded, data).await;
        self.save(name).await;
        if let Some(shift) = self.shifts.get(name) {
            self.name(shift);
        }
        self.answer(name).await;
    }

    async fn bill(&mut self, id: VerificationId, settlement: Settlement) {
        let at = ms(settlement.occurred_at);
        let expected =
            self.shifts.iter_mut().filter(|(_, s)| s.kept.people.contains_key(&settlement.cardholder));
        let nearest = expected.min_by_key(|(_, s)| super::shift::apart(at, s.begins_ms(), s.ends_ms()));
        let Some((name, shift)) = nearest else {
            return self.end(id, &settlement, Outcome::NotAssessed(NotAssessed::NoRoster)).await;
        };
        let name = name.clone();
        shift.bills.push((id, settlement));
        self.answer(&name).await;
    }

    /// Ends the sessions of which enough is known.
    async fn answer(&mut self, name: &ShiftId) {
        let Some(shift) = self.shifts.get_mut(name) else { return };
        let mut known = Vec::new();
        for (id, settlement) in std::mem::take(&mut shift.bills) {
            match shift.fact(&settlement.cardholder) {
                Some(fact) => known.push((id, settlement, fact)),
                None => shift.bills.push((id, settlement)),
            }
        }
        let lasted = shift.kept.shift;
        for (id, settlement, fact) in known {
            let outcome = match fact {
                Fact::Seen { .. } => Outcome::Match,
                Fact::NoReference => Outcome::NotAssessed(NotAssessed::NoReference),
                Fact::Unclear(reason) => Outcome::Inconclusive(reason),
                Fact::Sought => Outcome::NotAssessed(NotAssessed::Fault),
                Fact::Absent(absent) => {
                    let at = (&self.settings.id, lasted);
                    let armed = self.context().armed();
                    let entrance = self.context().policy.entrance.as_ref();
                    let draft = armed.as_ref().zip(entrance).map(|(armed, entrance)| {
                        Draft::absent(&absent, &settlement, at, (&self.context().in_force, entrance), armed)
                    });
                    self.tell(id, settlement, draft).await;
                    continue;
                }
            };
            self.end(id, &settlement, outcome).await;
        }
    }

    /// Holds an absence, or watches it in shadow for as long.
    async fn tell(&self, id: VerificationId, settlement: Settlement, draft: Option<Draft>) {
        let context = Arc::clone(self.context());
        if let Some(draft) = draft {
            match context.hold(id, draft).await {
                Held::Held | Held::Cancelled => {
                    context.in_flight.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                Held::InShadow => {}
            }
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(context.config.decision.hold_ms)).await;
            context.end(id, &settlement.settlement_id, Ending::apart(Outcome::Absent)).await;
            context.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn end(&self, id: VerificationId, settlement: &Settlement, outcome: Outcome) {
        self.context().end(id, &settlement.settlement_id, Ending::apart(outcome)).await;
        self.context().in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Writes down how far running watches have come.
    async fn keep_up(&mut self) {
        let now = self.context().clock.now().boot;
        if now.since(self.kept_at) < KEEP_EVERY {
            return;
        }
        self.kept_at = now;
        let wanting = self.shifts.values().filter(|s| matches!(s.stage, Stage::Watching(_)) || s.is_unsaved);
        let names: Vec<ShiftId> = wanting.map(|s| s.kept.name.clone()).collect();
        for name in names {
            self.save(&name).await;
        }
    }

    /// Forgets shifts whose limit has come; the store's rows go with the purge.
    fn let_go(&mut self) {
        let context = Arc::clone(self.context());
        let (now, limit) = (context.moment().age, context.policy.limit(policy::ROSTERS));
        let expecting = Arc::clone(&self.expecting);
        let counter = self.settings.id.clone();
        self.shifts.retain(|name, shift| {
            let stays = !shift.bills.is_empty() || shift.over_at.is_none_or(|at| now.since(at) <= limit);
            if !stays {
                expecting.lock().remove(&(counter.clone(), name.clone()));
            }
            stays
        });
    }

    /// Says beside the actor who is expected.
    fn name(&self, shift: &Shift) {
        let people: Vec<CardholderId> = shift.kept.people.keys().cloned().collect();
        let named = Named { begins_ms: shift.begins_ms(), ends_ms: shift.ends_ms(), people };
        self.expecting.lock().insert((self.settings.id.clone(), shift.kept.name.clone()), named);
    }

    /// Writes a shift down; what cannot be written now is tried again.
    async fn save(&mut self, name: &ShiftId) {
        let Some(kept) = self.shifts.get(name).map(|s| s.kept.clone()) else { return };
        let kept = self.keep(&kept).await;
        if let Err(e) = &kept {
            error!(error = %e, "a shift could not be written down; it is tried again");
        }
        if let Some(shift) = self.shifts.get_mut(name) {
            shift.is_unsaved = kept.is_err();
        }
    }

    async fn keep(&self, kept: &Kept) -> Result<(), String> {
        let (copy, now) = (kept.clone(), self.context().moment());
        self.context().store(move |s| s.keep_roster(&copy, now)).await.map_err(|e| e.to_string())
    }

    async fn note(&self, kind: Kind, data: serde_json::Value) {
        if let Err(e) = self.context().record(self.context().wall(), kind, data).await {
            error!(error = %e, "a shift could not be recorded in the audit log");
        }
    }
}

fn ms(at: crate::clock::HisTime) -> i64 {
    at.timestamp().as_millisecond()
}
