//! Where truth is.
//!
//! A [`Backend`] keeps the entries of tenants. The [`Router`] knows which one
//! owns a key, by the longest prefix. A backend is one type that implements the
//! trait and one line of the table in the settings.
//!
//! Reads here are what the hub believes: they are strongly consistent where the
//! store has such reads, and see a write of several keys whole or not at all.

pub mod embedded;
mod error;
mod router;

pub use error::{BackendError, Full, WriteError};
pub use router::{RouteError, Router};

use crate::source::Address;
use async_trait::async_trait;
use bytes::Bytes;
use confhub_proto::{Content, Entry, TenantId};
use std::sync::Arc;

/// One change that a writer asks for.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to change.
    pub address: Address,
    /// How.
    pub action: Action,
    /// The version that the entry must have now; 0: there must be none.
    pub expected: Option<u64>,
}

/// What a change does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Write this content.
    Put(Content),
    /// Delete the entry, which must exist.
    Delete,
    /// Write the content of this earlier version again.
    Restore(u64),
}

/// How far a backend had come when it was read. Only the backend that made it
/// can tell what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position(pub u64);

/// What a backend holds of one tenant, all of it read at one moment.
#[derive(Debug)]
pub struct Reading {
    /// What is at each address that was read; `None`: nothing.
    pub entries: Vec<(Address, Option<Arc<Entry>>)>,
    /// Whether this is all that the tenant has: what is not listed is gone.
    pub complete: bool,
    /// How far the backend had come.
    pub position: Position,
}

/// One version of one key.
#[derive(Debug)]
pub struct Revision {
    /// The entry as it was written.
    pub entry: Entry,
    /// This version is a deletion.
    pub deleted: bool,
    /// Who wrote it.
    pub author: String,
}

/// A store of entries.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What the settings call it.
    fn kind(&self) -> &'static str;

    /// Everything that the tenant has here.
    async fn load(&self, tenant: &TenantId) -> Result<Reading, BackendError>;

    /// What is at the hinted addresses now, together with all else that the
    /// backend knows to have changed since `since`: a write of several keys is
    /// in the reading whole or not at all, whichever of its keys were hinted.
    async fn refresh(
        &self,
        tenant: &TenantId,
        since: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError>;

    /// What is at each address, in their order.
    async fn read(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError>;

    /// The entry at an address and its value, which is given for secrets too.
    /// Nothing of the hub keeps the value.
    async fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError>;

    /// Makes all the changes or none, and returns the version that each wrote.
    /// They are durable when this returns.
    async fn apply(
        &self,
        tenant: &TenantId,
        author: &str,
        changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError>;

    /// The kept versions at an address before one, newest first, at most `limit`.
    async fn history(
        &self,
        tenant: &TenantId,
        address: &Address,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Revision>, BackendError>;

    /// Whether it answers.
    async fn check(&self) -> Result<(), BackendError>;

    /// Finishes what is under way and lets go of the store: another hub may
    /// have it. All further calls get `Unavailable`.
    async fn close(&self);
}
