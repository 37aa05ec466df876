//! What happens now, as a stream of events for pages that are open.
//!
//! Promises: what becomes of an alert is told to every open page within about a
//! second, whichever process of the bureau wrote it; an event names an alert and
//! nothing about it; a stream ends with its session, and keeps none alive; there are
//! at most [`MOST_STREAMS`] at a time, and a few questions a second to the database for
//! all of them together, none while nobody listens.
//!
//! What it does not do: promise that nothing is missed. A page that was cut off asks
//! anew, and a reload always shows what is so.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Console;
use super::failure::Failure;
use super::route::{REVIEW, Route};
use super::visitor::Visitor;
use crate::bureau::store::{AlertChange, Store, StoreError};
use crate::clock::{Clock, WallTime};
use crate::crypto::Sha256;

/// Open pages at a time, of one process.
const MOST_STREAMS: usize = 128;
/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often a quiet stream shows that it is alive, and its session is looked at.
const BEAT: Duration = Duration::from_secs(5);
/// Changes are looked for this far back, since clocks of several processes differ and
/// a commit may come late. What is new is found by its number instead, however late.
const OVERLAP_MS: i64 = 10_000;
/// More changes than this at once are told as `many`.
const MOST_CHANGES: u32 = 100;
/// Events that a slow page may be behind.
const BEHIND: usize = 256;

/// Said when a page had better ask anew.
const MANY: &str = "event: many\ndata: -\n\n";
/// Said when the session is over.
const OVER: &str = "event: over\ndata: -\n\n";
/// Said now and then, and first of all; browsers pass over it.
const STILL_HERE: &str = ": still here\n\n";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/feed", REVIEW, listen).by_itself()]
}

/// The streams of one process.
pub(super) struct Feed {
    events: broadcast::Sender<Arc<str>>,
    places: Arc<Semaphore>,
    ending: watch::Sender<bool>,
}

impl Feed {
    pub(super) fn new() -> Self {
        let (events, _) = broadcast::channel(BEHIND);
        Self { events, places: Arc::new(Semaphore::new(MOST_STREAMS)), ending: watch::Sender::new(false) }
    }

