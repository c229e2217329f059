//! The row of an entry, or of an earlier version of one.

use super::by_hand;
use super::item::{
    APPLY, APPLY_SIZE, AUTHOR, CONTENT_TYPE, DELETED, EXPIRES, Item, MODIFIED, SECRET, SECRET_VALUE, SK,
    VALUE, VERSION, number, number_of, place, text, text_of,
};
use crate::backend::Revision;
use crate::source::Address;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use confhub_proto::{Content, Entry, limits};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a tombstone is kept: longer than any hub or client remembers a state,
/// so that nobody takes a key that was made again for an older one.
pub(super) const TOMBSTONE: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Which Apply of several changes wrote a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    /// Its name, which begins with its time.
    pub(super) id: Arc<str>,
    /// How many changes it had.
    pub(super) size: usize,
}

/// One version of a key.
#[derive(Clone, PartialEq)]
pub(super) struct Row {
    /// What it holds, the value of a secret too, if that was fetched.
    pub(super) content: Content,
    pub(super) version: u64,
    pub(super) modified: SystemTime,
    pub(super) author: String,
    /// It is a tombstone.
    pub(super) deleted: bool,
    pub(super) mark: Option<Mark>,
}

/// A row as it was found.
pub(super) struct Found {
    pub(super) row: Row,
    /// What no hub would have written so; none of it is the value.
    pub(super) remarks: Vec<String>,
    /// Why it cannot be an entry.
    pub(super) unfit: Option<String>,
}

/// Whether the row must be fetched as a whole to be read: it has no value where
/// it would have to be.
pub(super) fn needs_all(item: &Item) -> bool {
    let mut remarks = Vec::new();
    !item.contains_key(VALUE) && !is_secret(item, &mut remarks) && !is_deleted(item)
}

/// Reads a row, whoever wrote it.
pub(super) fn parse(item: &Item) -> Found {
    let mut remarks = Vec::new();
    let version = number_of(item, VERSION).filter(|version| *version > 0).unwrap_or_else(|| {
        let lacks = if item.contains_key(VERSION) { "a malformed" } else { "no" };
        remarks.push(format!("it has {lacks} `{VERSION}`, and counts as version 1"));
        1
    });
    let modified = text_of(item, MODIFIED).and_then(|text| text.parse::<prost_types::Timestamp>().ok());
    let modified = modified.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or_else(|| {
        if item.contains_key(MODIFIED) {
            remarks.push(format!("its `{MODIFIED}` is no time of RFC 3339, and counts as the Unix epoch"));
        }
        SystemTime::UNIX_EPOCH
    });
    let deleted = is_deleted(item);
    let (content, unfit) = content(item, deleted, &mut remarks);
    let author = text_of(item, AUTHOR).unwrap_or_default().to_owned();
    let row = Row { content, version, modified, author, deleted, mark: mark(item) };
    Found { row, remarks, unfit }
}

fn is_deleted(item: &Item) -> bool {
    matches!(item.get(DELETED), Some(AttributeValue::Bool(true)))
}

/// What is not clearly in the open is a secret.
fn is_secret(item: &Item, remarks: &mut Vec<String>) -> bool {
    match item.get(SECRET) {
        None => item.contains_key(SECRET_VALUE),
        Some(AttributeValue::Bool(secret)) => *secret,
        Some(_) => {
            remarks.push(format!("its `{SECRET}` is neither true nor false, and counts as true"));
            true
        }
    }
}

fn mark(item: &Item) -> Option<Mark> {
    let size = usize::try_from(number_of(item, APPLY_SIZE)?).ok()?;
    Some(Mark { id: text_of(item, APPLY)?.into(), size })
}

