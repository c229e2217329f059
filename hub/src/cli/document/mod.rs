//! Documents: entries in files.
//!
//! One format for import, export and diff:
//!
//! ```json
//! {"shared": {"key": value}, "services": {"service": {"key": value}}, "secrets": {"key": value}}
//! ```
//!
//! A JSON string is plain text in UTF-8. Any other JSON value is
//! `application/json`, kept byte for byte. Everything else is spelled out:
//! `{"$content_type": …, "$text" | "$base64" | "$json": …, "$secret": true}`.
//! What is exported is imported as it was, except for the values of secrets,
//! which never leave the hub: an exported secret is a marker without a value,
//! and import passes it over.
//!
//! A flag in the plain form has the type of flags. A flagd definition file is accepted too. Whatever is malformed is refused as
//! a whole, with its file, line, column, path and reason.
//!
//! Nothing here talks to a hub.

mod apply;
mod content;
mod error;
mod export;
mod flagd;
mod json;
mod naming;
mod read;

pub(crate) use apply::changes;
pub(crate) use error::DocumentError;
pub(crate) use export::{address, export, inline};
pub(crate) use flagd::flags;
pub(crate) use naming::Naming;
pub(crate) use read::read;

use confhub_proto::{Content, Key, ServiceName};
use std::collections::BTreeMap;
use std::fmt;

/// Largest file that is read, in bytes: larger than any tenant a hub holds.
pub(crate) const DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// What a file says: each entry once, in the order of service and key.
pub(crate) type Document = BTreeMap<Address, Item>;

/// Where an entry is. Shared entries come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    /// The service; `None`: shared by all.
    pub(crate) service: Option<ServiceName>,
    /// The key.
    pub(crate) key: Key,
}

impl Address {
    /// The service as the wire spells it.
    pub(crate) fn wire_service(&self) -> String {
        self.service.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{service}/{}", self.key),
            None => write!(f, "{}", self.key),
        }
    }
}

/// What a file says about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// It has this content.
    Content(Content),
    /// It is a secret, whose value the file does not have.
    Marker,
}
