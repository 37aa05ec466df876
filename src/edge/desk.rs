//! What is done with what a HIS says, whichever way and in whichever dialect it came.
//!
//! Promises: nothing is acknowledged before the journal's commit; no answer tells a
//! verdict, and nothing waits for one; a storm is turned away at once instead of queued,
//! so that the time to an answer stays bounded. Refusals are problems (RFC 9457): a
//! dialect that has other words for them puts them into its own.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, error, info, warn};

use super::context::Context;
use super::counter::{Circumstances, Counters};
use super::entrance::{Entrances, Expectation};
use super::his::senders::Table;
use super::his::{Message, Naming, Proxy, Registration, Settling, StayId};
use super::journal::{Accepted, Cancelled};
use super::metrics;
use super::names::Named;
use super::references::References;
use super::stays::{Acting, StayName};
use super::store::{Store, StoreError};
use crate::http::problem::Problem;
use crate::privacy::policy;
use crate::protocol::id::{CounterId, SettlementId, ShiftId, VerificationId};
use crate::protocol::roster::{Begun, Billed, Closed, Roster};
use crate::protocol::settlement::Settlement;
use crate::protocol::verdict::{Inconclusive, NotAssessed, Outcome};

/// Messages that may wait for the journal at a time: the last of 32 waits
/// about a second on a disk that takes 30 ms for a sync, and no window settles 32
/// cards at once.
pub(super) const MOST_WAITING: usize = 32;

/// What became of a message that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A settlement, and its verification.
    Settlement(VerificationId),
    /// A settlement that had come before.
    Again(VerificationId),
    /// Anything else.
    Noted,
}

/// Where what a HIS says is taken.
pub struct Desk {
    context: Arc<Context>,
    counters: Arc<Counters>,
    entrances: Arc<Entrances>,
    references: References,
    senders: Table,
    pub(super) journal: Arc<Semaphore>,
}

impl Desk {
    /// Joins the parts.
    pub fn new(
        context: Arc<Context>,
        counters: Arc<Counters>,
        entrances: Arc<Entrances>,
        references: References,
    ) -> Self {
        let journal = Arc::new(Semaphore::new(MOST_WAITING));
        let senders = Table::new(&context.config.his.senders);
        Self { context, counters, entrances, references, senders, journal }
    }

