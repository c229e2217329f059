//! A value of the program's own type, parsed once per change.

use super::{FollowKey, Ticket};
use crate::stats::Counters;
use crate::store::Lease;
use crate::{ValueError, value};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use confhub_proto::Entry;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A value as [`Typed::load`] lends it.
pub struct Loaded<T>(Guard<Arc<T>>);

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A handle to one entry's value as a `T`.
///
/// The value is parsed when it changes, not when it is read: [`load`](Self::load)
/// is a load of one atomic pointer. A new value that is no `T` changes nothing:
/// the last good one stays, is [told](Self::error) and logged. The same goes for
/// a removed entry, unless the handle has a default.
///
/// Cloning is cheap; all clones see the same.
pub struct Typed<T>(Arc<Inner<T>>);

struct Inner<T> {
    lease: Arc<Lease>,
    slot: Arc<Slot<T>>,
    ticket: Ticket,
}

struct Slot<T> {
    key: Arc<str>,
    value: ArcSwap<T>,
    error: ArcSwapOption<ValueError>,
    default: Option<Arc<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Typed<T> {
    /// Fails if the entry is missing or no `T`.
    pub(crate) fn new(lease: Arc<Lease>, key: &str) -> Result<Self, ValueError> {
        Self::follow(lease, key, Slot::new)
    }

    /// Cannot fail: there is a value in any case.
    pub(crate) fn with_default(lease: Arc<Lease>, key: &str, default: T) -> Self {
        let default = Arc::new(default);
        let make = |key: &_, entry: Option<&_>| {
            Ok::<_, Infallible>(Slot::with_default(key, entry, Arc::clone(&default)))
        };
        match Self::follow(lease, key, make) {
            Ok(typed) => typed,
            Err(never) => match never {},
        }
    }

    /// Parses with no lock held, since what is parsed is the program's own code,
    /// and once more if the entry changed meanwhile.
    fn follow<E>(
        lease: Arc<Lease>,
        key: &str,
        make: impl Fn(&Arc<str>, Option<&Arc<Entry>>) -> Result<Slot<T>, E>,
    ) -> Result<Self, E> {
        let key: Arc<str> = key.into();
        let read = || lease.store.get(&key);
        loop {
            let entry = read();
            let slot = Arc::new(make(&key, entry.as_ref())?);
            let is_current = || read().map(|now| now.digest()) == entry.map(|parsed| parsed.digest());
            if let Some(ticket) = lease.store.followers.add(&key, &slot, is_current) {
                return Ok(Self(Arc::new(Inner { lease, slot, ticket })));
            }
        }
    }
}

impl<T> Typed<T> {
    /// The value, without waiting for anything. Keep the result for one piece of
    /// work, not for longer: it does not change any more.
    #[must_use]
    pub fn load(&self) -> Loaded<T> {
        Loaded(self.0.slot.value.load())
    }

    /// The value, to keep or to send elsewhere.
    #[must_use]
    pub fn load_full(&self) -> Arc<T> {
        self.0.slot.value.load_full()
    }

    /// Why the value is not that of the present entry; `None` if it is.
    #[must_use]
    pub fn error(&self) -> Option<Arc<ValueError>> {
        self.0.slot.error.load_full()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.slot.key
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("key", &self.key())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.lease.store.followers.forget(&self.ticket);
    }
}

impl<T: DeserializeOwned> Slot<T> {
    fn new(key: &Arc<str>, entry: Option<&Arc<Entry>>) -> Result<Self, ValueError> {
        let value = ArcSwap::from_pointee(parse(key, entry)?);
        Ok(Self { key: Arc::clone(key), value, error: ArcSwapOption::empty(), default: None })
    }

    fn with_default(key: &Arc<str>, entry: Option<&Arc<Entry>>, default: Arc<T>) -> Self {
        let (value, error) = match parse(key, entry) {
            Ok(value) => (Arc::new(value), None),
            // Having no entry is what the default is for.
            Err(ValueError::Missing { .. }) => (Arc::clone(&default), None),
            Err(error) => (Arc::clone(&default), Some(Arc::new(error))),
        };
        Self { key: Arc::clone(key), value: value.into(), error: error.into(), default: Some(default) }
    }
}

impl<T: DeserializeOwned + Send + Sync> FollowKey for Slot<T> {
    fn tell(&self, entry: Option<&Arc<Entry>>, counters: &Counters) {
        match (parse(&self.key, entry), &self.default) {
            (Ok(value), _) => self.set(Arc::new(value)),
            (Err(ValueError::Missing { .. }), Some(default)) => self.set(Arc::clone(default)),
            (Err(error), _) => {
                counters.rejected_values.add_one();
                tracing::warn!(error = error.without_value(), "keeping the last good value");
                self.error.store(Some(Arc::new(error)));
            }
        }
    }

    fn close(&self) {}

    fn problem(&self) -> Option<String> {
        self.error.load().as_ref().map(|error| error.without_value())
    }
}

impl<T> Slot<T> {
    fn set(&self, value: Arc<T>) {
        let old = self.value.swap(value);
        self.error.store(None);
        // A panic in the program's own `Drop` must not end the worker either.
        if catch_unwind(AssertUnwindSafe(|| drop(old))).is_err() {
            tracing::error!(key = &*self.key, "dropping the value before this one panicked");
        }
    }
}

/// Parses an entry. A panic in the program's own `Deserialize` is an error of
/// the value like any other: it must not end the worker, on which everything
/// else depends.
fn parse<T: DeserializeOwned>(key: &Arc<str>, entry: Option<&Arc<Entry>>) -> Result<T, ValueError> {
    let entry = entry.ok_or_else(|| ValueError::Missing { key: Arc::clone(key) })?;
    catch_unwind(AssertUnwindSafe(|| value::parse(entry)))
        .unwrap_or_else(|_| Err(value::malformed::<T>(entry, (0, 0), "parsing it panicked")))
}
