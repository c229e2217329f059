//! Where hints come from.
//!
//! A [`Hint`] says "these keys of this tenant may have changed". It carries no
//! value that is ever trusted: the tenant's owner reads the keys again from
//! their backend. So a hint may be late, repeated or out of order at no cost
//! but a read, and every source, whatever its guarantees, is a sender of hints.
//!
//! The embedded store sends its own (a hint for every commit, in order).

use confhub_proto::{Key, ServiceName, TenantId};
use std::fmt;

/// Hints that wait for the one task that hands them out. That task never waits
/// for anything, so a source is held up here for moments at most.
pub const FEED_CAPACITY: usize = 1_024;

/// Where an entry stands within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The service; `None`: shared by all.
    pub service: Option<ServiceName>,
    /// The key.
    pub key: Key,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "`{}` of service `{service}`", self.key),
            None => write!(f, "`{}`", self.key),
        }
    }
}

/// Keys of one tenant that may have changed, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The tenant.
    pub tenant: TenantId,
    /// What may have changed.
    pub addresses: Vec<Address>,
}

/// The end at which sources put hints in.
pub type Feed = tokio::sync::mpsc::Sender<Hint>;

/// The end at which the hub takes them out.
pub type Hints = tokio::sync::mpsc::Receiver<Hint>;

/// Makes a bounded feed.
#[must_use]
pub fn feed() -> (Feed, Hints) {
    tokio::sync::mpsc::channel(FEED_CAPACITY)
}
