//! From entries to a document.

use super::Address;
use super::content::{BASE64_VALUE, CONTENT_TYPE, JSON, SECRET, TEXT, is_reserved};
use super::json::{Source, is_embeddable};
use crate::cli::value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use confhub_proto::{Content, Entry};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Writes entries as a document that reads back as it was. Secrets become
/// markers.
pub(crate) fn export(entries: &[Entry]) -> serde_json::Result<Vec<u8>> {
    let mut file = File::default();
    for entry in entries {
        let section = match (entry.service(), entry.is_secret()) {
            (None, false) => &mut file.shared,
            (None, true) => &mut file.secrets,
            (Some(service), _) => file.services.entry(service.to_string()).or_default(),
        };
        section.insert(entry.key().to_string(), Value::of(entry));
    }
    let mut text = serde_json::to_vec_pretty(&file)?;
    text.push(b'\n');
    Ok(text)
}

/// The JSON to print for a value: itself if it is JSON, otherwise a string;
/// `None` if it is neither.
pub(crate) fn inline(value: &[u8], content_type: &str) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(value).ok()?;
    if is_json(content_type)
        && Source::check("", value).is_ok()
        && let Ok(raw) = RawValue::from_string(one_line(text))
    {
        return Some(raw);
    }
    serde_json::value::to_raw_value(text).ok()
}

/// Where an entry is, for whoever compares documents with a hub.
pub(crate) fn address(entry: &Entry) -> Address {
    Address { service: entry.service().cloned(), key: entry.key().clone() }
}

#[derive(Default, Serialize)]
struct File {
    shared: BTreeMap<String, Value>,
    services: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Json(Box<RawValue>),
    Explicit(BTreeMap<&'static str, Self>),
    Bool(bool),
}

impl Value {
    fn of(entry: &Entry) -> Self {
        let content_type = || (CONTENT_TYPE, Self::Text(entry.content_type().to_owned()));
        if entry.is_secret() {
            return Self::Explicit([content_type(), (SECRET, Self::Bool(true))].into());
        }
        let Ok(text) = std::str::from_utf8(entry.value()) else {
            let value = Self::Text(BASE64.encode(entry.value()));
            return Self::Explicit([content_type(), (BASE64_VALUE, value)].into());
        };
        if entry.content_type() == Content::TEXT {
            return Self::Text(text.to_owned());
        }
        let json = match is_json(entry.content_type()) && is_embeddable(text) {
            true => RawValue::from_string(text.to_owned()).ok().filter(|raw| raw.get() == text),
            false => None,
        };
        match json {
            Some(json) if entry.content_type() == plain_type(entry) && stands_alone(text) => Self::Json(json),
            Some(json) => Self::Explicit([content_type(), (JSON, Self::Json(json))].into()),
            None => Self::Explicit([content_type(), (TEXT, Self::Text(text.to_owned()))].into()),
        }
    }
}

/// What JSON without a content type beside it is.
fn plain_type(entry: &Entry) -> &'static str {
    value::flag_type(entry.key().as_str()).unwrap_or(Content::JSON)
}