/// The content, and why it cannot be that of an entry.
fn content(item: &Item, deleted: bool, remarks: &mut Vec<String>) -> (Content, Option<String>) {
    let secret = is_secret(item, remarks);
    let (value, fitting) = match item.get(VALUE) {
        _ if deleted => (Vec::new(), Content::BINARY),
        in_the_open if secret => {
            if in_the_open.is_some() {
                remarks.push(format!("it is a secret with a `{VALUE}`: that belongs in `{SECRET_VALUE}`"));
            }
            let value = item.get(SECRET_VALUE).or(in_the_open).map(by_hand::value);
            (value.unwrap_or_default().0, Content::BINARY)
        }
        Some(value) => by_hand::value(value),
        None => {
            remarks.push(format!("it has no `{VALUE}`, and counts as an object of its other attributes"));
            (by_hand::others(item), Content::JSON)
        }
    };
    let value = Bytes::from(value);
    let new = |kind| Content::new(value.clone(), kind, secret, limits::VALUE_BYTES);
    let given = item.get(CONTENT_TYPE).map(|kind| kind.as_s().ok().and_then(|kind| new(kind).ok()));
    let content = match given {
        Some(Some(content)) => Ok(content),
        Some(None) => {
            remarks.push(format!("its `{CONTENT_TYPE}` is not one, and counts as `{fitting}`"));
            new(fitting)
        }
        None => new(fitting),
    };
    content.map(|content| (content, None)).unwrap_or_else(|error| {
        let empty = Content { value: Bytes::new(), content_type: fitting.into(), secret };
        (empty, Some(error.to_string()))
    })
}

impl Row {
    /// The row at a place.
    pub(super) fn to_item(&self, pk: &str, sk: &str) -> Item {
        let Content { value, content_type, secret } = &self.content;
        let mut item = place(pk, sk);
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set(CONTENT_TYPE, text(&**content_type));
        set(SECRET, AttributeValue::Bool(*secret));
        set(VERSION, number(self.version));
        set(MODIFIED, text(prost_types::Timestamp::from(self.modified).to_string()));
        set(AUTHOR, text(&*self.author));
        if self.deleted {
            set(DELETED, AttributeValue::Bool(true));
            set(EXPIRES, number(epoch_seconds(self.modified + TOMBSTONE)));
        } else {
            set(if *secret { SECRET_VALUE } else { VALUE }, stored(value, content_type));
        }
        if let Some(mark) = &self.mark {
            set(APPLY, text(&*mark.id));
            set(APPLY_SIZE, number(mark.size));
        }
        item
    }

    /// The entry; `None` for a tombstone.
    pub(super) fn into_entry(self, address: &Address) -> Option<Entry> {
        (!self.deleted).then(|| self.entry(address))
    }

    /// This version, for the history.
    pub(super) fn into_revision(self, address: &Address) -> Revision {
        let entry = self.entry(address);
        Revision { entry, deleted: self.deleted, author: self.author, labels: Vec::new() }
    }

    fn entry(&self, address: &Address) -> Entry {
        let (key, service) = (address.key.clone(), address.service.clone());
        Entry::new(key, service, self.content.clone(), self.version, self.modified)
    }
}

/// The row of a version, for its place in the history: as it is, but that it
/// neither expires nor is part of an Apply that readers wait for.
pub(super) fn copy(item: &Item, sk: &str, version: u64) -> Item {
    let mut copy = item.clone();
    for name in [EXPIRES, APPLY, APPLY_SIZE] {
        copy.remove(name);
    }
    copy.insert(SK.to_owned(), text(sk));
    copy.insert(VERSION.to_owned(), number(version));
    copy
}

/// Text is kept as such, so that people can read and edit it in the console.
fn stored(value: &Bytes, content_type: &str) -> AttributeValue {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = essence.starts_with("text/") || essence == Content::JSON || essence.ends_with("+json");
    match std::str::from_utf8(value) {
        Ok(value) if is_text => text(value),
        _ => AttributeValue::B(Blob::new(value.to_vec())),
    }
}

