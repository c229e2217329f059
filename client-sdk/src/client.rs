//! The handle that programs hold.

use crate::flags::Flags;
use crate::store::Lease;
use crate::{
    Builder, ChangeStream, Closed, Entry, Snapshot, Stats, Status, StatusWatch, Typed, ValueError, Watch,
    value,
};
use confhub_proto::Cursor;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A view of the configuration, in memory and current.
///
/// Reads never wait: not for the network, not for a lock, not for each other.
/// What the hub commits becomes visible as a whole. Cloning is cheap, and all
/// clones are the same client: make one per tenant and hand out clones. When the
/// last handle that can read is dropped (clones, [`Typed`], [`Watch`],
/// [`ChangeStream`]), the client's task ends.
#[derive(Debug, Clone)]
pub struct Client {
    lease: Arc<Lease>,
}

impl Client {
    /// Starts to describe a client.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(lease: Arc<Lease>) -> Self {
        Self { lease }
    }

    /// Whether anybody holds a handle to this client, beside the one at hand.
    pub(crate) fn is_held(&self) -> bool {
        Arc::strong_count(&self.lease) > 1
    }

    /// Why the client has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lease.store.closed()
    }

    /// Size of the state now, in bytes, as hubs count it.
    pub(crate) fn state_bytes(&self) -> usize {
        self.lease.store.snapshot().bytes()
    }

    /// The entry of `key` now.
    ///
    /// Two calls may see two states: for several keys of one moment, take a
    /// [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.lease.store.get(key)
    }

    /// The value of `key` now, parsed on each call (see [`parse`](crate::parse)).
    /// What is read often deserves a [`typed`](Self::typed) handle.
    ///
    /// # Errors
    /// If there is an entry, but it is a secret or its value no `T`.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ValueError> {
        self.get(key).map(|entry| value::parse(&entry)).transpose()
    }

    /// A handle to the value of `key`, parsed once per change.
    ///
    /// # Errors
    /// If there is no such entry now, or its value is no `T`.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        key: &str,
    ) -> Result<Typed<T>, ValueError> {
        Typed::new(Arc::clone(&self.lease), key)
    }

    /// The same with a default, which is the value while there is no entry, and
    /// until there was a first one that is a `T`. Tells a value that is none by
    /// [`Typed::error`]. A key that can never be in this view is logged.
    #[must_use]
    pub fn typed_or<T: DeserializeOwned + Send + Sync + 'static>(&self, key: &str, default: T) -> Typed<T> {
        self.lease.store.warn_of(key);
        Typed::with_default(Arc::clone(&self.lease), key, default)
    }

    /// Follows one key, which need not exist yet. One that can never be in this
    /// view is logged.
    #[must_use]
    pub fn watch(&self, key: &str) -> Watch {
        self.lease.store.warn_of(key);
        Watch::new(Arc::clone(&self.lease), key)
    }

    /// Follows all keys, from now on.
    #[must_use]
    pub fn changes(&self) -> ChangeStream {
        ChangeStream::new(Arc::clone(&self.lease))
    }

    /// The state now: many keys at one moment. It does not change any more, and
    /// costs nothing to take.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lease.store.snapshot())
    }

    /// Feature flags, evaluated in memory. The first call compiles those that there are;
    /// from then on each is compiled when it changes.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags::new(Arc::clone(&self.lease))
    }

    /// The digest of the state now. Two clients of one view with the same cursor
    /// have the same state, whichever hubs they listen to.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.snapshot().digest()
    }

    /// How the client stands with its hub.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lease.store.status()
    }

    /// Observes how the client stands, without keeping it alive.
    #[must_use]
    pub fn watch_status(&self) -> StatusWatch {
        StatusWatch::new(self.lease.store.watch_status())
    }

    /// Waits until the state is the hub's, which it may be already.
    ///
    /// # Errors
    /// If the client ends before.
    pub async fn ready(&self) -> Result<(), Closed> {
        self.watch_status().wait_for(Status::is_ready).await.map(drop)
    }

    /// What the client has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lease.store.counters.read()
    }

    /// Ends the client, for all its clones and handles, and waits until its last
    /// state is on disk. Reads still give the last state.
    pub async fn close(&self) {
        self.lease.stop.send_replace(true);
        self.lease.stop.closed().await;
    }
}
