//! Dialysis rooms' entrances: who of a shift's roster was seen, and what is said of a
//! session that was billed.
//!
//! The way of a shift: the HIS gives its roster (`PUT /v1/rosters/{counter}/{shift}`); a
//! minute before it begins the references of those expected are fetched ([`shift`]); during
//! it an [`actor`] shows the camera's pictures to [`crate::verify::roster`], second by
//! second, until everybody was seen; at its end every one has a fact ([`super::rosters`]),
//! and the references are gone. A settlement of a session is ended by that fact: `match`,
//! `absent`, `inconclusive` or `not_assessed`. `absent` is held, told and withdrawn as a
//! mismatch is.
//!
//! Promises: without a roster no face is looked for; faces are compared with that roster
//! alone; what is kept of a person is whether they were seen and when; a time in which the
//! camera, the clock, the models or the box could not be trusted counts as not observed,
//! and a watch that was interrupted accuses nobody.

mod actor;
mod shift;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::config;
use super::context::{Context, Ending};
use super::counter::Tools;
use super::metrics::{self, Shed};
use crate::camera::ring::Ring;
use crate::protocol::id::{CardholderId, CounterId, ShiftId, VerificationId};
use crate::protocol::roster::Roster;
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::{NotAssessed, Outcome};
use actor::Actor;

/// Messages that may wait for an entrance's actor: two shifts' bills at once.
const MAILBOX: usize = 256;
/// How far from a shift a session of it may be billed.
const BILLED_WITHIN: Duration = Duration::from_secs(12 * 3600);

/// What an entrance's actor is told.
enum Order {
    Expect(ShiftId, Box<Roster>, oneshot::Sender<Expectation>),
    Close(ShiftId, oneshot::Sender<bool>),
    Billed(VerificationId, Box<Settlement>),
    Stop(VerificationId),
}

/// What became of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// It is new, or replaces one that had not begun.
    Taken,
    /// It is the same as the one that is held.
    Again,
    /// The shift has begun: who was not expected from its beginning was not looked for.
    HasBegun,
    /// Another shift of this entrance, by this name, lies in its time.
    Overlaps(ShiftId),
    /// It begins too late, or is over: the word says which.
    OutOfTime(&'static str),
    /// It could not be written.
    NotKept(String),
}

/// Who is expected when and where, beside the actors: whoever asks never waits for one.
#[derive(Default)]
pub(super) struct Expecting(Mutex<BTreeMap<(CounterId, ShiftId), Named>>);

struct Named {
    begins_ms: i64,
    ends_ms: i64,
    people: Vec<CardholderId>,
}

impl Expecting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(CounterId, ShiftId), Named>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The entrance of the shift that a session belongs to: the nearest in time.
    fn entrance_of(&self, settlement: &Settlement) -> Option<CounterId> {
        let at = settlement.occurred_at.timestamp().as_millisecond();
        let within = i64::try_from(BILLED_WITHIN.as_millis()).unwrap_or(i64::MAX);
        let all = self.lock();
        let near =
            all.iter().filter(|(_, n)| n.people.contains(&settlement.cardholder)).filter_map(|(k, n)| {
                let apart = shift::apart(at, n.begins_ms, n.ends_ms);
                (apart <= within).then_some((apart, &k.0))
            });
        near.min().map(|(_, counter)| counter.clone())
    }
}

/// All entrances of a box.
pub struct Entrances {
    mailboxes: BTreeMap<CounterId, mpsc::Sender<Order>>,
    expecting: Arc<Expecting>,
    context: Arc<Context>,
}

impl Entrances {
    /// Starts an actor for each entrance with its ring; shifts that are held go on.
    ///
    /// # Errors
    /// If what is held cannot be read.
    pub async fn start(
        entrances: Vec<(config::Counter, Arc<Ring>)>,
        tools: &Arc<Tools>,
    ) -> Result<Self, super::store::StoreError> {
        let context = Arc::clone(&tools.context);
        let expecting = Arc::<Expecting>::default();
        let mut held = match entrances.is_empty() {
            true => Vec::new(),
            false => context.store(|s| s.rosters()).await?,
        };
        let mut mailboxes = BTreeMap::new();
        for (settings, ring) in entrances {
            let (sender, receiver) = mpsc::channel(MAILBOX);
            mailboxes.insert(settings.id.clone(), sender);
            let (own, others) = held.into_iter().partition(|(kept, _)| kept.counter == settings.id);
            held = others;
            let actor = Actor::new(settings, ring, Arc::clone(tools), Arc::clone(&expecting), own);
            tokio::spawn(actor.run(receiver));
        }
        Ok(Self { mailboxes, expecting, context })
    }

    /// No entrances, for tests of what lies before them.
    #[cfg(test)]
    pub(super) fn none(context: Arc<Context>) -> Self {
        Self { mailboxes: BTreeMap::new(), expecting: Arc::default(), context }
    }

    /// Whether the box watches this entrance.
    pub fn knows(&self, counter: &CounterId) -> bool {
        self.mailboxes.contains_key(counter)
    }

    /// The entrances' names, for people.
    pub fn names(&self) -> String {
        self.mailboxes.keys().map(CounterId::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The entrance that judges a settlement, if one does: where it was settled, or, for a
    /// session of dialysis that was settled at a window, where its cardholder was expected.
    pub fn judge_of(&self, settlement: &Settlement) -> Option<CounterId> {
        if self.knows(&settlement.counter) {
            return Some(settlement.counter.clone());
        }
        let is_session = self.context.config.entrance.asks_about(settlement);
        is_session.then(|| self.expecting.entrance_of(settlement)).flatten()
    }

    /// A session was billed; its verdict comes with the end of its shift.
    pub async fn billed(&self, id: VerificationId, settlement: Settlement, entrance: &CounterId) {
        let number = settlement.settlement_id.clone();
        self.context.in_flight.fetch_add(1, Ordering::Relaxed);
        self.context.watch.places.began(id, entrance);
        let order = Order::Billed(id, Box::new(settlement));
        if self.mailboxes.get(entrance).is_some_and(|m| m.try_send(order).is_ok()) {
            return;
        }
        metrics::shed(entrance, Shed::Mailbox);
        let overload = Ending::apart(Outcome::NotAssessed(NotAssessed::Overload));
        self.context.end(id, &number, overload).await;
        self.context.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A settlement was cancelled: its session is not waited for.
    pub async fn stop(&self, id: VerificationId) {
        for mailbox in self.mailboxes.values() {
            // An actor whose mailbox is full learns when the verdict is not recorded.
            let _ = mailbox.try_send(Order::Stop(id));
        }
    }

    /// Takes a shift's roster; nothing if the box does not watch this entrance, or it does
    /// not answer.
    pub async fn expect(&self, counter: &CounterId, shift: ShiftId, roster: Roster) -> Option<Expectation> {
        let (sender, answer) = oneshot::channel();
        let order = Order::Expect(shift, Box::new(roster), sender);
        self.mailboxes.get(counter)?.send(order).await.ok()?;
        answer.await.ok()
    }

    /// Ends a shift before its time; whether there is one.
    pub async fn close(&self, counter: &CounterId, shift: ShiftId) -> bool {
        let (sender, answer) = oneshot::channel();
        let Some(mailbox) = self.mailboxes.get(counter) else { return false };
        mailbox.send(Order::Close(shift, sender)).await.is_ok() && answer.await.unwrap_or(false)
    }
}
