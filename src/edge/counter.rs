//! A counter's actor: it owns the windows of its settlements.
//!
//! A window reaches from `before` to `after` the settlement's moment. A
//! neighbouring settlement of another cardholder cuts it at the middle between
//! the two moments, less the clocks' error, so that the next person is not
//! taken for this one; settlements of the same cardholder do not cut each
//! other. When a window closes its samples are pinned and, if references are at
//! hand, handed to a worker. A settlement of somebody else that is named late,
//! inside the window of a mismatch still held, makes that one inconclusive.
//!
//! A sick camera accuses nobody: how it fares ([`super::health`]) is asked before
//! work is given to a worker, and again when it has answered.
//!
//! In shadow a mismatch waits for as long as an armed box would hold it, in
//! memory, so that what is counted is what would have been told; then it ends
//! without an alert.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::camera::clip::Clip;
use crate::camera::ring::Ring;
use crate::clock::{BoxTime, HisTime};
use crate::heart::Heart;
use crate::protocol::id::{CardholderId, CounterId, VerificationId};
use crate::protocol::settlement::{Channel, Settlement};
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};
use crate::verify::Verdict;
use crate::verify::calibration::Calibration;
use crate::verify::session::{Ran, Rules};

use super::alerts::Draft;
use super::config;
use super::context::{Context, Ending};
use super::eyes::Which;
use super::metrics::{self, Shed};
use super::outbox::Held;
use super::references::{Found, References};
use super::stays::Acting;
use super::windows::{Judged, Span, Windows, lock};
use super::workers::{Job, Workers};

/// A window shorter than this says nothing.
const SHORTEST_WINDOW: Duration = Duration::from_millis(400);
/// Settlements that may wait for a counter's actor.
const MAILBOX: usize = 256;

/// What a counter's actor is told.
enum Order {
    Verify(VerificationId, Box<(Settlement, Circumstances)>),
    /// Somebody settles here whom an entrance judges: they stand at the window all the same.
    Passed(Box<Settlement>),
    Stop(VerificationId),
}

/// What is known of a settlement beside what its message says.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Who acts for the cardholder in the stay that it belongs to.
    pub proxies: Acting,
    /// A relative's account paid.
    pub paid_elsewhere: bool,
}

impl Circumstances {
    /// Why nothing can be said of who stands there, if that is known already.
    pub fn refusal(&self) -> Option<NotAssessed> {
        if self.paid_elsewhere {
            return Some(NotAssessed::OutOfScope);
        }
        self.proxies.has_unknown.then_some(NotAssessed::ProxyUnknown)
    }
}

/// All counters of a box.
pub struct Counters {
    mailboxes: BTreeMap<CounterId, mpsc::Sender<Order>>,
    context: Arc<Context>,
}

/// What all counters share.
pub struct Tools {
    /// The agent.
    pub context: Arc<Context>,
    /// Where references come from.
    pub references: References,
    /// Who looks.
    pub workers: Workers,
    /// The calibration of the recognizer before the present one.
    pub previous: Option<Arc<Calibration>>,
}

impl Counters {
    /// Starts an actor for each counter with its ring.
    pub fn start(counters: Vec<(config::Counter, Arc<Ring>)>, tools: &Arc<Tools>) -> Self {
        let mut mailboxes = BTreeMap::new();
        for (settings, ring) in counters {
            let (sender, receiver) = mpsc::channel(MAILBOX);
            mailboxes.insert(settings.id.clone(), sender);
            let heart = tools.context.watch.counter(&settings.id);
            let actor = Actor {
                heart,
                settings,
                ring,
                tools: Arc::clone(tools),
                open: Vec::new(),
                recent: VecDeque::new(),
                judged: Arc::default(),
            };
            tokio::spawn(actor.run(receiver));
        }
        Self { mailboxes, context: Arc::clone(&tools.context) }
    }

    /// No counters, for tests of what lies before them.
    #[cfg(test)]
    pub(super) fn none(context: Arc<Context>) -> Self {
        Self { mailboxes: BTreeMap::new(), context }
    }

    /// One counter that nobody minds, for tests of what lies before it.
    #[cfg(test)]
    pub(super) fn deaf(context: Arc<Context>, id: CounterId) -> Self {
        Self { mailboxes: BTreeMap::from([(id, mpsc::channel(1).0)]), context }
    }

    /// Whether the box watches the counter.
    pub fn knows(&self, id: &CounterId) -> bool {
        self.mailboxes.contains_key(id)
    }

