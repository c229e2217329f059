//! Keeps the table current, and answers whether somebody is let in.

use super::record::Scope;
use super::table::{Policy, Record, Records, Refused, Table};
use super::{PREFIX, hub_tenant};
use crate::auth::{HUB_TENANT, Identity};
use crate::backend::{Backend, Router};
use crate::clock::Clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::fanout::End;
use crate::limits::{RECORD_BYTES, RECORDS};
use crate::metrics::{DriftCause, Metrics};
use crate::source::{Applied, Hint, Sink};
use crate::tenant::{Listener, Tenants, View};
use arc_swap::ArcSwapOption;
use confhub_proto::{Key, Prefix};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Longest time between two sweeps of the records: how long a revocation could go
/// unnoticed if its hint were lost. They are few, so it costs a read of a few kB.
const SWEEP: Duration = Duration::from_secs(60);

/// Most who follow the hub's own records: those who decide who is let in, those who drive
/// rollouts, and room.
const LISTENERS: usize = 8;

/// Time to the next attempt after the records could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Answers whether somebody is let in. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    /// A registry of its own, with one tenant in it: whatever a caller asks of the
    /// other one, the hub's own records are not there.
    tenants: Tenants,
    backend: Arc<dyn Backend>,
    records: Mutex<Records>,
    /// `None`: the records were never read.
    table: ArcSwapOption<Table>,
    /// Counts the tables.
    changes: watch::Sender<u64>,
}

impl Admission {
    /// Will keep the records of `backend`. Nobody is let in until they were read.
    #[must_use]
    pub fn new(
        backend: Arc<dyn Backend>,
        policy: Policy,
        limits: LimitSettings,
        times: TimeSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let prefix = Prefix::new(PREFIX).unwrap_or_else(|_| unreachable!("a constant"));
        let router = Router::new(vec![(prefix, Arc::clone(&backend))]);
        // What is set for tenants says nothing of those who listen to these records.
        let limits = LimitSettings {
            tenant_entries: RECORDS,
            tenant_bytes: RECORD_BYTES,
            streams: LISTENERS,
            streams_per_tenant: LISTENERS,
            views_per_tenant: LISTENERS,
            ..limits
        };
        let times = TimeSettings { reconcile: times.reconcile.min(SWEEP), ..times };
        let cause = |_: &'static str, _| DriftCause::HintLost;
        let tenants = Tenants::new(router, limits, times, clock, metrics, Box::new(cause));
        let shared = Shared {
            tenants,
            backend,
            records: Mutex::new(Records::new(policy)),
            table: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether `identity` is let in now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, identity: &Identity) -> Result<(), Refused> {
        self.shared.table.load().as_ref().map_or(Err(Refused::NotReady), |table| table.check(identity))
    }

    /// Changes whenever the answer to [`Admission::check`] may.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Whether the records were read at some time.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.table.load().is_some()
    }

    /// Waits until the records were read for the first time, but not for longer
    /// than `patience`. Returns whether they were.
    pub async fn ready(&self, patience: Duration) -> bool {
        let mut changes = self.changes();
        let read = changes.wait_for(|changes| *changes > 0);
        timeout(patience, read).await.is_ok_and(|read| read.is_ok())
    }

    /// Follows the records for as long as it is polled; it never ends.
    pub async fn keep(self) {
        let view = View::new(None, Vec::new());
        loop {
            match self.shared.tenants.follow(&hub_tenant(), view.clone(), None).await {
                Ok(listener) => self.follow(listener).await,
                Err(error) => {
                    tracing::warn!(%error, "who is let in could not be read; what is known stays in force");
                }
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(&self, mut listener: Listener) {
        loop {
            match poll_fn(|cx| listener.subscriber.poll_state(cx)).await {
                Ok(state) => {
                    let mut records = self.records();
                    let table = records.take(state);
                    self.shared.table.store(Some(Arc::new(table)));
                    drop(records);
                    // After the table is in place: whoever is woken asks it.
                    self.shared.changes.send_modify(|changes| *changes += 1);
                }
                Err(End::Drain) => return std::future::pending().await,
                Err(End::TooLarge) => {
                    tracing::error!(
                        "there are more records of who is let in than a tenant may have entries; what was known stays in force"
                    );
                    return;
                }
            }
        }
    }

    /// Ends the following.
    pub fn drain(&self) {
        self.shared.tenants.drain();
    }

    /// A sink for the hints of all tenants: those of the hub's own come here, and
    /// all others go to `tenants`.
    #[must_use]
    pub fn before(&self, tenants: Tenants) -> impl Sink {
        Fork { hub: self.shared.tenants.clone(), others: tenants }
    }

    /// The store of the records.
    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// The hub's own tenant, in memory.
    pub(crate) fn tenants(&self) -> &Tenants {
        &self.shared.tenants
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the record at `key` has this version here (`None`: is gone), but
    /// not for longer than `patience`.
    pub(super) async fn see(&self, key: &Key, version: Option<u64>, patience: Duration) {
        let mut changes = self.changes();
        let seen = changes.wait_for(|_| match (self.records().version(key), version) {
            (None, None) => true,
            (Some(seen), Some(version)) => seen >= version,
            _ => false,
        });
        // Hubs elsewhere see it by themselves, and so will this one.
        if timeout(patience, seen).await.is_err() {
            tracing::warn!(%key, ?patience, "a record is written, and this hub has not read it yet");
        }
    }

    /// How many records a scope has.
    pub(super) fn count(&self, scope: &Scope) -> usize {
        let records = self.records().of(scope);
        records.iter().filter(|record| matches!(record, Record::Revocation(..))).count()
    }
}

struct Fork {
    hub: Tenants,
    others: Tenants,
}

impl Sink for Fork {
    fn hint(&self, hint: Hint) -> Applied {
        if hint.tenant.as_str() == HUB_TENANT { self.hub.hint(hint) } else { self.others.hint(hint) }
    }

    fn lost(&self) {
        self.hub.lost();
        self.others.lost();
    }
}
