//! What the forge said, believed for a minute: a burst of the same questions is asked once.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

const LIVES: SignedDuration = SignedDuration::from_secs(60);

/// Answers by what was asked, `MOST` at most.
pub(super) struct Remembered<K, V, const MOST: usize>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V, const MOST: usize> Default for Remembered<K, V, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone, const MOST: usize> Remembered<K, V, MOST> {
    fn known(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    /// The answer, where it is young enough.
    pub(super) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let known = self.known();
        let (value, at) = known.get(key)?;
        (now.duration_since(*at) < LIVES).then(|| value.clone())
    }

    /// Keeps an answer; where there are too many, what is old goes, and all of them where none is.
    pub(super) fn put(&self, key: K, value: V, now: Timestamp) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (_, at)| now.duration_since(*at) < LIVES);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (value, now));
    }
}
