//! What the client asks to see.

use crate::ConfigError;
use confhub_proto::limits::{CLIENT_INFO_BYTES, VIEW_PREFIXES};
use confhub_proto::{Cursor, Prefix, ServiceName, wire};

/// The view and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Empty: shared entries alone.
    pub(crate) service: String,
    /// Sorted, none twice. Empty: all keys.
    pub(crate) prefixes: Vec<String>,
    instance: String,
    version: String,
}

impl View {
    /// Checks the parts of a view.
    pub(crate) fn new(
        service: Option<&str>,
        prefixes: &[String],
        instance: &str,
        version: &str,
    ) -> Result<Self, ConfigError> {
        let service = service.map(ServiceName::new).transpose()?;
        let prefixes: Result<Vec<_>, _> = prefixes.iter().map(|prefix| Prefix::new(prefix)).collect();
        let mut prefixes: Vec<_> = prefixes?.iter().map(ToString::to_string).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let too_many = |what, actual, limit| Err(ConfigError::TooMany { what, actual, limit });
        if prefixes.len() > VIEW_PREFIXES {
            return too_many("prefixes", prefixes.len(), VIEW_PREFIXES);
        }
        for (what, text) in [
            ("bytes in the name of the instance", instance),
            ("bytes in the version of the program", version),
        ] {
            if text.len() > CLIENT_INFO_BYTES {
                return too_many(what, text.len(), CLIENT_INFO_BYTES);
            }
        }
        let service = service.map(|service| service.to_string()).unwrap_or_default();
        Ok(Self { service, prefixes, instance: instance.to_owned(), version: version.to_owned() })
    }

    /// The request of the client with this id for the stream of this view from `cursor` on.
    pub(crate) fn request(&self, cursor: Option<Cursor>, id: &[u8]) -> wire::SubscribeRequest {
        wire::SubscribeRequest {
            service: self.service.clone(),
            prefixes: self.prefixes.clone(),
            cursor: cursor.map(|cursor| cursor.to_bytes().to_vec()).unwrap_or_default(),
            client: Some(wire::ClientInfo {
                instance: self.instance.clone(),
                version: self.version.clone(),
                sdk: concat!("confhub-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
                id: id.to_vec(),
            }),
        }
    }
}