/// Whether JSON without a content type beside it means itself: a string would
/// mean text, and an object with reserved members the explicit form.
fn stands_alone(json: &str) -> bool {
    match Source::check("", json.as_bytes()).map(Source::root) {
        Ok(root) if root.is_object() => {
            root.members().is_ok_and(|members| !members.iter().any(|(name, _)| is_reserved(name)))
        }
        Ok(root) => !root.is_string(),
        Err(_) => false,
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence == Content::JSON || essence.ends_with("+json")
}

/// JSON without the blanks between its parts.
fn one_line(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        let blank = !in_string && matches!(c, ' ' | '\t' | '\r' | '\n');
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *c == '\\' && !escaped;
        !blank
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Item, Naming, read};
    use super::*;
    use confhub_proto::{Key, ServiceName, limits};
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn entry(service: Option<&str>, key: &str, value: &[u8], content_type: &str, secret: bool) -> Entry {
        let value = value.to_vec().into();
        let content = Content::new(value, content_type, secret, limits::VALUE_BYTES).unwrap();
        let service = service.map(|name| ServiceName::new(name).unwrap());
        Entry::new(Key::new(key).unwrap(), service, content, 1, SystemTime::UNIX_EPOCH)
    }

    fn expected(entries: &[Entry]) -> Document {
        let item = |entry: &Entry| match entry.is_secret() {
            true => Item::Marker,
            false => Item::Content(Content {
                value: entry.value().clone(),
                content_type: entry.content_type().into(),
                secret: false,
            }),
        };
        entries.iter().map(|entry| (address(entry), item(entry))).collect()
    }

    fn back(entries: &[Entry]) -> Document {
        let text = export(entries).unwrap();
        read("export", &text, &Naming::offline(None)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn values_that_look_like_something_else_come_back_as_they_were() {
        let deep = "[".repeat(120) + &"]".repeat(120);
        let json = Content::JSON;
        for (value, content_type) in [
            ("\"text\"", json),
            ("{\"$text\": 1}", json),
            ("{\"$ref\": 1}", json),
            (" 1", json),
            ("1\n", json),
            ("1e999", json),
            ("{\"a\":1,\"a\":1}", json),
            ("\"\\ud800\"", json),
            ("{", json),
            ("", json),
            (&deep, json),
            ("{ \"a\" : 1.000 }", json),
            ("{ \"a\" : 1.000 }", "application/vnd.flagd.flag+json"),
            ("{ \"a\" : 1.000 }", confhub_flags::FLAG_TYPE),
            ("{ \"$schema\" : \"x\" }", confhub_flags::SET_TYPE),
            ("\"text\"", confhub_flags::FLAG_TYPE),
            ("x", "text/plain"),
            ("", Content::TEXT),
            ("\u{0}\u{1b}\"", Content::TEXT),
        ] {
            for key in ["k", "tenant_config_flag.a", confhub_flags::SET_KEY] {
                let entries = [entry(None, key, value.as_bytes(), content_type, false)];
                assert_eq!(back(&entries), expected(&entries), "{key} {value} {content_type}");
            }
        }
    }

    #[test]
    fn an_export_is_pleasant_to_read() {
        let entries = [
            entry(None, "a", b"text", Content::TEXT, false),
            entry(None, "b", b"{\"x\": 1}", "application/vnd.x+json", false),
            entry(None, "s", b"hunter2", Content::TEXT, true),
            entry(Some("ad"), "a", b"9555", Content::JSON, false),
        ];
        let text = String::from_utf8(export(&entries).unwrap()).unwrap();
        assert!(!text.contains("hunter2"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "shared": {"a": "text", "b": {"$content_type": "application/vnd.x+json", "$json": {"x": 1}}},
            "services": {"ad": {"a": 9555}},
            "secrets": {"s": {"$content_type": Content::TEXT, "$secret": true}},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_printed_value_stays_on_its_line() {
        let shown = |value: &str| inline(value.as_bytes(), Content::JSON).map(|raw| raw.get().to_owned());
        assert_eq!(shown("{\n \"a b\\\" c\" : [ 1.0,\t2 ] }").as_deref(), Some("{\"a b\\\" c\":[1.0,2]}"));
        assert_eq!(shown("not json").as_deref(), Some("\"not json\""));
        assert_eq!(shown("\"a\\\\\" ").as_deref(), Some("\"a\\\\\""));
        assert!(inline(&[0xff], Content::JSON).is_none());
    }

    fn any_value() -> impl Strategy<Value = Vec<u8>> {
        let json = prop_oneof![
            Just("null".to_owned()),
            any::<f64>().prop_map(|number| number.to_string()),
            ".*".prop_map(|text| serde_json::to_string(&text).unwrap()),
            ("[$a-z]{0,4}|[$](text|json|secret)", 0_u8..9)
                .prop_map(|(name, n)| format!("{{\"{name}\" : {n}}}")),
            "[\\[\\]{}\":, 0-9a\\\\\n]{0,12}",
        ];
        prop_oneof![json.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..40)]
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let content_type = prop_oneof![
            Just(Content::TEXT),
            Just(Content::JSON),
            Just(Content::BINARY),
            Just("text/plain"),
            Just("application/vnd.flagd.flag+json"),
            Just(confhub_flags::FLAG_TYPE),
            Just("a \"b\""),
        ];
        let service = prop::option::of("[a-c]");
        let key = prop_oneof![4 => "[a-z0-9][a-z_.$-]{0,3}", 1 => "tenant_config_flag[.][a-c]"];
        (service, key, any_value(), content_type, prop::bool::weighted(0.1)).prop_map(
            |(service, key, value, content_type, secret)| {
                let key = key.replace('$', "x");
                entry(service.as_deref(), &key, &value, content_type, secret)
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_exported_is_imported_as_it_was(entries in prop::collection::vec(any_entry(), 0..12)) {
            let mut unique: Vec<Entry> = Vec::new();
            for entry in entries {
                if !unique.iter().any(|other| address(other) == address(&entry)) {
                    unique.push(entry);
                }
            }
            prop_assert_eq!(back(&unique), expected(&unique));
        }
    }
}
