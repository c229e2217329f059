//! Single reads: from memory where that is current, and from the backend
//! otherwise, once for all who ask at the same time.

use super::registry::Tenants;
use crate::backend::BackendError;
use crate::metrics::Purpose;
use crate::source::{Address, Hint};
use confhub_proto::{Entry, TenantId};
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What a read found at each of its addresses.
type Found = Result<Arc<HashMap<Address, Option<Arc<Entry>>>>, BackendError>;

/// A read that is under way, as many may wait for.
type Flight = Shared<BoxFuture<'static, Found>>;

/// The reads that are under way. They hold themselves: one that nobody waits for
/// any more is over.
#[derive(Clone, Default)]
pub(super) struct Flights {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// The number of the read, and the read.
    flights: HashMap<(TenantId, Address), (u64, WeakShared<BoxFuture<'static, Found>>)>,
    /// Counts the reads.
    number: u64,
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
        let mut found = HashMap::new();
        for flight in self.flights(tenant, backend, addresses) {
            let read = flight.await?;
            found.extend(read.iter().map(|(address, entry)| (address.clone(), entry.clone())));
        }
        Ok(addresses.iter().map(|address| found.get(address).cloned().flatten()).collect())
    }

    /// The reads that answer for these addresses: those under way, and one more
    /// for the rest.
    fn flights(&self, tenant: &TenantId, backend: usize, addresses: &[Address]) -> Vec<Flight> {
        let mut open = super::lane::lock(&self.shared.flights.open);
        let (mut flights, mut rest): (Vec<Flight>, Vec<Address>) = (Vec::new(), Vec::new());
        for address in addresses {
            let known = open.flights.get(&(tenant.clone(), address.clone()));
            match known.and_then(|(_, flight)| flight.upgrade()) {
                Some(flight) if flights.iter().any(|known| known.ptr_eq(&flight)) => {}
                Some(flight) => flights.push(flight),
                None => rest.push(address.clone()),
            }
        }
        if !rest.is_empty() {
            open.number += 1;
            let number = open.number;
            let flight = self.read_now(number, tenant.clone(), backend, rest.clone()).shared();
            // A future that has not been polled can be downgraded.
            if let Some(weak) = flight.downgrade() {
                let at = |address| ((tenant.clone(), address), (number, weak.clone()));
                open.flights.extend(rest.into_iter().map(at));
            }
            flights.push(flight);
        }
        flights
    }

    fn read_now(
        &self,
        number: u64,
        tenant: TenantId,
        index: usize,
        addresses: Vec<Address>,
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
        if open.flights.is_empty() {
            return;
        }
        for address in &hint.addresses {
            open.flights.remove(&(hint.tenant.clone(), address.clone()));
        }
    }
}

/// Takes a read off the list when it is over, or nobody waits for it any more.
struct Landing {
    flights: Flights,
    number: u64,
    tenant: TenantId,
    addresses: Vec<Address>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut open = super::lane::lock(&self.flights.open);
        for address in &self.addresses {
            let at = (self.tenant.clone(), address.clone());
            // Another read may have taken the place of one that was forgotten.
            if open.flights.get(&at).is_some_and(|(number, _)| *number == self.number) {
                open.flights.remove(&at);
            }
        }
    }
}
