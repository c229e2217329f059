//! What the instances of a tenant have applied: not what was sent to them, but what
//! they say that they have made of it.
//!
//! Each loaded tenant has a [`Crew`]: the clients that follow it on this hub, with what
//! each has reported last. A client joins with its stream and leaves with it, so nobody
//! is listed who is not connected; one that comes back soon is still the same. Reports
//! name a state by its digest, and the topic of the view knows where that stands.
//!
//! What a client says of itself is its word. Whoever may listen to a tenant may take any
//! name there, and is seen by that tenant alone.
//!
//! A hub alone writes none of this anywhere: after a restart all clients come back, and
//! report. Hubs that share a store tell each other through it ([`Everywhere`]).

mod crew;
mod everywhere;
mod pace;
mod record;
mod wait;

pub use crew::{About, Crew, Membership, Row};
pub use everywhere::{Everywhere, Marked, Moves};
pub use pace::{Pace, Reporters};
pub use wait::{Mark, Verdict};

use confhub_proto::Digest;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an instance's id.
pub const ID_BYTES: usize = 16;

/// Most problems in one report: who wants all of them asks the instance.
pub const PROBLEMS: usize = 16;

/// Longest reason in a report, in bytes.
pub const REASON_BYTES: usize = 256;

/// How long an instance counts as still there that has left. One that reconnects, to get
/// what it could not use, is back by then, and must not pass for one that has no need of
/// a change.
pub const GRACE: Duration = Duration::from_secs(3);

/// The same for one whose last word was that it could not apply an update: such a client
/// comes back after its longest pauses, and its operator may look in a minute.
pub const GRACE_OF_REFUSED: Duration = Duration::from_secs(60);

/// Names one client among all others, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub [u8; ID_BYTES]);

impl InstanceId {
    /// An id by its bytes; `None` if they are not as many.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// What an instance says that it has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The state; `None`: it has none.
    pub cursor: Option<Digest>,
    /// What of it could not be used.
    pub problems: Arc<[Problem]>,
    /// An update that could not be applied as a whole, in a few words; empty: none.
    pub refused: Arc<str>,
}

/// An entry that an instance could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its key, as it was told.
    pub key: String,
    /// Why, without any value.
    pub reason: String,
}

/// A report of an instance that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no instance with this id has a stream on this hub")]
pub struct Unknown;

#[cfg(test)]
mod tests;
