//! One setting, flag or secret.

use crate::{Digest, Key, NameError, ServiceName, limits, wire};
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// What an entry holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The value.
    pub value: Bytes,
    /// Media type (RFC 6838).
    pub content_type: Arc<str>,
    /// Whether the value is a secret.
    pub secret: bool,
}

/// A content that no hub accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The value is over the limit.
    #[error("the value has {actual} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The media type is not one.
    #[error(
        "the content type must be at most {} printable ASCII characters such as `application/json`",
        limits::CONTENT_TYPE_BYTES
    )]
    ContentType,
}

impl Content {
    /// Media type of bytes of unknown meaning: what an empty one on the wire means.
    pub const BINARY: &str = "application/octet-stream";
    /// Media type of plain text in UTF-8.
    pub const TEXT: &str = "text/plain; charset=utf-8";
    /// Media type of JSON.
    pub const JSON: &str = "application/json";

    /// Checks a value of at most `value_limit` bytes and its media type.
    ///
    /// # Errors
    /// If the value is too large or the media type malformed.
    pub fn new(
        value: Bytes,
        content_type: &str,
        secret: bool,
        value_limit: usize,
    ) -> Result<Self, ContentError> {
        if value.len() > value_limit {
            return Err(ContentError::TooLarge { actual: value.len(), limit: value_limit });
        }
        let content_type = if content_type.is_empty() { Self::BINARY } else { content_type };
        let printable = content_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !printable || content_type.len() > limits::CONTENT_TYPE_BYTES {
            return Err(ContentError::ContentType);
        }
        Ok(Self { value, content_type: content_type.into(), secret })
    }
}

impl Content {
    /// What an entry with this content counts against a limit on the size of
    /// states, in bytes: as [`Entry::size`], so nothing for the value of a secret.
    #[must_use]
    pub fn size_of(&self, key: &Key) -> usize {
        let value = if self.secret { 0 } else { self.value.len() };
        key.as_str().len() + self.content_type.len() + value
    }
}

impl fmt::Debug for Content {
    /// Shows the size, never the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("value_bytes", &self.value.len())
            .field("content_type", &self.content_type)
            .field("secret", &self.secret)
            .finish()
    }
}

/// One version of one key of one service (or of all: shared).
///
/// An entry never holds the value of a secret: [`Entry::new`] drops it, so
/// that no state, ring, frame or file made of entries can leak one.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    key: Key,
    service: Option<ServiceName>,
    content: Content,
    version: u64,
    modified: SystemTime,
    digest: Digest,
}

impl Entry {
    /// Makes an entry; the value of a secret is dropped here.
    #[must_use]
    pub fn new(
        key: Key,
        service: Option<ServiceName>,
        mut content: Content,
        version: u64,
        modified: SystemTime,
    ) -> Self {
        if content.secret {
            content.value = Bytes::new();
        }
        let digest = digest(&key, service.as_ref(), &content, version, modified);
        Self { key, service, content, version, modified, digest }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The service that the entry belongs to; `None`: shared by all.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceName> {
        self.service.as_ref()
    }

    /// The value; empty for a secret.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.content.value
    }

    /// Media type of the value.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content.content_type
    }

    /// Whether the value is a secret, and so not here.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.content.secret
    }

    /// Counts the writes of this key in this service; never goes back.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When this version was written, by the clock of the backend.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// The entry's share in the digest of a state.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the entry counts against a limit on the size of states, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.content.size_of(&self.key)
    }
}

impl fmt::Debug for Entry {
    /// Shows everything but the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("service", &self.service)
            .field("version", &self.version)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// Hashes what makes an entry differ: key, service, content type, version, time
/// of modification, secrecy and the hash of the value. Version is part of it, so
/// A -> B -> A is a change. The service is part of it, since versions count per
/// service. The time is part of it, since a store may count a key that was
/// deleted and made again from 1 (Parameter Store does), and the value of a
/// secret is not here to tell the two apart.
fn digest(
    key: &Key,
    service: Option<&ServiceName>,
    content: &Content,
    version: u64,
    modified: SystemTime,
) -> Digest {
    static DOMAIN: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("confhub.v1 entry digest", &[]));
    let mut hasher = blake3::Hasher::new_keyed(&DOMAIN);
    let service = service.map_or("", ServiceName::as_str);
    for text in [key.as_str(), service, &content.content_type] {
        // Lengths keep neighbours apart; no text reaches 4 GiB.
        hasher.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&version.to_be_bytes());
    let modified = prost_types::Timestamp::from(modified);
    hasher.update(&modified.seconds.to_be_bytes());
    hasher.update(&modified.nanos.to_be_bytes());
    hasher.update(&[u8::from(content.secret)]);
    hasher.update(blake3::hash(&content.value).as_bytes());
    Digest::from_hash(&hasher.finalize())
}

/// An entry on the wire that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The key or the service is outside the alphabet.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The value or its type is refused.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The time of modification is outside the calendar.
    #[error("the time of modification is out of range")]
    Time,
}

impl From<&Entry> for wire::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.as_str().to_owned(),
            value: entry.content.value.clone(),
            content_type: entry.content.content_type.to_string(),
            version: entry.version,
            modified_at: Some(entry.modified.into()),
            secret: entry.content.secret,
            service: entry.service.as_ref().map_or_else(String::new, ToString::to_string),
        }
    }
}

impl TryFrom<wire::Entry> for Entry {
    type Error = EntryError;

    fn try_from(entry: wire::Entry) -> Result<Self, EntryError> {
        let service = match entry.service.as_str() {
            "" => None,
            name => Some(ServiceName::new(name)?),
        };
        let content = Content::new(entry.value, &entry.content_type, entry.secret, limits::VALUE_BYTES)?;
        let modified = entry.modified_at.unwrap_or_default();
        let modified = SystemTime::try_from(modified).map_err(|_| EntryError::Time)?;
        Ok(Self::new(Key::new(&entry.key)?, service, content, entry.version, modified))
    }
}
