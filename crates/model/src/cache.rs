//! A bounded, thread-safe LRU cache.

use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

/// A bounded map with eviction of the least recently used entry, so that a scan over many keys does not evict entries
/// in use.
pub struct Cache<K: Hash + Eq, V>(Mutex<State<K, V>>);

struct State<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    capacity: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of `capacity` entries; 0 disables it.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        // Unbounded, and evicted explicitly: a bounded `LruCache` would allocate its whole capacity at once.
        Self(Mutex::new(State { entries: LruCache::unbounded(), capacity }))
    }

    /// The value of a key. Marks it as used.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.state().entries.get(key).cloned()
    }

    /// Whether the value of a key meets a condition. Marks it as used.
    pub fn has<Q>(&self, key: &Q, predicate: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.state().entries.get(key).is_some_and(predicate)
    }

    /// Inserts a value.
    pub fn insert(&self, key: K, value: V) {
        self.replace(key, value);
    }

    /// Inserts a value and returns the previous one.
    pub fn replace(&self, key: K, value: V) -> Option<V> {
        self.state().insert(key, value)
    }

    /// The value of a key, computed and inserted if it is missing. Holds the lock meanwhile, so that it is computed
    /// once.
    ///
    /// # Errors
    /// Those of `make`; nothing is inserted then.
    pub fn get_or_try_insert_with<E>(&self, key: K, create: impl FnOnce(&K) -> Result<V, E>) -> Result<V, E>
    where
        V: Clone,
    {
        let mut state = self.state();
        if let Some(value) = state.entries.get(&key) {
            return Ok(value.clone());
        }
        let value = create(&key)?;
        state.insert(key, value.clone());
        Ok(value)
    }

    /// Removes a key.
    pub fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.state().entries.pop(key);
    }

    /// Removes all keys.
    pub fn clear(&self) {
        self.state().entries.clear();
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // A panic under the lock comes from a caller's closure, before any change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> State<K, V> {
    fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.capacity == 0 {
            return None;
        }
        let previous = self.entries.put(key, value);
        while self.entries.len() > self.capacity {
            self.entries.pop_lru();
        }
        previous
    }
}

impl<K: Hash + Eq, V> fmt::Debug for Cache<K, V> {
    /// Omits the entries: keys and values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Cache({} of {})", state.entries.len(), state.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_over_many_keys_keeps_entries_in_use() {
        let cache = Cache::new(100);
        for user in 0..10 {
            cache.insert(user, user * 2);
        }
        for scanned in 1000..10_000 {
            cache.insert(scanned, 0);
            // These ten are used all the time.
            assert_eq!(cache.get(&(scanned % 10)), Some(scanned % 10 * 2));
        }
        assert_eq!(format!("{cache:?}"), "Cache(100 of 100)");
        assert_eq!(cache.get(&1000), None);
        assert_eq!(cache.get(&9999), Some(0));
    }

    #[test]
    fn a_value_is_created_once_and_errors_are_not_cached() {
        let cache: Cache<&str, i32> = Cache::new(2);
        assert_eq!(cache.get_or_try_insert_with("a", |_| Err("no")), Err("no"));
        assert_eq!(cache.get_or_try_insert_with("a", |_| Ok::<_, ()>(1)), Ok(1));
        assert_eq!(cache.get_or_try_insert_with("a", |_| Ok::<_, ()>(2)), Ok(1));
        cache.remove("a");
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let cache = Cache::new(0);
        cache.insert(1, 1);
        assert_eq!(cache.get(&1), None);
    }
}
