//! Which backend owns which keys: one `Apply` changes one backend.

use confhub_proto::wire;

/// The hub's table of prefixes.
#[derive(Debug, Clone)]
pub(crate) struct Routes(Vec<(String, String)>);

impl Routes {
    /// As the hub states it.
    pub(crate) fn new(status: &wire::StatusResponse) -> Self {
        let mut routes: Vec<_> =
            status.backends.iter().map(|backend| (backend.prefix.clone(), backend.backend.clone())).collect();
        // The longest prefix wins.
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(routes)
    }

    /// The prefixes that the hub knows.
    pub(crate) fn prefixes(&self) -> Vec<String> {
        self.0.iter().map(|(prefix, _)| prefix.clone()).collect()
    }

    /// The backend of a key; empty if the hub knows none.
    pub(crate) fn backend(&self, key: &str) -> &str {
        self.0.iter().find(|(prefix, _)| key.starts_with(prefix)).map_or("", |(_, backend)| backend)
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
            error: String::new(),
        };
        let backends = vec![backend("a_", "embedded"), backend("a_b_", "ssm")];
        let routes = Routes::new(&wire::StatusResponse { backends, ..Default::default() });
        assert_eq!(routes.backend("a_x"), "embedded");
        assert_eq!(routes.backend("a_b_x"), "ssm");
        assert_eq!(routes.backend("x"), "");
    }
}
