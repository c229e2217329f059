//! Which backend owns a key.

use super::Backend;
use confhub_proto::{Key, Prefix};
use std::fmt::Write as _;
use std::sync::Arc;

/// Routes keys to backends by their longest matching prefix.
#[derive(Clone)]
pub struct Router {
    /// Longest prefix first.
    routes: Vec<(Prefix, usize)>,
    backends: Vec<Arc<dyn Backend>>,
}

/// A key that no backend owns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no backend owns {what}: known prefixes are {known}")]
pub struct RouteError {
    what: String,
    known: String,
}

impl Router {
    /// Makes a router from the table of the settings. Prefixes that name the
    /// same backend share it.
    #[must_use]
    pub fn new(table: Vec<(Prefix, Arc<dyn Backend>)>) -> Self {
        let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
        let mut routes = Vec::new();
        for (prefix, backend) in table {
            let known = backends.iter().position(|other| Arc::ptr_eq(other, &backend));
            let index = known.unwrap_or_else(|| {
                backends.push(backend);
                backends.len() - 1
            });
            routes.push((prefix, index));
        }
        routes.sort_by(|(a, _), (b, _)| b.as_str().len().cmp(&a.as_str().len()).then(a.cmp(b)));
        Self { routes, backends }
    }

    /// The backend that owns `key`, by its index in [`Router::backends`].
    ///
    /// # Errors
    /// If no prefix matches; the error names those that exist.
    pub fn route(&self, key: &Key) -> Result<usize, RouteError> {
        let owner = self.routes.iter().find(|(prefix, _)| key.as_str().starts_with(prefix.as_str()));
        owner.map(|(_, index)| *index).ok_or_else(|| self.unknown(format!("the key `{key}`")))
    }

    /// Whether keys can begin with `prefix`.
    ///
    /// # Errors
    /// If none can; the error names the prefixes that exist.
    pub fn check_prefix(&self, prefix: &Prefix) -> Result<(), RouteError> {
        let prefix = prefix.as_str();
        let fits = |known: &str| known.starts_with(prefix) || prefix.starts_with(known);
        if self.routes.iter().any(|(known, _)| fits(known.as_str())) {
            return Ok(());
        }
        Err(self.unknown(format!("keys that begin with `{prefix}`")))
    }

    /// The backend that keeps the hub's own records: the one of `tenant_config_…`
    /// keys, which can change several keys as one, or else the first of the table.
    #[must_use]
    pub fn keeper_of_records(&self) -> Arc<dyn Backend> {
        let by_name = self.routes.iter().find(|(prefix, _)| prefix.as_str() == "tenant_config_");
        let index = by_name.or(self.routes.first()).map_or(0, |(_, index)| *index);
        Arc::clone(&self.backends[index])
    }

    /// All backends, each once.
    #[must_use]
    pub fn backends(&self) -> &[Arc<dyn Backend>] {
        &self.backends
    }

    /// The table: each prefix and its backend.
    pub fn table(&self) -> impl Iterator<Item = (&Prefix, &Arc<dyn Backend>)> {
        self.routes.iter().filter_map(|(prefix, index)| Some((prefix, self.backends.get(*index)?)))
    }

    fn unknown(&self, what: String) -> RouteError {
        RouteError { what, known: self.known() }
    }

    fn known(&self) -> String {
        let mut prefixes: Vec<_> = self.routes.iter().map(|(prefix, _)| prefix).collect();
        prefixes.sort();
        let mut known = String::new();
        for prefix in prefixes {
            let comma = if known.is_empty() { "" } else { ", " };
            let _ = write!(known, "{comma}`{prefix}`");
        }
        known
    }
}
