//! Does what rollouts want, on one hub at a time.

use super::book::{Book, ms};
use super::drive::Drive;
use super::model::{Lease, Rollout, State};
use crate::backend::{Backend, Router};
use crate::clock::Clock;
use crate::fleet::Everywhere;
use crate::source::Address;
use crate::tenant::{Listener, Tenants};
use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How often a rollout is looked at though nothing is known to have changed: a store
/// whose hints are lost is found out in so long.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Time to the next attempt when a store does not answer.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Most rollouts that one hub drives at a time.
const DRIVEN: usize = 1_000;

/// Drives rollouts. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

/// What a driver works with.
pub struct Parts {
    /// The records.
    pub book: Book,
    /// The tenants in memory.
    pub tenants: Tenants,
    /// What instances have applied.
    pub fleet: Everywhere,
    /// The backends.
    pub router: Router,
    /// Wall-clock time.
    pub clock: Clock,
    /// Writes that are under way hold it for reading.
    pub writes: Arc<RwLock<()>>,
}

pub(super) struct Shared {
    parts: Parts,
    /// Names this hub among those that may drive.
    pub(super) hub: String,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Driver {
    /// A driver that does nothing before it is [kept](Self::keep) going.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let hub = format!("{:016x}", fastrand::u64(..));
        Self(Arc::new(Shared { parts, hub }))
    }

    /// The records.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.0.book
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> u64 {
        ms((self.0.clock)())
    }

    /// Drives, for as long as it is polled; it never ends.
    pub async fn keep(self) {
        let own = crate::admission::hub_tenant();
        loop {
            let tenants = self.0.book.admission().tenants();
            match tenants.follow(&own, Book::view(), None).await {
                Ok(listener) => self.follow(listener).await,
                Err(error) => tracing::warn!(%error, "rollouts could not be read; none is driven"),
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(&self, mut listener: Listener) {
        let (mut driven, mut tasks) = (HashSet::new(), JoinSet::new());
        loop {
            tokio::select! {
                state = poll_fn(|cx| listener.subscriber.poll_state(cx)) => match state {
                    Ok(state) => self.0.book.take(state),
                    // The hub drains: whoever takes over begins where the records are.
                    Err(crate::fanout::End::Drain) => pending().await,
                    Err(crate::fanout::End::TooLarge) => return,
                },
                Some(ended) = tasks.join_next() => {
                    if let Ok(ended) = ended {
                        driven.remove(&ended);
                    }
                }
                // A lease may have run out.
                () = sleep(LOOK) => {}
            }
            for (tenant, rollout) in self.0.book.all() {
                let who = (tenant, rollout.id.clone());
                if driven.len() < DRIVEN && self.0.may_drive(&rollout) && !driven.contains(&who) {
                    driven.insert(who.clone());
                    let shared = Arc::clone(&self.0);
                    tasks.spawn(async move {
                        let (tenant, id) = who.clone();
                        if let Some(mut drive) = Drive::new(shared, tenant, id, &rollout) {
                            drive.run().await;
                        }
                        who
                    });
                }
            }
        }
    }
}

impl Shared {
    /// Whether there is something to drive, and nobody else does.
    pub(super) fn may_drive(&self, rollout: &Rollout) -> bool {
        let active = matches!(rollout.state, State::Running { .. } | State::Undoing { .. });
        // A store of its own has no other hub: whoever had the lease is gone.
        let alone = self.book.admission().backend().nature().announces;
        let now = ms((self.clock)());
        let free = |lease: &Lease| lease.hub == self.hub || lease.until_ms <= now || alone;
        active && rollout.lease.as_ref().is_none_or(free)
    }

    /// The store of a flag.
    pub(super) fn backend(&self, address: &Address) -> Option<&Arc<dyn Backend>> {
        self.router.backends().get(self.router.route(&address.key).ok()?)
    }
}
