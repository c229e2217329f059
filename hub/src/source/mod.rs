//! Where hints come from.
//!
//! A [`Hint`] says "these keys of this tenant may have changed". It carries no
//! value that is ever trusted: the tenant's owner reads the keys again from
//! their backend. So a hint may be late, repeated or out of order at no cost
//! but a read, and every source, whatever its guarantees, is a sender of hints.
//!
//! The embedded store sends its own (a hint for every commit, in order). Changes
//! in the stores of AWS, whoever makes them, arrive as messages on a queue: `sqs`
//! receives them, `event` reads what they say, and [`SourceHealth`] tells whether
//! they can be received at all.

#[cfg(feature = "aws")]
pub mod sqs;

#[cfg(any(feature = "aws", feature = "fuzzing"))]
pub mod event;

mod health;

pub use health::{Failure, Part, SourceHealth, SourceStatus};

use confhub_proto::{Key, ServiceName, TenantId};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

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

/// Who acts on hints: the tenants in memory.
pub trait Sink: Send + Sync + 'static {
    /// Has the keys read again, if their tenant is in memory. Waits for nothing.
    fn hint(&self, hint: Hint) -> Applied;

    /// Has every tenant in memory read as a whole: hints may have been lost.
    fn lost(&self);
}

/// A source that runs beside the hub. That of the embedded store needs no running.
pub trait Source: Send + Sync + 'static {
    /// What it is, in a word.
    fn kind(&self) -> &'static str;

    /// How it stands.
    fn health(&self) -> SourceHealth;

    /// Sends hints until `shutdown` says true, whatever fails meanwhile; then
    /// tidies up, which takes a few seconds at most.
    fn run(self: Box<Self>, shutdown: watch::Receiver<bool>) -> BoxFuture<'static, ()>;
}

/// The end at which sources put hints in. Cheap to clone.
///
/// Sources are opened before the tenants that they feed. Hints until then are
/// dropped: no tenant is in memory that could be behind.
#[derive(Clone, Default)]
pub struct Feed {
    sink: Arc<OnceLock<Box<dyn Sink>>>,
}

impl Feed {
    /// Says who acts on the hints. Only the first one counts.
    pub fn connect(&self, sink: impl Sink) {
        let _ = self.sink.set(Box::new(sink));
    }

    /// Hands a hint on. Waits for nothing.
    pub fn hint(&self, hint: Hint) -> Applied {
        self.sink.get().map_or_else(Applied::default, |sink| sink.hint(hint))
    }

    /// Says that hints may have been lost.
    pub fn lost(&self) {
        if let Some(sink) = self.sink.get() {
            sink.lost();
        }
    }
}

/// Tells when a hint has been acted on: its keys were read after it came, and
/// what had changed was published. It is so at once if nobody needs the keys.
#[derive(Debug, Default)]
pub struct Applied {
    waiting: Vec<(watch::Receiver<u64>, u64)>,
}

impl Applied {
    /// Adds a reading to wait for: number `ticket` of the reader whose number of
    /// the last answered one `answered` shows.
    pub fn wait_for(&mut self, answered: watch::Receiver<u64>, ticket: u64) {
        self.waiting.push((answered, ticket));
    }

    /// Waits until it is so. A tenant that is dropped meanwhile is not waited for.
    pub async fn done(self) {
        for (mut answered, ticket) in self.waiting {
            let _ = answered.wait_for(|answered| *answered >= ticket).await;
        }
    }
}
