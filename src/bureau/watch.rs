//! Whether the bureau gets on, and the page that tells it.
//!
//! Watched are both listeners, the purge, and the store: a question is put to
//! it every few seconds. If one is stuck the watchdog is not fed (`heart`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;

use super::metrics::{self, Boxes};
use super::store::{Store, StoreError};
use crate::clock::{BoxTime, Clock};
use crate::heart::{Heart, Hearts};
use crate::http::metrics::Page;

/// A listener beats once a second.
const LISTENER: Duration = Duration::from_secs(10);
/// A purge overwrites every page that it frees.
const PURGE: Duration = Duration::from_secs(600);
/// The store answers within this, or is stuck.
const STORE: Duration = Duration::from_secs(20);
/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// A box that says nothing for so long is silent: five postures missed.
const SILENT: Duration = Duration::from_secs(300);
/// How long the page waits for the store.
const LOOK_UP: Duration = Duration::from_secs(1);

/// What is known of the running bureau.
#[derive(Clone)]
pub struct Watch {
    /// Every part's heart.
    pub hearts: Hearts,
    /// Enforcing limits.
    pub purge: Heart,
    clock: Arc<dyn Clock>,
    purged: Arc<AtomicU64>,
}

impl Watch {
    /// Begins to watch.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let hearts = Hearts::new(Arc::clone(&clock));
        let purge = hearts.heart("purge", PURGE);
        let purged = Arc::new(AtomicU64::new(clock.now().boot.as_millis()));
        Self { hearts, purge, clock, purged }
    }

    /// The heart of a listener.
    pub fn listener(&self, name: &str) -> Heart {
        self.hearts.heart(format!("listener-{name}"), LISTENER)
    }

    /// Limits have just been enforced.
    pub fn purged(&self) {
        self.purged.store(self.clock.now().boot.as_millis(), Ordering::Relaxed);
    }

    /// Asks the store whether it is there, for ever. A store that answers with
    /// an error is no standstill: starting the program anew would not mend it.
    pub(super) fn ask(&self, store: Arc<Store>) -> impl Future<Output = ()> + use<> {
        let heart = self.hearts.heart("store", STORE);
        async move {
            loop {
                heart.beat();
                if let Err(error) = store.answers().await {
                    tracing::error!(%error, "the store failed");
                }
                heart.rest(tokio::time::sleep(ASK_EVERY)).await;
            }
        }
    }

    /// The page of metrics.
    pub(super) fn page(&self, page: Page, store: Arc<Store>) -> Router {
        let (watch, hearts) = (self.clone(), self.hearts.clone());
        let refresh = move || watch.clone().refresh(Arc::clone(&store));
        page.router(refresh, move || hearts.complaint())
    }

    async fn refresh(self, store: Arc<Store>) {
        let boxes = tokio::time::timeout(LOOK_UP, self.boxes(&store)).await.ok().and_then(Result::ok);
        let now = self.clock.now().boot;
        let purged = BoxTime::from_millis(self.purged.load(Ordering::Relaxed));
        metrics::refresh(boxes, now.since(purged), &self.hearts.pulses());
    }

    async fn boxes(&self, store: &Store) -> Result<Boxes, StoreError> {
        let silent_since = self.clock.now().wall.minus(SILENT);
        let mut boxes = Boxes::default();
        for agent in store.boxes().await? {
            if agent.suspended {
                boxes.suspended += 1;
                continue;
            }
            boxes.active += 1;
            if agent.last_seen.is_some_and(|t| t < silent_since) {
                boxes.silent += 1;
            }
        }
        Ok(boxes)
    }
}
