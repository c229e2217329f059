//! How names in a file become keys: files written for other programs have no
//! prefixes, and a hub has no keys without.

use super::error::DocumentError;
use super::json::Node;
use confhub_proto::{Key, Prefix};

/// How names become keys.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    prefix: Option<Prefix>,
    known: Option<Vec<String>>,
}

impl Naming {
    /// Before the hub is asked: names are checked, but may turn out to lack a prefix.
    pub(crate) fn offline(prefix: Option<Prefix>) -> Self {
        Self { prefix, known: None }
    }

    /// With the prefixes that the hub knows: `prefix` is put before every name
    /// that has none of them.
    pub(crate) fn with_known(&self, known: Vec<String>) -> Self {
        Self { prefix: self.prefix.clone(), known: Some(known) }
    }

    /// Makes a key of a name.
    pub(crate) fn key(&self, name: &str, node: &Node<'_>) -> Result<Key, DocumentError> {
        let checked = |name: &str| Key::new(name).map_err(|error| node.error(error));
        let Some(known) = &self.known else { return checked(name) };
        if known.iter().any(|known| name.starts_with(known.as_str())) {
            return checked(name);
        }
        match &self.prefix {
            Some(prefix) => checked(&format!("{prefix}{name}")),
            None => Err(node.error(format!(
                "the name has no prefix that the hub knows ({}): add one, or use --prefix",
                known.join(", ")
            ))),
        }
    }
}
