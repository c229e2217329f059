//! The tenants in memory, and the one handle on them.

use super::View;
use super::owner::Owner;
use super::seat::{Listener, Seat, Tenant, TenantStatus};
use crate::backend::{BackendError, Full, Router};
use crate::clock::Clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::fanout::{End, Frames, Subscriber};
use crate::limits::TENANTS;
use crate::metrics::Metrics;
use crate::source::{Applied, Hint, Sink};
use confhub_proto::{Cursor, TenantId};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How often a listener tries again that meets a tenant just as it is dropped.
const MEETINGS: usize = 8;

/// Why a view cannot be followed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FollowError {
    /// A backend does not answer, and the tenant is not in memory.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The tenant is over its limits.
    #[error("the tenant is over its limits: {0}")]
    TooLarge(#[from] Full),
    /// The tenant has too many views.
    #[error("the tenant has {limit} different views in use, which is the limit: use fewer lists of prefixes")]
    Views {
        /// The limit.
        limit: usize,
    },
    /// The tenant has too many streams.
    #[error("the tenant has {limit} streams open on this hub, which is the limit of a tenant")]
    Streams {
        /// The limit.
        limit: usize,
    },
    /// The hub has too many streams.
    #[error("{limit} streams are open on this hub, which is its limit: try another")]
    HubStreams {
        /// The limit.
        limit: usize,
    },
    /// Too many tenants are in memory.
    #[error("{TENANTS} tenants are in memory, which is the limit of this hub: try another")]
    Tenants,
    /// The hub is shutting down.
    #[error("the hub is shutting down")]
    Closing,
}

/// All tenants in memory. Cheap to clone.
#[derive(Clone)]
pub struct Tenants {
    shared: Arc<Shared>,
}

/// What owners and the registry share.
pub(super) struct Shared {
    pub(super) loaded: DashMap<TenantId, Arc<Tenant>>,
    pub(super) router: Router,
    pub(super) limits: LimitSettings,
    pub(super) times: TimeSettings,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    streams: Arc<Semaphore>,
    pub(super) closing: watch::Sender<bool>,
}

impl Tenants {
    /// No tenant in memory yet.
    #[must_use]
    pub fn new(
        router: Router,
        limits: LimitSettings,
        times: TimeSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(limits.streams));
        let shared = Shared {
            loaded: DashMap::new(),
            router,
            limits,
            times,
            clock,
            metrics,
            streams,
            closing: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Follows a view from `cursor`: first what the follower lacks, then every
    /// change, with no gap. Loads the tenant if it is not in memory. An unknown
    /// cursor makes the owner read the tenant again once, which settles whether
    /// the hub or the follower was behind.
    ///
    /// # Errors
    /// If the tenant cannot be loaded, or at a limit.
    pub async fn follow(
        &self,
        tenant: &TenantId,
        view: View,
        cursor: Option<Cursor>,
    ) -> Result<Listener, FollowError> {
        let permit = self.permit()?;
        let (tenant, seat) = self.sit(tenant, view).await?;
        if cursor.is_some_and(|cursor| !seat.topic.knows(cursor)) {
            tenant.reread().await;
        }
        let subscriber = Subscriber::new(Arc::clone(&seat.topic), cursor);
        Ok(Listener { subscriber, _seat: seat, _permit: permit })
    }

    /// A view at this moment, as one update from nothing.
    ///
    /// # Errors
    /// As [`Tenants::follow`].
    pub async fn snapshot(&self, tenant: &TenantId, view: &View) -> Result<Arc<Frames>, FollowError> {
        let tenant = self.ready(tenant).await?;
        Ok(tenant.snapshot(view, (self.shared.clock)()).frames())
    }

    /// Loads a tenant if it is not in memory, and tells how it stands.
    ///
    /// # Errors
    /// As [`Tenants::follow`].
    pub async fn load(&self, tenant: &TenantId) -> Result<TenantStatus, FollowError> {
        Ok(self.ready(tenant).await?.status())
    }

    /// Has the owner of the hint's tenant read again, if it is in memory.
    pub fn hint(&self, hint: Hint) {
        self.shared.metrics.hints.inc();
        let tenant = self.shared.loaded.get(&hint.tenant).map(|tenant| Arc::clone(&tenant));
        if let Some(tenant) = tenant {
            tenant.hint(hint.addresses);
        }
    }

    /// Ends every stream and every owner, and lets nobody listen any more.
    pub fn drain(&self) {
        self.shared.closing.send_replace(true);
        for tenant in &self.shared.loaded {
            tenant.end(End::Drain);
        }
    }

    /// Brings the gauges of what is in memory up to date.
    pub fn measure(&self) {
        let (mut tenants, mut entries, mut streams) = (0, 0, 0);
        for tenant in &self.shared.loaded {
            let status = tenant.status();
            tenants += 1;
            entries += status.entries;
            streams += status.streams;
        }
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.shared.metrics.tenants.set(gauge(tenants));
        self.shared.metrics.entries.set(gauge(entries));
        self.shared.metrics.streams.set(gauge(streams));
    }

    async fn sit(&self, id: &TenantId, view: View) -> Result<(Arc<Tenant>, Seat), FollowError> {
        for _ in 0..MEETINGS {
            let tenant = self.ready(id).await?;
            let seat = tenant.sit(view.clone(), &self.shared.limits, (self.shared.clock)())?;
            // Checked after sitting down: whoever sits before a drain is ended by it.
            if *self.shared.closing.borrow() {
                return Err(FollowError::Closing);
            }
            if let Some(seat) = seat {
                return Ok((tenant, seat));
            }
            self.shared.forget(&tenant);
        }
        Err(FollowError::Closing)
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, FollowError> {
        let permit = Arc::clone(&self.shared.streams).try_acquire_owned();
        permit.map_err(|_| FollowError::HubStreams { limit: self.shared.limits.streams })
    }

    /// The tenant, once it is in memory.
    async fn ready(&self, id: &TenantId) -> Result<Arc<Tenant>, FollowError> {
        let tenant = self.loaded(id)?;
        tenant.ready().await?;
        Ok(tenant)
    }

    /// The tenant, which is being loaded if it was not there.
    fn loaded(&self, id: &TenantId) -> Result<Arc<Tenant>, FollowError> {
        if let Some(tenant) = self.shared.loaded.get(id) {
            return Ok(Arc::clone(&tenant));
        }
        if self.shared.loaded.len() >= TENANTS {
            return Err(FollowError::Tenants);
        }
        let tenant = Tenant::new(id.clone());
        match self.shared.loaded.entry(id.clone()) {
            Entry::Occupied(known) => return Ok(Arc::clone(known.get())),
            Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
        }
        // Not before the map is let go: a runtime that is ending drops the task at once.
        tokio::spawn(Owner::new(Arc::clone(&tenant), Arc::clone(&self.shared)).run());
        Ok(tenant)
    }
}

impl Sink for Tenants {
    fn hint(&self, hint: Hint) -> Applied {
        Tenants::hint(self, hint);
        Applied::default()
    }

    fn lost(&self) {}
}

impl Shared {
    /// Takes a tenant out of the map, unless another has taken its place.
    pub(super) fn forget(&self, tenant: &Arc<Tenant>) {
        self.loaded.remove_if(&tenant.id, |_, known| Arc::ptr_eq(known, tenant));
    }
}
