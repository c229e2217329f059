//! Which backend owns which keys: one `Apply` changes one backend.

use confhub_proto::{limits, wire};

/// The hub's table of prefixes.
#[derive(Debug, Clone)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug, Clone)]
struct Route {
    prefix: String,
    backend: String,
    apply_changes: usize,
}

impl Routes {
    /// As the hub states it.
    pub(crate) fn new(status: &wire::StatusResponse) -> Self {
        let route = |backend: &wire::BackendStatus| Route {
            prefix: backend.prefix.clone(),
            backend: backend.backend.clone(),
            // An older hub does not say, and has the embedded store alone.
            apply_changes: match backend.apply_changes {
                0 => limits::APPLY_CHANGES,
                most => usize::try_from(most).unwrap_or(usize::MAX),
            },
        };
        let mut routes: Vec<_> = status.backends.iter().map(route).collect();
        // The longest prefix wins.
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self(routes)
    }

    /// The prefixes that the hub knows.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        self.0.iter().map(|route| route.prefix.clone()).collect()
    }

    /// The backend of a key; empty if the hub knows none.
    pub(crate) fn backend(&self, key: &str) -> &str {
        self.0.iter().find(|route| key.starts_with(&route.prefix)).map_or("", |route| &route.backend)
    }

    /// Most changes that a backend makes as one.
    pub(crate) fn apply_changes(&self, backend: &str) -> usize {
        let route = self.0.iter().find(|route| route.backend == backend);
        route.map_or(limits::APPLY_CHANGES, |route| route.apply_changes.min(limits::APPLY_CHANGES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let backend = |prefix: &str, backend: &str| wire::BackendStatus {
            prefix: prefix.to_owned(),
            backend: backend.to_owned(),
            ..Default::default()
        };
        let backends = vec![backend("a_", "embedded"), backend("a_b_", "ssm")];
        let routes = Routes::new(&wire::StatusResponse { backends, ..Default::default() });
        assert_eq!(routes.backend("a_x"), "embedded");
        assert_eq!(routes.backend("a_b_x"), "ssm");
        assert_eq!(routes.backend("x"), "");
        assert_eq!(routes.apply_changes("embedded"), limits::APPLY_CHANGES);
    }
}
