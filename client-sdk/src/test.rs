//! What the unit tests share.

use confhub_proto::{Bytes, Content, Entry, Key, limits};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An entry of a shared key.
pub(crate) fn entry(key: &str, version: u64, value: &str, content_type: &str) -> Arc<Entry> {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let content = Content::new(value, content_type, false, limits::VALUE_BYTES).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Arc::new(Entry::new(Key::new(key).unwrap(), None, content, version, modified))
}
