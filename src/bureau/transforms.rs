//! The boxes' transforms, made once and kept in memory: making one takes a
//! hundred times as long as using it.
//!
//! Promises: none is made on the threads that serve requests; one key's is made once at
//! a time, however many ask for it, and few of different keys at once, so that a
//! hundred boxes that call after a start are answered one after the other while
//! everything else goes on. Found by the key's id, so a new issue is another one.
//! Bounded; when it is full it begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, Semaphore};

use super::store::StoreError;
use crate::crypto::transform::{Transform, TransformId, TransformKey};

/// Most transforms kept: 64 KiB each for embeddings of 128 numbers.
const MOST: usize = 1024;
/// So many are made at once, each on a core of its own.
const AT_ONCE: usize = 1;

/// A key's transform: made, or being made.
type Place = Arc<OnceCell<Arc<Transform>>>;

/// The transforms that were made lately.
pub struct Transforms {
    places: Mutex<HashMap<(TransformId, usize), Place>>,
    makers: Arc<Semaphore>,
}

impl Default for Transforms {
    fn default() -> Self {
        Self { places: Mutex::default(), makers: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Transforms {
    /// The key's transform for vectors of `dimension` numbers.
    ///
    /// # Errors
    /// If it could not be made because the program ends.
    pub async fn of(&self, key: &Arc<TransformKey>, dimension: usize) -> Result<Arc<Transform>, StoreError> {
        let place = self.place(key.id(), dimension);
        if let Some(made) = place.get() {
            return Ok(Arc::clone(made));
        }
        // A task of its own: who asked may go away, and what was begun is then of use to
        // the next one.
        let (key, makers) = (Arc::clone(key), Arc::clone(&self.makers));
        let making = tokio::spawn(async move {
            let make = async || {
                let _turn = makers.acquire().await.map_err(ended)?;
                let made = tokio::task::spawn_blocking(move || key.transform(dimension)).await;
                made.map(Arc::new).map_err(ended)
            };
            place.get_or_try_init(make).await.cloned()
        });
        making.await.map_err(ended)?
    }

    fn place(&self, id: TransformId, dimension: usize) -> Place {
        let mut places = self.places.lock().unwrap_or_else(|e| e.into_inner());
        let wanted = (id, dimension);
        if places.len() >= MOST && !places.contains_key(&wanted) {
            places.clear();
        }
        Arc::clone(places.entry(wanted).or_default())
    }
}

fn ended<E>(_: E) -> StoreError {
    StoreError::Database(sqlx::Error::WorkerCrashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u16) -> Arc<TransformKey> {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Arc::new(TransformKey::new(bytes))
    }

    #[tokio::test]
    async fn a_transform_is_made_once_for_each_key_and_dimension_and_not_all_are_kept() {
        let transforms = Transforms::default();
        let first = transforms.of(&key(0), 3).await.unwrap();
        assert!(Arc::ptr_eq(&first, &transforms.of(&key(0), 3).await.unwrap()));
        assert_eq!(transforms.of(&key(0), 4).await.unwrap().dimension(), 4);
        assert_ne!(transforms.of(&key(1), 3).await.unwrap().id(), first.id());
        for n in 0..3000 {
            assert_eq!(transforms.of(&key(n), 1).await.unwrap().id(), key(n).id());
            assert!(transforms.places.lock().unwrap().len() <= MOST);
        }
    }

    #[tokio::test]
    async fn those_who_ask_at_once_wait_for_one_and_whoever_goes_away_stops_nothing() {
        let transforms = Transforms::default();
        // Nobody's turn comes until this is given back.
        let held = transforms.makers.acquire().await.unwrap();
        let key = key(0);
        {
            let mut gone = Box::pin(transforms.of(&key, 3));
            assert!(futures_util::poll!(&mut gone).is_pending());
        }
        // Two are answered by the one that is under way, on the one thread of this test.
        let asked = futures_util::future::join(transforms.of(&key, 3), transforms.of(&key, 3));
        let free = async move { drop(held) };
        let ((one, two), ()) = futures_util::future::join(asked, free).await;
        assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
    }
}