    /// The agent.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Takes a message of a dialect; `itself` is the counter that its connection names.
    ///
    /// # Errors
    /// A problem: an unknown sender, a box that cannot verify now, a number used before.
    pub async fn hear(
        self: &Arc<Self>,
        message: Message,
        itself: Option<CounterId>,
    ) -> Result<Taken, Problem> {
        if !self.context.policy.keeps(policy::STAYS) {
            let detail = "this box does not read the HIS's own messages: say in privacy.retention.stays_days \
                          how long it may know who acts for a cardholder, and post the new notice";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        match message {
            Message::Settle(settling) => self.settle_in_stay(*settling, itself).await,
            Message::Cancel { settlement } => self.cancel(settlement).await.map(|()| Taken::Noted),
            Message::Failed { request } => self.cancel(request).await.map(|()| Taken::Noted),
            Message::Named(naming) => self.name(naming).await.map(|()| Taken::Noted),
            Message::Registered(registration) => self.register(registration).await.map(|()| Taken::Noted),
            Message::StayNamed { request, stay } => {
                let now = self.context.moment();
                self.note(move |s| s.name_stay(&request, &stay, now)).await.map(|()| Taken::Noted)
            }
            Message::StayEnded { stay } => self.note(move |s| s.end_stay(&stay)).await.map(|()| Taken::Noted),
            Message::Other { .. } => Ok(Taken::Noted),
        }
    }

    async fn settle_in_stay(
        self: &Arc<Self>,
        settling: Settling,
        itself: Option<CounterId>,
    ) -> Result<Taken, Problem> {
        let Settling { sender, stay, .. } = &settling;
        let (sender, stay) = (sender.clone(), stay.clone());
        let counter = self
            .senders
            .find(itself.as_ref(), &sender)
            .map_err(|e| Problem::new(StatusCode::NOT_FOUND, e.to_string()).about("counter"))?;
        let settlement = Settlement {
            settlement_id: settling.request,
            counter,
            cardholder: settling.cardholder,
            occurred_at: settling.occurred_at,
            amount_fen: settling.amount_fen,
            medical_type: settling.medical_type,
            proxies: Vec::new(),
            channel: settling.channel,
            age_years: None,
            disease_code: settling.disease_code,
        };
        self.settle_for(settlement, stay).await
    }

    /// Takes a settlement.
    ///
    /// # Errors
    /// A problem, as above.
    pub async fn settle(self: &Arc<Self>, settlement: Settlement) -> Result<Taken, Problem> {
        self.settle_for(settlement, None).await
    }

    async fn settle_for(
        self: &Arc<Self>,
        settlement: Settlement,
        stay: Option<StayId>,
    ) -> Result<Taken, Problem> {
        if !(self.counters.knows(&settlement.counter) || self.entrances.knows(&settlement.counter)) {
            let all = [self.counters.names(), self.entrances.names()];
            let names =
                all.iter().filter(|n| !n.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("counter `{}`; this box watches {names}", settlement.counter);
            return Err(Problem::new(StatusCode::NOT_FOUND, detail).about("counter"));
        }
        if let Some(trouble) = self.context.trouble() {
            return Err(self.unavailable(&settlement.counter, trouble));
        }
        let Ok(place) = Arc::clone(&self.journal).try_acquire_owned() else {
            let overload = Outcome::NotAssessed(NotAssessed::Overload);
            self.context.count(overload);
            metrics::verdict(&settlement.counter, overload);
            return Err(too_many());
        };
        let desk = Arc::clone(self);
        to_its_end(async move {
            let answer = desk.take(settlement, stay).await;
            drop(place);
            answer
        })
        .await
    }

    fn unavailable(&self, counter: &CounterId, why: impl std::fmt::Display) -> Problem {
        let outcome = Outcome::NotAssessed(NotAssessed::Fault);
        self.context.count(outcome);
        metrics::verdict(counter, outcome);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
    }

    /// Journals a settlement and begins its verification.
    async fn take(&self, settlement: Settlement, stay: Option<StayId>) -> Result<Taken, Problem> {
        let (copy, now) = (settlement.clone(), self.context.moment());
        let config = &self.context.config;
        let counter = config.counters.iter().find(|c| c.id == settlement.counter);
        let reach = counter.map_or(Duration::ZERO, |c| config.neighbour_reach(c));
        let journal = move |s: &mut Store| {
            // A neighbour counts even if it cannot be accepted: a doubt is never an accusation.
            let cut = s.cut_held(&copy, reach, now)?;
            let acting = stay.map(|stay| s.acting_in(&stay)).transpose()?.unwrap_or_default();
            let elsewhere = s.was_paid_elsewhere(&copy.settlement_id)?;
            Ok((cut, acting, elsewhere, s.accept(&copy, now)?))
        };
        let (cut, acting, elsewhere, accepted) = self.context.store(journal).await.map_err(|e| {
            error!(error = %e, "a settlement could not be journalled");
            self.unavailable(&settlement.counter, e)
        })?;
        for verification in cut {
            self.context.ended(verification, Outcome::Inconclusive(Inconclusive::NeighbourNamedLate));
        }
        self.context.audit_waits.notify_one();
        match accepted {
            Accepted::New(id) => {
                info!(verification = %id, counter = %settlement.counter, "accepted");
                if let Some(entrance) = self.entrances.judge_of(&settlement) {
                    self.counters.passed(&settlement);
                    self.entrances.billed(id, settlement, &entrance).await;
                    return Ok(Taken::Settlement(id));
                }
                let circumstances = Circumstances { proxies: acting, paid_elsewhere: elsewhere };
                self.counters.verify(id, settlement, circumstances).await;
                Ok(Taken::Settlement(id))
            }
            Accepted::CancelledBefore(id) => {
                let outcome = Outcome::NotAssessed(NotAssessed::Cancelled);
                self.context.count(outcome);
                metrics::verdict(&settlement.counter, outcome);
                Ok(Taken::Settlement(id))
            }
            Accepted::Repeated(id) => Ok(Taken::Again(id)),
            Accepted::Contradicts => {
                warn!("a settlement number came again with another content");
                let detail = "this settlement number came before with another content; send a correction under a number of its own, or cancel the first";
                Err(Problem::new(StatusCode::CONFLICT, detail).about("settlement_id"))
            }
        }
    }

    /// Takes a settlement back, whatever has become of it.
    ///
    /// # Errors
    /// If it cannot be journalled: it must be sent again.
    pub async fn cancel(self: &Arc<Self>, id: SettlementId) -> Result<(), Problem> {
        let desk = Arc::clone(self);
        to_its_end(async move {
            let (agent, now) = (desk.context.config.agent.name.clone(), desk.context.moment());
            let cancelled = desk.note(move |s| s.cancel(&id, &agent, now)).await?;
            desk.take_back(cancelled).await;
            Ok(())
        })
        .await
    }

    /// Stops or withdraws what a cancellation found.
    async fn take_back(&self, cancelled: Cancelled) {
        match cancelled {
            Cancelled::Stopped(verification) => {
                self.stop(verification, NotAssessed::Cancelled).await;
                info!(%verification, "cancelled");
            }
            Cancelled::Withdrawn => self.context.events_wait.notify_one(),
            Cancelled::Remembered | Cancelled::Nothing => {}
        }
    }

    /// Counts a verification that ended in the journal, and stops its work.
    async fn stop(&self, verification: VerificationId, reason: NotAssessed) {
        let outcome = Outcome::NotAssessed(reason);
        self.context.count(outcome);
        self.context.watch.places.ended(verification, outcome);
        self.counters.stop(verification).await;
        self.entrances.stop(verification).await;
    }

    /// Takes a shift's roster.
    ///
    /// # Errors
    /// A problem: no such entrance, a shift that has begun, or lies in the time of another.
    pub async fn expect(
        &self,
        counter: &CounterId,
        shift: ShiftId,
        roster: Roster,
    ) -> Result<StatusCode, Problem> {
        let name = shift.clone();
        let refused = |detail: String| Err(Problem::new(StatusCode::CONFLICT, detail).about("shift"));
        match self.entrances.expect(counter, shift, roster).await {
            None => Err(self.no_entrance(counter)),
            Some(Expectation::Taken) => Ok(StatusCode::CREATED),
            Some(Expectation::Again) => Ok(StatusCode::OK),
            Some(Expectation::HasBegun) => refused(format!(
                "shift `{name}` has begun, and somebody who is added now was not looked for from its beginning: \
                 leave them out, or close the shift and give the rest of it under another name"
            )),
            Some(Expectation::Overlaps(other)) => refused(format!(
                "shift `{other}` of this entrance lies in the same time: give both as one roster, or change the times"
            )),
            Some(Expectation::OutOfTime(why)) => {
                let detail = format!("shift `{name}`: {why}");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about("begins_at"))
            }
            Some(Expectation::NotKept(why)) => {
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}: send the roster again")))
            }
        }
    }

