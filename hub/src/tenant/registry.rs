//! The tenants in memory, and the one handle on them.

use super::View;
use super::lane::Sweep;
use super::owner::Owner;
use super::reads::Flights;
use super::seat::{Listener, Seat, Tenant, TenantStatus};
use crate::backend::{BackendError, Change, Full, Router};
use crate::clock::Clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::fanout::{End, Frames, Subscriber, Topic};
use crate::fleet::{Crew, Mark, Reporters};
use crate::limits::TENANTS;
use crate::metrics::{DriftCause, Metrics};
use crate::source::{Address, Applied, Hint, Sink};
use confhub_proto::{Cursor, ServiceName, TenantId};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

/// How often a listener tries again that meets a tenant just as it is dropped.
pub(super) const MEETINGS: usize = 8;

/// How soon a store is asked again that did not have a write yet.
const REMARK: Duration = Duration::from_millis(100);

/// The same in the end: a version that was never written costs few reads.
const LAST_REMARK: Duration = Duration::from_secs(2);

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
    #[error(
        "the tenant has {limit} different views in use, which is `limits.views-per-tenant` of this hub: \
         subscribe with fewer different services and lists of prefixes"
    )]
    Views {
        /// The limit.
        limit: usize,
    },
    /// Too many services that nothing is known of were asked for.
    #[error(
        "{limit} services that this hub knows no entries of were asked for since the last sweep, which is \
         `limits.views-per-tenant`: name services that there are, or try again after `times.reconcile`"
    )]
    Services {
        /// The limit.
        limit: usize,
    },
    /// The tenant has too many streams.
    #[error("the tenant has {limit} streams open, which is `limits.streams-per-tenant` of this hub")]
    Streams {
        /// The limit.
        limit: usize,
    },
    /// The hub has too many streams.
    #[error("{limit} streams are open on this hub, which is its `limits.streams`: try another")]
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

impl FollowError {
    /// The limit that was met, if it was one: the setting, where there is one.
    #[must_use]
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Streams { .. } => Some("limits.streams-per-tenant"),
            Self::HubStreams { .. } => Some("limits.streams"),
            Self::Views { .. } | Self::Services { .. } => Some("limits.views-per-tenant"),
            Self::Tenants => Some("tenants"),
            Self::TooLarge(full) => Some(full.limit()),
            Self::Backend(_) | Self::Closing => None,
        }
    }
}

