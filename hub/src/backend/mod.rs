//! Where truth is.
//!
//! A [`Backend`] keeps the entries of tenants. The [`Router`] knows which one
//! owns a key, by the longest prefix. A backend is one type that implements the
//! trait and one line of the table of kinds.
//!
//! Reads here are what the hub believes: they are strongly consistent where the
//! store has such reads, and see a write of several keys whole or not at all.

#[cfg(feature = "aws")]
mod closed;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod embedded;
mod error;
mod kinds;
mod router;
#[cfg(feature = "aws")]
pub mod secretsmanager;
#[cfg(feature = "aws")]
mod single;
#[cfg(feature = "aws")]
mod size;
#[cfg(feature = "aws")]
pub mod ssm;

pub use error::{BackendError, Cause, Full, WriteError};
pub use kinds::{KINDS, Kind, Opened, Opening, names};
pub use router::{RouteError, Router};

use crate::source::Address;
use async_trait::async_trait;
use bytes::Bytes;
use confhub_proto::{Content, Entry, ServiceName, TenantId};
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

/// What sets one store apart from another, as far as the hub acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// A read shows everything that was written before it began. Where it does
    /// not, the hub passes over what is older than what it holds, and reads a
    /// second time what was hinted and had not changed.
    pub consistent: bool,
    /// Reads cost money or quota: hints of one key are spaced.
    pub metered: bool,
    /// [`Backend::load`] finds the entries of every service. Where it does not,
    /// those that somebody follows are named to it.
    pub lists_services: bool,
    /// It sends a hint itself for every write that is made through it.
    pub announces: bool,
    /// Most changes that [`Backend::apply`] makes as one.
    pub apply_changes: usize,
}

/// Why a tenant is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it.
    Demand,
    /// To find what no hint had told. Waits until the store has reads to spare.
    Sweep,
}

/// What a reading speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The listed addresses alone.
    Listed,
    /// All entries of this service: what is not listed is gone.
    Service(ServiceName),
    /// All that the tenant has: what is not listed is gone.
    All,
}

/// What a backend holds of one tenant.
#[derive(Debug)]
pub struct Reading {
    /// What is at each address that was read; `None`: nothing.
    pub entries: Vec<(Address, Option<Arc<Entry>>)>,
    /// What it speaks of.
    pub scope: Scope,
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
    /// Names that the store has for this version (Parameter Store: labels).
    pub labels: Vec<String>,
}

/// A store of entries.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What the settings call it.
    fn kind(&self) -> &'static str;

    /// What sets it apart.
    fn nature(&self) -> Nature;

    /// Everything that the tenant has here: the shared entries, those of all
    /// services that the store can list, and in any case those of `services`.
    async fn load(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
        urgency: Urgency,
    ) -> Result<Reading, BackendError>;

    /// The entries of one service, which a store that cannot list services
    /// ([`Nature::lists_services`]) may have left out of [`Backend::load`].
    async fn load_service(&self, _: &TenantId, _: &ServiceName) -> Result<Reading, BackendError> {
        Ok(Reading { entries: Vec::new(), scope: Scope::Listed, position: Position::default() })
    }

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
