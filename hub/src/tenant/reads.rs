//! Single reads: from memory where that is current, and from the backend
//! otherwise, once for all who ask at the same time.

use super::registry::{FollowError, MEETINGS, Tenants};
use crate::backend::BackendError;
use crate::metrics::Purpose;
use crate::source::{Address, Hint, Sink as _};
use confhub_proto::{Entry, Key, TenantId};
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What a read found at each of its addresses.
type Found = Result<Arc<HashMap<Address, Option<Arc<Entry>>>>, BackendError>;

/// A read that is under way, as many may wait for.
type Flight = Shared<BoxFuture<'static, Found>>;

/// The same, as somebody else holds it.
type Weak = WeakShared<BoxFuture<'static, Found>>;

/// The reads that are under way. They hold themselves: one that nobody waits for
/// any more is over.
#[derive(Clone, Default)]
pub(super) struct Flights {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    by_tenant: HashMap<TenantId, Vec<Known>>,
    /// Counts the reads.
    number: u64,
}

/// A read that is under way.
struct Known {
    number: u64,
    addresses: Arc<[Address]>,
    flight: Weak,
}

impl Tenants {
    /// What is at addresses that are all one backend's, in their order: from
    /// memory if the tenant is loaded and no change of them is on its way.
    ///
    /// # Errors
    /// If it must be read, and the backend fails.
    pub async fn read(
        &self,
        tenant: &TenantId,
        backend: usize,
        addresses: &[Address],
    ) -> Result<Vec<Option<Arc<Entry>>>, BackendError> {
        let loaded = self.shared.loaded.get(tenant).map(|tenant| Arc::clone(&tenant));
        if let Some(known) = loaded.and_then(|tenant| tenant.known(backend, addresses)) {
            return Ok(known);
        }
        let found = self.flight(tenant, backend, addresses).await?;
        Ok(addresses.iter().map(|address| found.get(address).cloned().flatten()).collect())
    }

    /// What a tenant has of such keys, of every service that is known here. It is loaded
    /// if it is not in memory; otherwise all that was written through this hub before is
    /// read first, and `mark`, an address of the store that is meant, with it.
    ///
    /// # Errors
    /// If the tenant cannot be loaded.
    pub async fn collect(
        &self,
        tenant: &TenantId,
        mark: Address,
        wanted: impl Fn(&Key) -> bool,
    ) -> Result<Vec<Arc<Entry>>, FollowError> {
        for _ in 0..MEETINGS {
            let loaded = self.ready(tenant, None).await?;
            self.hint(Hint { tenant: tenant.clone(), addresses: vec![mark.clone()] }).done().await;
            let inner = loaded.lock();
            if !inner.dropped {
                return Ok(inner.entries.of(wanted));
            }
            drop(inner);
            // It was given up meanwhile, and says nothing any more.
            self.shared.forget(&loaded);
        }
        Err(FollowError::Closing)
    }

    /// The read that answers for these addresses: one that is under way and reads
    /// them all, or a new one. Two that each read some would show two moments.
    fn flight(&self, tenant: &TenantId, backend: usize, addresses: &[Address]) -> Flight {
        let mut open = super::lane::lock(&self.shared.flights.open);
        let known = open.by_tenant.get(tenant).into_iter().flatten();
        let covering =
            known.filter(|known| addresses.iter().all(|address| known.addresses.contains(address)));
        if let Some(flight) = covering.filter_map(|known| known.flight.upgrade()).next() {
            return flight;
        }
        open.number += 1;
        let (number, addresses) = (open.number, Arc::from(addresses));
        let flight = self.read_now(number, tenant.clone(), backend, Arc::clone(&addresses)).shared();
        // A future that has not been polled can be downgraded.
        if let Some(weak) = flight.downgrade() {
            let of_tenant = open.by_tenant.entry(tenant.clone()).or_default();
            of_tenant.push(Known { number, addresses, flight: weak });
        }
        flight
    }

    fn read_now(
        &self,
        number: u64,
        tenant: TenantId,
        index: usize,
        addresses: Arc<[Address]>,
    ) -> BoxFuture<'static, Found> {
        let tenants = self.clone();
        let landing = Landing { flights: self.shared.flights.clone(), number, tenant, addresses };
        async move {
            let Landing { tenant, addresses, .. } = &landing;
            let backend = &tenants.shared.router.backends()[index];
            let read = backend.read(tenant, addresses).await;
            tenants.shared.metrics.read(backend.kind(), Purpose::Get, read.as_ref().err());
            let entries = read?.into_iter().map(|entry| entry.map(Arc::new));
            Ok(Arc::new(addresses.iter().cloned().zip(entries).collect()))
        }
        .boxed()
    }
}

impl Flights {
    /// Lets nobody join reads of these addresses that are under way: they may be
    /// from before a change.
    pub(super) fn forget(&self, hint: &Hint) {
        let mut open = super::lane::lock(&self.open);
        if let Some(of_tenant) = open.by_tenant.get_mut(&hint.tenant) {
            of_tenant.retain(|known| !hint.addresses.iter().any(|address| known.addresses.contains(address)));
        }
    }
}

/// Takes a read off the list when it is over, or nobody waits for it any more.
struct Landing {
    flights: Flights,
    number: u64,
    tenant: TenantId,
    addresses: Arc<[Address]>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut open = super::lane::lock(&self.flights.open);
        let Some(of_tenant) = open.by_tenant.get_mut(&self.tenant) else { return };
        of_tenant.retain(|known| known.number != self.number);
        if of_tenant.is_empty() {
            open.by_tenant.remove(&self.tenant);
        }
    }
}