pub(super) fn epoch_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether DynamoDB may have removed the row by now.
pub(super) fn is_expired(item: &Item, now: SystemTime) -> bool {
    number_of(item, EXPIRES).is_some_and(|expires| expires <= epoch_seconds(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::{Key, ServiceName};
    use proptest::prelude::*;

    fn found(attributes: &[(&str, AttributeValue)]) -> Found {
        let mut item = place("TENANT#a", "CONFIG#tenant_config_x");
        item.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        parse(&item)
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(
            value in prop_oneof![any::<Vec<u8>>(), ".*".prop_map(String::into_bytes)],
            content_type in "|text/[a-z]{1,9}|application/(json|x[.]y[+]json; a=b|octet-stream)",
            (secret, deleted, version, marked) in (any::<bool>(), any::<bool>(), 1..u64::MAX, any::<bool>()),
            (seconds, nanos) in (0_u64..100_000_000_000, 0_u32..1_000_000_000),
            author in ".{0,40}",
        ) {
            let value = if deleted { Bytes::new() } else { value.into() };
            let row = Row {
                content: Content::new(value, &content_type, secret, limits::VALUE_BYTES).unwrap(),
                version,
                modified: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos),
                author,
                deleted,
                mark: marked.then(|| Mark { id: "1-a".into(), size: 7 }),
            };
            let address = Address {
                service: Some(ServiceName::new("cart").unwrap()),
                key: Key::new("tenant_config_x").unwrap(),
            };
            let item = row.to_item("p", "s");
            let read = parse(&item);
            prop_assert!(read.remarks.is_empty() && read.unfit.is_none(), "{:?}", read.remarks);
            prop_assert!(read.row == row);
            prop_assert!(!needs_all(&item));
            prop_assert_eq!(read.row.entry(&address).digest(), row.entry(&address).digest());
            // Without the secret, as readings have it, it is the same entry.
            let mut seen = item.clone();
            seen.remove(SECRET_VALUE);
            prop_assert_eq!(parse(&seen).row.entry(&address), row.entry(&address));
        }
    }

    #[test]
    fn rows_of_others_are_read_with_a_remark() {
        let plain = found(&[("value", text("on"))]);
        assert_eq!((plain.row.version, plain.row.modified), (1, SystemTime::UNIX_EPOCH));
        assert_eq!(&*plain.row.content.content_type, Content::TEXT);
        assert!(plain.remarks[0].contains("no `version`"), "{:?}", plain.remarks);
        assert_eq!(found(&[("version", text("12")), ("value", text(""))]).row.version, 12);
        for bad in ["x", "-1", "0", "1.5"] {
            let read = found(&[("version", number(bad)), ("value", text(""))]);
            assert_eq!((read.row.version, read.remarks.len()), (1, 1), "{bad}");
        }
        let object = found(&[("version", number(2)), ("colour", text("red"))]);
        assert_eq!(&object.row.content.value[..], br#"{"colour":"red"}"#);
        let odd = found(&[
            ("version", number(2)),
            ("value", number(5)),
            ("content_type", text("é")),
            ("modified", text("yesterday")),
        ]);
        assert_eq!((&odd.row.content.value[..], odd.remarks.len()), (&b"5"[..], 2));
        assert_eq!(&*odd.row.content.content_type, Content::JSON);
    }

    #[test]
    fn what_may_be_a_secret_is_one() {
        for secret in [AttributeValue::Bool(true), text("yes"), number(1)] {
            let read = found(&[("version", number(2)), ("value", text("s")), ("secret", secret)]);
            assert!(read.row.content.secret && !read.remarks.is_empty());
        }
        let read = found(&[("version", number(2)), ("secret_value", text("s"))]);
        assert!(read.row.content.secret && &read.row.content.value[..] == b"s");
    }

    #[test]
    fn a_value_over_the_limit_is_no_entry() {
        let huge = AttributeValue::L(vec![text("\u{1}".repeat(1_000)); 100]);
        let read = found(&[("version", number(2)), ("value", huge)]);
        assert!(read.unfit.unwrap().contains("at most"));
        assert_eq!(read.row.version, 2);
    }
}
