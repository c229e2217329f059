//! What one subscriber sees of a tenant.

use crate::source::Address;
use confhub_proto::{Prefix, ServiceName};
use std::sync::Arc;

/// The tenant's shared entries and those of one service, whose entry wins on
/// the same key, narrowed to keys with one of the prefixes (none: all keys).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    service: Option<ServiceName>,
    prefixes: Arc<[Prefix]>,
}

impl View {
    /// The view of a service (`None`: shared entries alone). Prefixes in
    /// another order, or twice, make the same view.
    #[must_use]
    pub fn new(service: Option<ServiceName>, mut prefixes: Vec<Prefix>) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup();
        Self { service, prefixes: prefixes.into() }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceName> {
        self.service.as_ref()
    }

    /// The prefixes, in order; none: all keys.
    #[must_use]
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Whether an entry at this address can be seen, unless another wins.
    #[must_use]
    pub fn admits(&self, address: &Address) -> bool {
        let service = address.service.is_none() || address.service == self.service;
        let key = address.key.as_str();
        let prefix = self.prefixes.is_empty() || self.prefixes.iter().any(|p| key.starts_with(p.as_str()));
        service && prefix
    }
}
