//! How one version of a key is kept in the file.

use super::damaged;
use super::seal::OVERHEAD_BYTES;
use crate::backend::{BackendError, Revision};
use crate::source::Address;
use bytes::Bytes;
use confhub_proto::{Content, Entry, Key, ServiceName, limits};
use prost::Message;
use std::time::SystemTime;

/// One version of a key. A deletion is kept as one too, so that the next
/// version of the key is larger still.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) value: Bytes,
    #[prost(string, tag = "2")]
    pub(super) content_type: String,
    #[prost(bool, tag = "3")]
    pub(super) secret: bool,
    #[prost(uint64, tag = "4")]
    pub(super) version: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) modified: Option<prost_types::Timestamp>,
    #[prost(bool, tag = "6")]
    pub(super) deleted: bool,
    #[prost(string, tag = "7")]
    pub(super) author: String,
    /// The value is sealed. Those of secrets are, but for files of the first hubs.
    #[prost(bool, tag = "8")]
    pub(super) sealed: bool,
}

impl Record {
    /// The value of a secret has been sealed.
    pub(super) fn put(content: &Content, version: u64, now: SystemTime, author: &str) -> Self {
        Self {
            value: content.value.clone(),
            content_type: content.content_type.to_string(),
            secret: content.secret,
            version,
            modified: Some(now.into()),
            deleted: false,
            author: author.to_owned(),
            sealed: content.secret,
        }
    }

    /// A deletion keeps what kind of entry it was, not what it held.
    pub(super) fn deletion(of: &Self, now: SystemTime, author: &str) -> Self {
        Self {
            value: Bytes::new(),
            content_type: of.content_type.clone(),
            secret: of.secret,
            version: of.version + 1,
            modified: Some(now.into()),
            deleted: true,
            author: author.to_owned(),
            sealed: false,
        }
    }

    /// `of`, written again.
    pub(super) fn restored(of: &Self, version: u64, now: SystemTime, author: &str) -> Self {
        Self { version, modified: Some(now.into()), author: author.to_owned(), ..of.clone() }
    }

    pub(super) fn from_file(bytes: &[u8]) -> Result<Self, BackendError> {
        Self::decode(bytes).map_err(damaged)
    }

    /// What the record counts against the tenant's limit: as `Entry::size`, but
    /// with the value of a secret, which the file keeps.
    pub(super) fn size(&self, key: &Key) -> u64 {
        let value = self.value.len() - if self.sealed { OVERHEAD_BYTES.min(self.value.len()) } else { 0 };
        (key.as_str().len() + self.content_type.len() + value) as u64
    }

    /// The entry, which is `None` for a deletion.
    pub(super) fn entry(self, address: &Address) -> Result<Option<Entry>, BackendError> {
        if self.deleted { Ok(None) } else { self.into_entry(address).map(Some) }
    }

    pub(super) fn into_revision(mut self, address: &Address) -> Result<Revision, BackendError> {
        let author = std::mem::take(&mut self.author);
        let labels = Vec::new();
        Ok(Revision { deleted: self.deleted, entry: self.into_entry(address)?, author, labels })
    }

    fn into_entry(self, address: &Address) -> Result<Entry, BackendError> {
        // A secret's value is not the entry's, so it is left out before its size is looked at.
        let value = if self.sealed { Bytes::new() } else { self.value };
        let content = Content::new(value, &self.content_type, self.secret, limits::VALUE_BYTES);
        let modified = SystemTime::try_from(self.modified.unwrap_or_default()).map_err(damaged)?;
        let content = content.map_err(damaged)?;
        Ok(Entry::new(address.key.clone(), address.service.clone(), content, self.version, modified))
    }
}

/// The addresses that one commit changed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Changed {
    #[prost(message, repeated, tag = "1")]
    places: Vec<Place>,
}

#[derive(Clone, PartialEq, Message)]
struct Place {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(string, tag = "2")]
    key: String,
}

impl Changed {
    pub(super) fn new<'a>(addresses: impl Iterator<Item = &'a Address>) -> Self {
        let place = |address: &Address| Place {
            service: service_text(address).to_owned(),
            key: address.key.as_str().to_owned(),
        };
        Self { places: addresses.map(place).collect() }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Result<Address, BackendError>> {
        self.places.iter().map(|place| address(&place.service, &place.key))
    }
}

/// How the file spells a service; shared is empty.
pub(super) fn service_text(address: &Address) -> &str {
    address.service.as_ref().map_or("", ServiceName::as_str)
}

/// Reads an address off the file.
pub(super) fn address(service: &str, key: &str) -> Result<Address, BackendError> {
    let service = match service {
        "" => None,
        name => Some(ServiceName::new(name).map_err(damaged)?),
    };
    Ok(Address { service, key: Key::new(key).map_err(damaged)? })
}