/// Tells why no hint may have come for a change in a kind of backend since a moment.
pub type DriftCauses = dyn Fn(&'static str, Option<Instant>) -> DriftCause + Send + Sync;

/// All tenants in memory. Cheap to clone.
#[derive(Clone)]
pub struct Tenants {
    pub(super) shared: Arc<Shared>,
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
    reporters: Reporters,
    pub(super) flights: Flights,
    /// Why no hint may have come for a change in a backend since a moment.
    pub(super) drift_cause: Box<DriftCauses>,
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
        drift_cause: Box<DriftCauses>,
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
            reporters: Reporters::default(),
            flights: Flights::default(),
            drift_cause,
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
        Ok(Listener { subscriber, _seat: seat, _permit: permit, membership: None })
    }

    /// A view at this moment, as one update from nothing.
    ///
    /// # Errors
    /// As [`Tenants::follow`].
    pub async fn snapshot(&self, tenant: &TenantId, view: &View) -> Result<Arc<Frames>, FollowError> {
        let tenant = self.ready(tenant, view.service()).await?;
        Ok(tenant.snapshot(view, (self.shared.clock)()).frames(&self.shared.metrics.encodings))
    }

    /// Loads a tenant if it is not in memory, and tells how it stands.
    ///
    /// # Errors
    /// As [`Tenants::follow`].
    pub async fn load(&self, tenant: &TenantId) -> Result<TenantStatus, FollowError> {
        Ok(self.ready(tenant, None).await?.status())
    }

    /// Has a tenant read as a whole now, from every backend. Returns what each
    /// found, as the router numbers them. A tenant that was not in memory is loaded,
    /// and nothing was missed then.
    ///
    /// # Errors
    /// If the tenant cannot be loaded.
    pub async fn reconcile(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<Result<Option<Sweep>, BackendError>>, FollowError> {
        for _ in 0..MEETINGS {
            let tenant = self.ready(tenant, None).await?;
            let answered = tenant.sweep().await;
            if tenant.lock().dropped {
                // It was given up meanwhile, and what it answered says nothing.
                self.shared.forget(&tenant);
                continue;
            }
            let found = answered.into_iter().zip(&tenant.lanes);
            return Ok(found.map(|(answered, lane)| answered.map(|()| lane.swept())).collect());
        }
        Err(FollowError::Closing)
    }

    /// Who reports to this hub, of all tenants.
    #[must_use]
    pub fn reporters(&self) -> &Reporters {
        &self.shared.reporters
    }

    /// The instances of a tenant, if it is in memory: else there are none.
    #[must_use]
    pub fn crew(&self, tenant: &TenantId) -> Option<Arc<Crew>> {
        self.shared.loaded.get(tenant).map(|tenant| Arc::clone(&tenant.crew))
    }

    /// The instances of all tenants in memory.
    #[must_use]
    pub fn crews(&self) -> Vec<(TenantId, Arc<Crew>)> {
        let loaded = self.shared.loaded.iter();
        loaded.map(|tenant| (tenant.id.clone(), Arc::clone(&tenant.crew))).collect()
    }

    /// The topic of a view that is in memory.
    #[must_use]
    pub fn topic(&self, tenant: &TenantId, view: &View) -> Option<Arc<Topic>> {
        let tenant = self.shared.loaded.get(tenant).map(|tenant| Arc::clone(&tenant))?;
        let inner = tenant.lock();
        inner.topics.get(view).cloned()
    }

    /// Has these addresses of a tenant in memory read again, and returns where its views
    /// stand once they have what was written there before, which is known by the
    /// versions. `None`: it is not in memory. A store that answers from before a write
    /// for long is waited for just as long: the caller bounds it.
    pub async fn mark(&self, id: &TenantId, written: &[(Address, u64)]) -> Option<Mark> {
        let addresses: Vec<_> = written.iter().map(|(address, _)| address.clone()).collect();
        let mut pause = REMARK;
        loop {
            let tenant = self.shared.loaded.get(id).map(|tenant| Arc::clone(&tenant))?;
            self.hint(Hint { tenant: id.clone(), addresses: addresses.clone() }).done().await;
            if tenant.has(written) {
                return Some(tenant.mark(addresses));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_REMARK);
        }
    }

    /// Whether a tenant in memory would keep its limits with these changes. One that
    /// is not in memory is not looked at: its owner would have to be asked, and the
    /// limits are there for what is in memory.
    ///
    /// # Errors
    /// Which limit it would pass.
    pub fn check_fits(&self, tenant: &TenantId, changes: &[Change]) -> Result<(), Full> {
        let loaded = self.shared.loaded.get(tenant).map(|tenant| Arc::clone(&tenant));
        loaded.map_or(Ok(()), |tenant| tenant.lock().entries.check_with(&self.shared.limits, changes))
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
            let tenant = self.ready(id, view.service()).await?;
            let Shared { limits, metrics, clock, .. } = &*self.shared;
            let seat = tenant.sit(view.clone(), limits, &metrics.encodings, clock())?;
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

    /// The tenant, once it is in memory, and the entries of a service with it.
    pub(super) async fn ready(
        &self,
        id: &TenantId,
        service: Option<&ServiceName>,
    ) -> Result<Arc<Tenant>, FollowError> {
        let tenant = self.loaded(id, service)?;
        tenant.ready().await?;
        if let Some(service) = service {
            tenant.cover(service, self.shared.limits.views_per_tenant).await?;
        }
        Ok(tenant)
    }

    /// The tenant, which is being loaded if it was not there.
    fn loaded(&self, id: &TenantId, service: Option<&ServiceName>) -> Result<Arc<Tenant>, FollowError> {
        if let Some(tenant) = self.shared.loaded.get(id) {
            return Ok(Arc::clone(&tenant));
        }
        if self.shared.loaded.len() >= TENANTS {
            return Err(FollowError::Tenants);
        }
        let natures = self.shared.router.backends().iter().map(|backend| backend.nature());
        let Shared { reporters, limits, .. } = &*self.shared;
        let tenant = Tenant::new(id.clone(), natures, reporters.clone(), limits.streams_per_tenant);
        match self.shared.loaded.entry(id.clone()) {
            Entry::Occupied(known) => return Ok(Arc::clone(known.get())),
            Entry::Vacant(free) => drop(free.insert(Arc::clone(&tenant))),
        }
        let owner = Owner::new(Arc::clone(&tenant), Arc::clone(&self.shared), service.cloned());
        // Not before the map is let go: a runtime that is ending drops the task at once.
        tokio::spawn(owner.run());
        Ok(tenant)
    }
}

impl Sink for Tenants {
    fn hint(&self, hint: Hint) -> Applied {
        let shared = &self.shared;
        shared.metrics.hints.inc();
        let mut applied = Applied::default();
        // What is being read for somebody may be from before the change.
        shared.flights.forget(&hint);
        let tenant = shared.loaded.get(&hint.tenant).map(|tenant| Arc::clone(&tenant));
        let Some(tenant) = tenant else { return applied };
        let mut by_backend = vec![Vec::new(); shared.router.backends().len()];
        for address in hint.addresses {
            // A key that nobody owns can only be hinted by mistake.
            if let Ok(index) = shared.router.route(&address.key) {
                by_backend[index].push(address);
            }
        }
        for (index, addresses) in by_backend.into_iter().enumerate() {
            if !addresses.is_empty() {
                tenant.hint(index, addresses, &mut applied);
            }
        }
        applied
    }

    fn lost(&self) {
        for tenant in &self.shared.loaded {
            tenant.lost_hints();
        }
    }
}

impl Shared {
    /// Takes a tenant out of the map, unless another has taken its place.
    pub(super) fn forget(&self, tenant: &Arc<Tenant>) {
        self.loaded.remove_if(&tenant.id, |_, known| Arc::ptr_eq(known, tenant));
    }
}