    fn no_entrance(&self, counter: &CounterId) -> Problem {
        let entrances = self.entrances.names();
        let known = if entrances.is_empty() { "none".to_owned() } else { entrances };
        let detail = format!("counter `{counter}`; entrances that this box watches: {known}");
        Problem::new(StatusCode::NOT_FOUND, detail).about("counter")
    }

    /// Ends a shift, and takes the sessions that were billed in it; the verification of each.
    ///
    /// # Errors
    /// A problem: no such entrance or shift, or of the first session that cannot be taken.
    /// Sent again, it goes on.
    pub async fn close(
        self: &Arc<Self>,
        counter: &CounterId,
        shift: ShiftId,
        billed: Vec<Billed>,
    ) -> Result<Closed, Problem> {
        if !self.entrances.knows(counter) {
            return Err(self.no_entrance(counter));
        }
        if !self.entrances.close(counter, shift.clone()).await {
            let detail = format!("shift `{shift}`: no roster of this name is held at {counter}");
            return Err(Problem::new(StatusCode::NOT_FOUND, detail).about("shift"));
        }
        let mut verifications = Vec::with_capacity(billed.len());
        for one in billed {
            let settlement_id = one.settlement_id.clone();
            if let Taken::Settlement(verification_id) | Taken::Again(verification_id) =
                self.settle(one.at(counter.clone())).await?
            {
                verifications.push(Begun { settlement_id, verification_id });
            }
        }
        Ok(Closed { verifications })
    }

    async fn name(self: &Arc<Self>, naming: Naming) -> Result<(), Problem> {
        let desk = Arc::clone(self);
        to_its_end(async move {
            let (agent, now) = (desk.context.config.agent.name.clone(), desk.context.moment());
            match desk.note(move |s| s.name(&naming, &agent, now)).await? {
                Named::Noted => {}
                Named::Cancelled(cancelled) => desk.take_back(cancelled).await,
                Named::OutOfScope(verification) => desk.stop(verification, NotAssessed::OutOfScope).await,
            }
            Ok(())
        })
        .await
    }

    /// Notes who acts during a stay. Of a certificate its hash under the bureau's key is
    /// kept; where that key cannot be had, that there is somebody.
    async fn register(&self, registration: Registration) -> Result<(), Problem> {
        let Registration { request, stay, proxy } = registration;
        let acting = match proxy {
            None => return Ok(()),
            Some(Proxy::Unnamed) => Acting { marks: Vec::new(), has_unknown: true },
            Some(Proxy::Certificate(certificate)) => {
                let mark = self.references.mark_of(certificate).await;
                Acting { has_unknown: mark.is_none(), marks: mark.into_iter().collect() }
            }
        };
        let now = self.context.moment();
        self.note(move |s| match (&stay, &request) {
            (Some(stay), _) => s.begin_stay(&StayName::Number(stay), &acting, now),
            (None, Some(request)) => s.begin_stay(&StayName::Begun(request), &acting, now),
            (None, None) => Ok(()),
        })
        .await
    }

    /// Writes into the journal what must be sent again if it cannot be.
    async fn note<R: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, Problem> {
        let written = self.context.store(write).await.map_err(|e| {
            error!(error = %e, "a message could not be journalled");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{e}: send the message again"))
        })?;
        self.context.audit_waits.notify_one();
        Ok(written)
    }
}

fn too_many() -> Problem {
    let detail = format!("{MOST_WAITING} settlements wait for the journal already: too many at once");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Runs what follows a commit to its end even if the caller hangs up meanwhile:
/// a handler is dropped with its connection, a task is not.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let lost =
        |e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a request was not finished: {e}"));
    tokio::spawn(work.instrument(Span::current())).await.unwrap_or_else(|e| Err(lost(e)))
}
