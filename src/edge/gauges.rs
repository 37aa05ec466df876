//! The page of metrics of a running agent: what is looked up when it is read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::camera::ring::Ring;
use crate::crypto::Sha256;
use crate::http::metrics::record;
use crate::http::server::{Handle, Listener};
use crate::protocol::id::CounterId;

use super::agent::AgentError;
use super::config::Counter;
use super::counter::Tools;
use super::metrics::{self, InForce, Reading};

/// How long the outbox may be waited for; after it the page shows what it last knew.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Where the figures are.
#[derive(Clone)]
pub struct Gauges {
    tools: Arc<Tools>,
    rings: Arc<Vec<(CounterId, Arc<Ring>)>>,
}

impl Gauges {
    /// Of all counters and what they share.
    pub fn new(counters: &[(Counter, Arc<Ring>)], tools: &Arc<Tools>) -> Self {
        let rings = counters.iter().map(|(c, ring)| (c.id.clone(), Arc::clone(ring))).collect();
        Self { tools: Arc::clone(tools), rings: Arc::new(rings) }
    }

    /// Serves the page from now on; the address in use.
    ///
    /// # Errors
    /// If the address cannot be bound, or this process records already.
    pub fn serve(
        self,
        listen: SocketAddr,
        models: &BTreeMap<String, Sha256>,
        handle: &Handle,
    ) -> Result<SocketAddr, AgentError> {
        let context = Arc::clone(&self.tools.context);
        let page = record(metrics::ALL, context.clock.now())?;
        let model = |role: &str| models.get(role).copied().unwrap_or(Sha256([0; 32]));
        let settings = &context.in_force.settings;
        let in_force = InForce {
            policy: settings.policy,
            notice: settings.notice,
            calibration: settings.calibration,
            detector: model("detector"),
            recognizer: model("recognizer"),
        };
        metrics::begin(self.rings.iter().map(|(id, _)| id.clone()), &in_force);
        let listener = Listener::bind(listen, None)?.beating(context.watch.listener("metrics"));
        let address = listener.address()?;
        let refresh = move || self.clone().refresh();
        let app = page.clone().router(refresh, move || context.watch.hearts.complaint());
        tokio::spawn(page.keep_up());
        tokio::spawn(listener.serve(app, handle.clone()));
        Ok(address)
    }

    async fn refresh(self) {
        let context = &self.tools.context;
        let outbox = tokio::time::timeout(LOOK_UP, context.store(|s| s.outbox())).await;
        let (audit_ok, store_ok) = context.writable();
        metrics::refresh(&Reading {
            in_flight: context.in_flight.load(Ordering::Relaxed),
            queue: self.tools.workers.waiting(),
            outbox: outbox.ok().and_then(Result::ok),
            audit_ok,
            audit_seq: context.audit_head().map(|h| h.seq),
            store_ok,
            armed: context.armed().is_some(),
            other_version_wanted: context.watch.wanted.differs(),
            purge_age: context.watch.purge_age(),
            bureau_age: context.watch.bureau_age(),
            pulses: context.watch.hearts.pulses(),
        });
        let now = context.clock.now().boot;
        for (counter, ring) in self.rings.iter() {
            metrics::refresh_camera(counter, ring, context.watch.started(), now);
            metrics::refresh_health(counter, context.watch.cameras.known(counter));
        }
    }
}
