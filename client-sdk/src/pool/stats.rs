//! What a pool has, for its program's own metrics and health page.

use super::TenantError;
use crate::{Stats, Status, TenantId};
use std::time::Duration;

/// What a pool has now, and what it has done since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Tenants with a client.
    pub tenants: usize,
    /// Those of them to which the program holds a handle.
    pub held: usize,
    /// Tenants that are being opened.
    pub opening: usize,
    /// Tenants that could not be opened a moment ago, and are not tried yet.
    pub failed: usize,
    /// Streams, open or being opened.
    pub streams: usize,
    /// Connections, open or being dialed.
    pub connections: usize,
    /// All states together, in bytes as hubs count them: of clients that were let
    /// go too, for as long as somebody can read them.
    pub state_bytes: usize,
    /// Tenants opened since the pool was built.
    pub opened: u64,
    /// Failures to open one, and clients that ended by themselves.
    pub failures: u64,
    /// Tenants let go because nobody used them.
    pub dropped_idle: u64,
    /// Tenants let go to make room for others.
    pub evicted: u64,
}

/// One tenant of a pool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TenantStatus {
    /// Which one.
    pub tenant: TenantId,
    /// How it stands.
    pub state: TenantState,
}

/// How one tenant of a pool stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TenantState {
    /// Its client has no state yet.
    Opening,
    /// It has a client.
    #[non_exhaustive]
    Open {
        /// How that stands with its hub.
        status: Status,
        /// Entries of its state.
        entries: usize,
        /// Size of its state, in bytes as hubs count it.
        bytes: usize,
        /// Whether the program holds a handle to it.
        held: bool,
        /// What its client has done, and what was merged for it.
        stats: Stats,
        /// How long ago it was asked for, or was seen to be held.
        unused: Duration,
    },
    /// It could not be opened; the error says when it is tried again.
    Failed(TenantError),
}