    /// Ends every stream.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Asks for changes as long as somebody listens; never ends by itself.
    pub(super) async fn keep_watching(&self, store: &Store, clock: &dyn Clock) {
        let mut told = Told::default();
        let mut ticks = every(EVERY);
        loop {
            ticks.tick().await;
            if self.events.receiver_count() == 0 {
                continue;
            }
            match told.news(store, clock.now().wall).await {
                // Nobody listening any more is no fault.
                Ok(events) => events.into_iter().for_each(|e| drop(self.events.send(e))),
                Err(error) => tracing::warn!(%error, "open pages hear of nothing for now"),
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn event(change: &AlertChange) -> Arc<str> {
    let AlertChange { id, arrival, .. } = change;
    format!("event: alert\ndata: {{\"id\":\"{id}\",\"arrival\":{arrival}}}\n\n").into()
}

/// What was told lately.
#[derive(Default)]
struct Told {
    /// When each alert had changed.
    changes: BTreeMap<String, WallTime>,
    /// The number up to which what came was told; nothing before the first look.
    newest: Option<i64>,
}

impl Told {
    /// What is new since it was asked last.
    async fn news(&mut self, store: &Store, now: WallTime) -> Result<Vec<Arc<str>>, StoreError> {
        let since = WallTime::from_millis(now.as_millis().saturating_sub(OVERLAP_MS));
        let seen = match self.newest {
            Some(seen) => seen,
            None => store.newest_arrival().await?,
        };
        let came = store.alerts_after(seen, MOST_CHANGES).await?;
        let changed = store.alert_changes(since, MOST_CHANGES).await?;
        let is_full = [&came, &changed].iter().any(|found| found.len() == MOST_CHANGES as usize);
        self.newest = Some(if is_full { store.newest_arrival().await? } else { last(&came).unwrap_or(seen) });
        let mut fresh = came;
        for change in changed {
            let was_told = self.changes.get(&change.id) == Some(&change.changed_at);
            if !was_told && !fresh.contains(&change) {
                fresh.push(change);
            }
        }
        self.changes.retain(|_, at| *at >= since);
        self.changes.extend(fresh.iter().map(|c| (c.id.clone(), c.changed_at)));
        if is_full {
            return Ok(vec![MANY.into()]);
        }
        Ok(fresh.iter().map(event).collect())
    }
}

fn last(came: &[AlertChange]) -> Option<i64> {
    came.last().map(|c| c.arrival)
}

/// One open page.
struct Listener {
    console: Arc<Console>,
    session: Sha256,
    events: broadcast::Receiver<Arc<str>>,
    ending: watch::Receiver<bool>,
    beat: Interval,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// What is sent next; nothing if the stream ends.
    async fn next(&mut self) -> Option<Arc<str>> {
        if self.is_over || *self.ending.borrow() {
            return None;
        }
        tokio::select! {
            _ = self.ending.changed() => None,
            heard = self.events.recv() => match heard {
                Ok(event) => Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(MANY.into()),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            _ = self.beat.tick() => Some(self.look().await.into()),
        }
    }

    /// Whether the session still counts; the look itself does not make it last.
    async fn look(&mut self) -> &'static str {
        let Console { store, clock, .. } = self.console.as_ref();
        match store.glance(self.session, self.console.session_limits(), clock.now().wall).await {
            // A database that is away for a moment signs nobody out.
            Ok(Some(_)) | Err(_) => STILL_HERE,
            Ok(None) => {
                self.is_over = true;
                OVER
            }
        }
    }
}

async fn listen(State(console): State<Arc<Console>>, visitor: Visitor) -> Result<Response, Failure> {
    let person = visitor.person.as_ref().ok_or_else(Failure::signed_out)?;
    let Ok(place) = Arc::clone(&console.feed.places).try_acquire_owned() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")]).into_response());
    };
    let listener = Listener {
        session: person.session,
        events: console.feed.events.subscribe(),
        ending: console.feed.ending.subscribe(),
        beat: every(BEAT),
        is_over: false,
        _place: place,
        console,
    };
    let events = stream::unfold(listener, async |mut listener| {
        let next = listener.next().await?;
        Some((Ok::<_, Infallible>(Bytes::copy_from_slice(next.as_bytes())), listener))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::seed::tests::{FILLED_AT, filled};
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn what_has_changed_is_told_once_and_nothing_about_it() {
        on_both(async |store| {
            filled(&store, 40).await;
            let newest = store.newest_arrival().await.unwrap();
            let mut told = Told::default();
            let now = WallTime::from_millis(FILLED_AT);
            assert!(told.news(&store, now).await.unwrap().is_empty());
            let long_ago = WallTime::from_millis(OVERLAP_MS);
            assert_eq!(told.news(&store, long_ago).await.unwrap(), told_as(&store, newest).await);
            assert!(told.news(&store, long_ago).await.unwrap().is_empty());
            // What took longer than that to be stored is told by its number, once as well.
            let mut told = Told { newest: Some(0), ..Told::default() };
            let came = told.news(&store, now).await.unwrap();
            let in_order: Vec<_> = store.alerts_after(0, 100).await.unwrap().iter().map(event).collect();
            assert_eq!((came.len(), came), (40, in_order));
            assert!(told.news(&store, now).await.unwrap().is_empty());
        })
        .await;
    }

    /// Every alert as an event, the earliest change first.
    async fn told_as(store: &Store, newest: i64) -> Vec<Arc<str>> {
        let all = store.alert_changes(WallTime::from_millis(0), 1000).await.unwrap();
        assert!(all.len() == 40 && all.iter().any(|c| c.arrival == newest));
        let events: Vec<Arc<str>> = all.iter().map(event).collect();
        assert!(events.iter().all(|e| e.starts_with("event: alert\ndata: {\"id\":\"") && e.len() < 120));
        events
    }
}
