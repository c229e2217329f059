//! The list of a tenant's services: a row for each in the tenant's partition.

use super::item::{Item, place};
use confhub_proto::{ServiceName, TenantId};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Start of the sort key of a service's row.
pub(super) const SERVICE_ROW: &str = "SERVICE#";

/// Services that are remembered as listed, some 100 bytes each. One that is
/// forgotten is listed once more, which changes nothing.
const REMEMBERED: usize = 10_000;

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

    pub(super) fn add(&self, tenant: &TenantId, service: &ServiceName) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((tenant.clone(), service.clone()));
    }
}
