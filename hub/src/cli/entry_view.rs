//! How an entry is printed: JSON that programs may rely on, and table cells.

use super::document;
use super::output::shown;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use confhub_proto::wire;
use serde::Serialize;
use serde_json::value::RawValue;

/// What the JSON of an entry is, for `--help`.
pub(crate) const JSON_HELP: &str = "\
An entry in JSON: {\"key\", \"service\" (null: shared), \"version\", \"modified_at\" (RFC 3339),
\"content_type\", \"secret\", and \"value\"}. The value is itself if its type is JSON, otherwise
a string; \"value_base64\" stands in its place if it is neither. A secret has none.";

/// An entry in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson {
    key: String,
    service: Option<String>,
    version: u64,
    modified_at: String,
    content_type: String,
    secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl EntryJson {
    /// Of an entry; `has_value` is false for deletions and hidden secrets.
    pub(crate) fn new(entry: &wire::Entry, has_value: bool) -> Self {
        let value = has_value.then(|| document::inline(&entry.value, &entry.content_type)).flatten();
        let value_base64 = (has_value && value.is_none()).then(|| BASE64.encode(&entry.value));
        Self {
            key: entry.key.clone(),
            service: Some(entry.service.clone()).filter(|service| !service.is_empty()),
            version: entry.version,
            modified_at: entry.modified_at.unwrap_or_default().to_string(),
            content_type: entry.content_type.clone(),
            secret: entry.secret,
            value,
            value_base64,
        }
    }
}

impl From<&wire::Entry> for EntryJson {
    fn from(entry: &wire::Entry) -> Self {
        Self::new(entry, !entry.secret || !entry.value.is_empty())
    }
}

/// The service as tables show it.
pub(crate) fn service_cell(service: &str) -> String {
    if service.is_empty() { "(shared)".to_owned() } else { service.to_owned() }
}

/// When it was written, to the second.
pub(crate) fn modified_cell(entry: &wire::Entry) -> String {
    time(entry.modified_at.unwrap_or_default())
}

/// A moment, to the second.
pub(crate) fn time(moment: prost_types::Timestamp) -> String {
    prost_types::Timestamp { nanos: 0, ..moment }.to_string()
}

/// The value on one line.
pub(crate) fn value_cell(entry: &wire::Entry) -> String {
    shown(&entry.value, entry.secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Content;

    fn json(value: &'static [u8], content_type: &str, secret: bool) -> serde_json::Value {
        let entry = wire::Entry {
            key: "k".to_owned(),
            value: value.into(),
            content_type: content_type.to_owned(),
            version: 3,
            secret,
            ..Default::default()
        };
        serde_json::to_value(EntryJson::from(&entry)).unwrap()
    }

    #[test]
    fn each_kind_of_value_has_its_form() {
        assert_eq!(json(b"{\"a\": 1}", Content::JSON, false)["value"]["a"], 1);
        assert_eq!(json(b"1", Content::TEXT, false)["value"], "1");
        assert_eq!(json(b"\xff", Content::BINARY, false)["value_base64"], "/w==");
        let secret = json(b"", Content::TEXT, true);
        assert!(secret.get("value").is_none() && secret.get("value_base64").is_none());
        assert_eq!(
            (&secret["service"], &secret["modified_at"]),
            (&serde_json::Value::Null, &"1970-01-01T00:00:00Z".into())
        );
    }
}
