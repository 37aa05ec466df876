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

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::bureau::store::ChainState;
    use crate::bureau::store::event_tests::{Bench, chain};
    use crate::bureau::store::tests::{on_both, query_on_server};
    use crate::protocol::id::Epoch;

    /// All of them wait at once, and so are in one commit.
    async fn put_together(bench: Bench, incoming: Vec<Incoming>) -> (Bench, Vec<Option<Insertion>>) {
        let Bench { store, agent, key } = bench;
        let store = Arc::new(store);
        let ingest = Ingest::start(store.clone());
        let answers = join_all(incoming.into_iter().map(|one| ingest.put(one))).await;
        drop(ingest);
        let store = loop {
            // The task that stores ends when nobody is left who hands in.
            tokio::task::yield_now().await;
            if Arc::strong_count(&store) == 1 {
                break Arc::into_inner(store).unwrap();
            }
        };
        (Bench { store, agent, key }, answers.into_iter().map(Result::ok).collect())
    }

    #[tokio::test]
    async fn one_event_that_cannot_be_stored_takes_no_neighbour_with_it() {
        on_both(async |store| {
            let bench = Bench::new(store).await;
            let mut events = chain(3, Epoch::new());
            let mut refused = chain(1, Epoch::new()).remove(0);
            // No database holds so great a number.
            refused.chain.seq = u64::MAX;
            events.insert(1, refused);
            let mut incoming = Vec::new();
            for event in &events {
                incoming.push(bench.incoming(event, 1).await);
            }
            let (bench, answers) = put_together(bench, incoming).await;
            let stored = Some(Insertion::Stored(ChainState::Ok));
            assert_eq!(answers, [stored.clone(), None, stored.clone(), stored]);
            assert_eq!(bench.put(&events[0], 2).await, Insertion::Duplicate);
        })
        .await;
    }

    #[tokio::test]
    async fn what_another_process_stood_in_the_way_of_is_tried_again_and_not_for_ever() {
        query_on_server(async |store, ask| {
            // The server says so itself, as often as it is told to.
            let provoke = |times: u32| {
                ask(&format!(
                    "DROP SEQUENCE IF EXISTS tried; CREATE SEQUENCE tried; \
                     CREATE OR REPLACE FUNCTION provoke() RETURNS trigger AS $$ BEGIN \
                     IF nextval('tried') <= {times} THEN \
                     RAISE EXCEPTION 'provoked' USING ERRCODE = '40P01'; END IF; \
                     RETURN NEW; END $$ LANGUAGE plpgsql; \
                     CREATE OR REPLACE TRIGGER provoked BEFORE INSERT ON events \
                     FOR EACH STATEMENT EXECUTE FUNCTION provoke()"
                ))
            };
            let bench = Bench::new(store).await;
            let events = chain(2, Epoch::new());
            provoke(TRIES);
            let incoming = vec![bench.incoming(&events[0], 1).await];
            let (bench, answers) = put_together(bench, incoming).await;
            assert_eq!(answers, [Some(Insertion::Stored(ChainState::Ok))]);
            provoke(TRIES + 1);
            let incoming = vec![bench.incoming(&events[1], 1).await];
            let (bench, answers) = put_together(bench, incoming).await;
            assert_eq!(answers, [None]);
            assert_eq!(bench.put(&events[1], 1).await, Insertion::Stored(ChainState::Ok));
        })
        .await;
    }
}
