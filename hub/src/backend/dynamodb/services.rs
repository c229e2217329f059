//! The list of a tenant's services: a row for each in the tenant's partition.

use super::item::{Item, place};
use confhub_proto::{ServiceName, TenantId};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

/// Start of the sort key of a service's row.
pub(super) const SERVICE_ROW: &str = "SERVICE#";

/// Services that are remembered as listed, some 100 bytes each. One that is
/// forgotten is listed once more, which changes nothing.
const REMEMBERED: usize = 10_000;

/// Most services that a hub lists of a tenant: each is a read of its own with
/// every load and sweep, and its row stays when its entries are gone. Four times
/// the views that a hub has of one tenant, and 2.5 s of what sweeps may read of
/// the table a second, unless set otherwise.
pub(super) const SERVICES: usize = 1_000;

/// The row that lists a service.
pub(super) fn row(pk: &str, service: &ServiceName) -> Item {
    place(pk, &format!("{SERVICE_ROW}{service}"))
}

/// The service that a row lists.
pub(super) fn parse(sk: &str) -> Option<ServiceName> {
    ServiceName::new(sk.strip_prefix(SERVICE_ROW)?).ok()
}

/// Services that this hub knows to be listed.
#[derive(Default)]
pub(super) struct Listed {
    known: Mutex<HashSet<(TenantId, ServiceName)>>,
}

impl Listed {
    pub(super) fn has(&self, tenant: &TenantId, service: &ServiceName) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(tenant.clone(), service.clone()))
    }

    /// These are all that the tenant has in the list.
    pub(super) fn are(&self, tenant: &TenantId, services: &BTreeSet<ServiceName>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _)| of != tenant);
        if known.len() + services.len() > REMEMBERED {
            known.clear();
        }
        known.extend(services.iter().take(REMEMBERED).map(|service| (tenant.clone(), service.clone())));
    }

    pub(super) fn add(&self, tenant: &TenantId, service: &ServiceName) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((tenant.clone(), service.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_somebody_has_removed_is_not_remembered() {
        let (listed, tenant, other) =
            (Listed::default(), TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let [cart, stock] = ["cart", "stock"].map(|name| ServiceName::new(name).unwrap());
        for tenant in [&tenant, &other] {
            listed.add(tenant, &cart);
        }
        listed.are(&tenant, &BTreeSet::from([stock.clone()]));
        assert!(!listed.has(&tenant, &cart) && listed.has(&tenant, &stock) && listed.has(&other, &cart));
    }
}