    /// The counters' names, for people.
    pub fn names(&self) -> String {
        self.mailboxes.keys().map(CounterId::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Begins the verification of an accepted settlement; never waits for it.
    pub async fn verify(&self, id: VerificationId, settlement: Settlement, circumstances: Circumstances) {
        let number = settlement.settlement_id.clone();
        self.context.in_flight.fetch_add(1, Ordering::Relaxed);
        let counter = settlement.counter.clone();
        self.context.watch.places.began(id, &counter);
        let sent = self
            .mailboxes
            .get(&settlement.counter)
            .is_some_and(|m| m.try_send(Order::Verify(id, Box::new((settlement, circumstances)))).is_ok());
        if !sent {
            metrics::shed(&counter, Shed::Mailbox);
            self.context.end(id, &number, Outcome::NotAssessed(NotAssessed::Overload)).await;
            self.context.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells a window of a settlement that an entrance judges, so that whoever settles there
    /// is not taken for a neighbour.
    pub fn passed(&self, settlement: &Settlement) {
        if let Some(mailbox) = self.mailboxes.get(&settlement.counter) {
            // A mailbox that is full sheds the neighbours too.
            let _ = mailbox.try_send(Order::Passed(Box::new(settlement.clone())));
        }
    }

    /// Stops a verification whose settlement was cancelled.
    pub async fn stop(&self, id: VerificationId) {
        for mailbox in self.mailboxes.values() {
            // An actor whose mailbox is full learns at the verdict, which then is not recorded.
            let _ = mailbox.try_send(Order::Stop(id));
        }
    }
}

/// A window that is open.
struct Open {
    id: VerificationId,
    settlement: Settlement,
    moment: BoxTime,
    /// Steps of the clock until the moment was placed.
    clock_turns: u64,
    /// A neighbour without a place on this box's time line came near.
    cut: bool,
    references: JoinHandle<Result<Found, NotAssessed>>,
}

struct Actor {
    heart: Heart,
    settings: config::Counter,
    ring: Arc<Ring>,
    tools: Arc<Tools>,
    open: Vec<Open>,
    recent: VecDeque<(BoxTime, CardholderId)>,
    judged: Windows,
}

impl Actor {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Order>) {
        let heart = self.heart.clone();
        loop {
            // First what is due: orders that come without a pause must not keep a window open.
            self.close_due();
            let now = self.now();
            let next = self.open.iter().map(|o| o.moment.plus(self.closes_after())).min();
            let wait = next.map_or(Duration::from_secs(3600), |t| t.since(now));
            // `None` when a window closes before an order comes.
            let order = heart.rest(tokio::time::timeout(wait, mailbox.recv())).await.ok();
            match order {
                Some(Some(Order::Verify(id, settlement))) => {
                    let (settlement, circumstances) = *settlement;
                    self.begin(id, settlement, &circumstances).await;
                }
                Some(Some(Order::Passed(settlement))) => self.pass(&settlement).await,
                Some(Some(Order::Stop(id))) => self.stop(id),
                Some(None) => return,
                None => {}
            }
        }
    }

    fn now(&self) -> BoxTime {
        self.tools.context.clock.now().boot
    }

    /// How long after its moment a window is closed: once its last picture has come.
    fn closes_after(&self) -> Duration {
        Duration::from_millis(self.settings.after_ms) + self.settings.camera.delay()
    }

    fn context(&self) -> &Arc<Context> {
        &self.tools.context
    }

    async fn begin(&mut self, id: VerificationId, settlement: Settlement, circumstances: &Circumstances) {
        let refuse = |reason| Outcome::NotAssessed(reason);
        let config = &self.context().config;
        let in_scope = config.decision.asks_about(&settlement);
        let clock_turns = self.context().clock_turns();
        let now = self.context().clock.now();
        let moment = match config.clock_map().place(settlement.occurred_at, now) {
            Ok(t) => t,
            Err(_) if !in_scope => {
                return self.give_up(id, &settlement, refuse(NotAssessed::OutOfScope)).await;
            }
            Err(doubt) => {
                self.cut_unplaced(&settlement);
                warn!(verification = %id, %doubt, "a settlement cannot be placed in time");
                return self.give_up(id, &settlement, refuse(NotAssessed::ClockUncertain)).await;
            }
        };
        // Whoever settles here cuts the neighbours, verified or not; a telephone is not here.
        if settlement.channel == Channel::Mobile && !in_scope {
            return self.give_up(id, &settlement, refuse(NotAssessed::OutOfScope)).await;
        }
        self.cut_at(moment, &settlement.cardholder, now.boot).await;
        if !in_scope {
            return self.give_up(id, &settlement, refuse(NotAssessed::OutOfScope)).await;
        }
        if let Some(reason) = circumstances.refusal() {
            return self.give_up(id, &settlement, refuse(reason)).await;
        }
        let (references, copy) = (self.tools.references.clone(), settlement.clone());
        let acting = circumstances.proxies.marks.clone();
        let references = tokio::spawn(async move { references.subjects(&copy, &acting).await });
        self.open.push(Open { id, settlement, moment, clock_turns, cut: false, references });
    }

    /// Somebody settles here at a moment: their neighbours' windows end before it.
    async fn cut_at(&mut self, moment: BoxTime, cardholder: &CardholderId, now: BoxTime) {
        self.cut_judged(moment, cardholder).await;
        self.recent.push_back((moment, cardholder.clone()));
        let oldest = now.minus(Duration::from_secs(120));
        while self.recent.front().is_some_and(|(t, _)| *t < oldest) {
            self.recent.pop_front();
        }
    }

    async fn pass(&mut self, settlement: &Settlement) {
        let now = self.context().clock.now();
        match self.context().config.clock_map().place(settlement.occurred_at, now) {
            Ok(moment) => self.cut_at(moment, &settlement.cardholder, now.boot).await,
            Err(_) => self.cut_unplaced(settlement),
        }
    }

    async fn give_up(&self, id: VerificationId, settlement: &Settlement, outcome: Outcome) {
        self.context().end(id, &settlement.settlement_id, outcome).await;
        self.context().in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A settlement of somebody else that would have cut a window already closed.
    async fn cut_judged(&self, moment: BoxTime, cardholder: &CardholderId) {
        let span = self.span();
        let mut late = Vec::new();
        {
            let mut judged = lock(&self.judged);
            for (id, j) in judged.iter_mut().filter(|(_, j)| j.cardholder != *cardholder) {
                let narrower = span.around(j.moment, std::iter::once(moment));
                if narrower.0 > j.window.0 || narrower.1 < j.window.1 {
                    j.cut = true;
                    if j.held {
                        late.push((*id, j.settlement.clone()));
                    }
                }
            }
            for (id, _) in &late {
                judged.remove(id);
            }
        }
        for (id, settlement) in late {
            let outcome = Outcome::Inconclusive(Inconclusive::NeighbourNamedLate);
            self.context().end(id, &settlement, outcome).await;
        }
    }

    /// A settlement of somebody else that has no place on this box's time line
    /// cuts by the HIS's own times alone.
    fn cut_unplaced(&mut self, other: &Settlement) {
        let reach = self.context().config.neighbour_reach(&self.settings);
        let near = |at: HisTime, cardholder: &CardholderId| {
            let apart = at.timestamp().duration_since(other.occurred_at.timestamp());
            *cardholder != other.cardholder && apart.unsigned_abs() <= reach
        };
        for o in &mut self.open {
            o.cut |= near(o.settlement.occurred_at, &o.settlement.cardholder);
        }
        // What is held was ended when the message was journalled.
        for j in lock(&self.judged).values_mut() {
            j.cut |= near(j.occurred_at, &j.cardholder);
        }
    }

    fn span(&self) -> Span {
        Span {
            before: Duration::from_millis(self.settings.before_ms),
            after: Duration::from_millis(self.settings.after_ms),
            error: self.context().config.clock_map().error,
        }
    }

    fn stop(&mut self, id: VerificationId) {
        let context = Arc::clone(self.context());
        self.open.retain(|o| {
            let stopped = o.id == id;
            if stopped {
                o.references.abort();
                context.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            !stopped
        });
        lock(&self.judged).remove(&id);
    }

    fn close_due(&mut self) {
        let (now, after) = (self.now(), self.closes_after());
        let (due, open): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut self.open).into_iter().partition(|o| o.moment.plus(after) <= now);
        self.open = open;
        for o in due {
            let neighbours = self
                .recent
                .iter()
                .filter(|(_, cardholder)| *cardholder != o.settlement.cardholder)
                .map(|(t, _)| *t);
            let window = self.span().around(o.moment, neighbours);
            let entry = Judged {
                settlement: o.settlement.settlement_id.clone(),
                cardholder: o.settlement.cardholder.clone(),
                occurred_at: o.settlement.occurred_at,
                moment: o.moment,
                window,
                held: false,
                cut: o.cut,
            };
            lock(&self.judged).insert(o.id, entry);
            let clip = self.ring.between(window.0, window.1);
            if clip.has_lost_frames() {
                metrics::frames_lost(&self.settings.id);
            }
            let closed = Closed {
                rules: Rules::counter(Arc::clone(&self.context().calibration), self.settings.region),
                open: o,
                window,
                clip,
                tools: Arc::clone(&self.tools),
                judged: Arc::clone(&self.judged),
            };
            tokio::spawn(closed.finish());
        }
    }
}

/// A window that is closed, on its way to a verdict.
struct Closed {
    open: Open,
    window: (BoxTime, BoxTime),
    clip: Clip,
    rules: Rules,
    tools: Arc<Tools>,
    judged: Windows,
}

impl Closed {
    async fn finish(self) {
        let (context, judged, id) = (Arc::clone(&self.tools.context), Arc::clone(&self.judged), self.open.id);
        let closed = Instant::now();
        let settlement = self.open.settlement.settlement_id.clone();
        let decided = self.decide().await;
        metrics::verified_in(closed.elapsed());
        debug!(verification = %id, decided_ms = closed.elapsed().as_millis() as u64, "decided");
        context.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !matches!(decided, Decided::Ended) {
            tokio::time::sleep(Duration::from_millis(context.config.decision.hold_ms)).await;
        }
        let cut = lock(&judged).remove(&id).is_none_or(|j| j.cut);
        if let Decided::Watched(score) = decided {
            let ending = match cut {
                true => Outcome::Inconclusive(Inconclusive::NeighbourNamedLate).into(),
                false => Ending { outcome: Outcome::Mismatch, score, is_apart: false },
            };
            context.end(id, &settlement, ending).await;
        }
    }

    async fn decide(self) -> Decided {
        let Self { open, window, clip, rules, tools, judged } = self;
        let Open { id, settlement, moment, clock_turns, references, .. } = open;
        let context = &tools.context;
        let end = async |ending: Ending| {
            context.end(id, &settlement.settlement_id, ending).await;
            Decided::Ended
        };
        let not_assessed = async |reason| end(Outcome::NotAssessed(reason).into()).await;
        // References first: without them no face is looked for.
        let Found { subjects, proxies, which } = match references.await {
            Ok(Ok(found)) => found,
            Ok(Err(reason)) => return not_assessed(reason).await,
            Err(_) => return not_assessed(NotAssessed::Fault).await,
        };
        // A clock in doubt, or stepped since the moment was placed: the window may be somebody else's.
        if context.doubt().is_some() || context.clock_turns() != clock_turns {
            return not_assessed(NotAssessed::ClockUncertain).await;
        }
        if window.1.since(window.0) < SHORTEST_WINDOW {
            return end(Outcome::Inconclusive(Inconclusive::WindowTooShort).into()).await;
        }
        if clip.is_empty() {
            return not_assessed(NotAssessed::CameraSilent).await;
        }
        if let Some(reason) = context.watch.cameras.known(&settlement.counter).refusal(clip.samples()) {
            return not_assessed(reason).await;
        }
        let rules = match (&tools.previous, which) {
            (Some(previous), Which::Previous) => Rules { calibration: Arc::clone(previous), ..rules },
            _ => rules,
        };
        let answer = match tools.workers.submit(Job { rules, subjects, which, clip, moment }) {
            Ok(answer) => answer,
            Err(_) => {
                metrics::shed(&settlement.counter, Shed::Queue);
                return not_assessed(NotAssessed::Overload).await;
            }
        };
        let Ok(Some(ran)) = answer.await else { return not_assessed(NotAssessed::Fault).await };
        explain(id, &ran);
        // Asked anew: what was seen of the camera since its window closed counts too.
        let camera = context.watch.cameras.known(&settlement.counter);
        let outcome = camera.temper(ran.verdict.outcome());
        let is_believed = outcome == ran.verdict.outcome();
        let (Verdict::Mismatch(mismatch), true) = (&ran.verdict, is_believed) else {
            let score = ran.verdict.score().filter(|_| which == Which::Present && is_believed);
            return end(Ending { outcome, score, is_apart: false }).await;
        };
        let cut = lock(&judged).get_mut(&id).is_some_and(|j| {
            j.held = true;
            j.cut
        });
        if cut {
            return end(Outcome::Inconclusive(Inconclusive::NeighbourNamedLate).into()).await;
        }
        // What the recognizer before says is not what the box was commissioned for: its
        // scores are not counted among the present one's, and it accuses nobody.
        let score = mismatch.comparison().score;
        let watched = Decided::Watched((which == Which::Present).then_some(score));
        let Some(armed) = context.armed().filter(|_| which == Which::Present) else { return watched };
        // A neighbour that comes from here on ends the verification first; then nothing is held.
        let draft = Draft::of(mismatch, &settlement, &context.in_force, &armed).with_proxies(proxies);
        match context.hold(id, draft).await {
            Held::Held => Decided::Held,
            Held::Cancelled => Decided::Ended,
            Held::InShadow => watched,
        }
    }
}

/// What became of a closed window.
enum Decided {
    /// It has its verdict, or is about to.
    Ended,
    /// A mismatch that is held, and will be told.
    Held,
    /// A mismatch that nobody is told of, with its score if it counts.
    Watched(Option<f32>),
}

/// Without the score, which says something about a person's face: it stands in
/// an alert and nowhere else.
fn explain(id: VerificationId, ran: &Ran) {
    debug!(
        verification = %id,
        verdict = %ran.verdict.outcome(),
        frames = ran.frames,
        unreadable = ran.unreadable,
        cpu_ms = ran.costs.total().as_millis() as u64,
        "looked"
    );
}
