//! Events on their way into the store: those that wait are committed together.
//!
//! Promises: an event is answered after the commit that stored it, and as if it had
//! come alone; one that comes alone waits for nobody; one that the database refuses
//! does not take its neighbours with it; what another process of the bureau stood in
//! the way of is tried again. At most [`MOST`] are in one commit and [`WAITING`] wait;
//! further ones wait to be let in.
//!
//! Why: a commit waits for the disk, and that takes as long for one as for hundreds
//! (`docs/decisions/0022-two-engines.md`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::store::{Incoming, Insertion, Store, StoreError};

/// Most events in one commit: more would make those that came first wait.
const MOST: usize = 256;
/// Most events that wait.
const WAITING: usize = 1024;
/// How often a commit is tried that another process stood in the way of.
const TRIES: u32 = 5;

struct Waiting {
    incoming: Incoming,
    answer: oneshot::Sender<Result<Insertion, Arc<StoreError>>>,
}

/// The way in.
#[derive(Clone)]
pub struct Ingest(mpsc::Sender<Waiting>);

impl Ingest {
    /// Opens it; it closes with the last copy of this.
    pub fn start(store: Arc<Store>) -> Self {
        let (send, receive) = mpsc::channel(WAITING);
        tokio::spawn(run(store, receive));
        Self(send)
    }

    /// Stores an event, once; answers after the commit.
    ///
    /// # Errors
    /// If the database fails; the event is not stored then, or the next one with its id
    /// is a duplicate.
    pub async fn put(&self, incoming: Incoming) -> Result<Insertion, Arc<StoreError>> {
        let (answer, answered) = oneshot::channel();
        let ended = || Arc::new(StoreError::Database(sqlx::Error::WorkerCrashed));
        self.0.send(Waiting { incoming, answer }).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn run(store: Arc<Store>, mut receive: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(MOST);
    while receive.recv_many(&mut waiting, MOST).await > 0 {
        let (batch, answers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|w| (w.incoming, w.answer)).unzip();
        let results = match together(&store, &batch).await {
            Ok(insertions) => insertions.into_iter().map(Ok).collect(),
            Err(error) if batch.len() > 1 && is_about_one(&error) => each_alone(&store, batch).await,
            Err(error) => {
                let error = Arc::new(error);
                batch.iter().map(|_| Err(error.clone())).collect()
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Who went away meanwhile asks again.
            let _ = answer.send(result);
        }
    }
}

async fn each_alone(store: &Store, batch: Vec<Incoming>) -> Vec<Result<Insertion, Arc<StoreError>>> {
    let mut results = Vec::with_capacity(batch.len());
    for one in batch {
        let result = together(store, &[one]).await.map_err(Arc::new);
        results.push(result.and_then(|mut insertions| {
            insertions.pop().ok_or_else(|| Arc::new(StoreError::Database(sqlx::Error::RowNotFound)))
        }));
    }
    results
}

async fn together(store: &Store, batch: &[Incoming]) -> Result<Vec<Insertion>, StoreError> {
    let mut tries = 0;
    loop {
        match store.insert_events(batch).await {
            Err(error) if tries < TRIES && error.is_collision() => {
                tries += 1;
                tracing::debug!(%error, tries, "another process stood in the way; trying again");
            }
            done => return done,
        }
    }
}

/// Whether one event may be the reason, and not the database itself.
fn is_about_one(error: &StoreError) -> bool {
    !matches!(error, StoreError::Database(e) if e.as_database_error().is_none())
}
