//! The boxes' transforms, made once and kept in memory: making one takes a
//! hundred times as long as using it.
//!
//! Found by the key's id, so a new issue is another one. Bounded; when it is
//! full it begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::crypto::transform::{Transform, TransformId, TransformKey};

/// Most transforms kept: 64 KiB each for embeddings of 128 numbers.
const MOST: usize = 1024;

/// The transforms that were made lately.
#[derive(Default)]
pub struct Transforms(Mutex<HashMap<(TransformId, usize), Arc<Transform>>>);

impl Transforms {
    /// The key's transform for vectors of `dimension` numbers.
    pub fn of(&self, key: &TransformKey, dimension: usize) -> Arc<Transform> {
        let place = (key.id(), dimension);
        let held = || self.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = held().get(&place) {
            return Arc::clone(known);
        }
        // Not under the lock: others need not wait for it.
        let made = Arc::new(key.transform(dimension));
        let mut held = held();
        if held.len() >= MOST {
            held.clear();
        }
        held.insert(place, Arc::clone(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_is_made_once_for_each_key_and_dimension_and_not_all_are_kept() {
        let transforms = Transforms::default();
        let key = |n: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            TransformKey::new(bytes)
        };
        let first = transforms.of(&key(0), 3);
        assert!(Arc::ptr_eq(&first, &transforms.of(&key(0), 3)));
        assert_eq!(transforms.of(&key(0), 4).dimension(), 4);
        assert_ne!(transforms.of(&key(1), 3).id(), first.id());
        for n in 0..3000 {
            assert_eq!(transforms.of(&key(n), 1).id(), key(n).id());
            assert!(transforms.0.lock().unwrap().len() <= MOST);
        }
    }
}
