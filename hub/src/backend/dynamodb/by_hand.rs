//! What people and other programs put in the table, read as well as can be.

use super::item::{Item, is_ours};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use confhub_proto::Content;
use serde_json::value::RawValue;

/// The bytes of an attribute, and the media type that fits them.
pub(super) fn value(value: &AttributeValue) -> (Vec<u8>, &'static str) {
    match value {
        AttributeValue::S(text) => {
            let json = text.trim_start().starts_with(['{', '['])
                && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            (text.clone().into_bytes(), if json { Content::JSON } else { Content::TEXT })
        }
        AttributeValue::B(bytes) => (bytes.as_ref().to_vec(), Content::BINARY),
        value => {
            let mut json = String::new();
            write(&mut json, value);
            (json.into_bytes(), Content::JSON)
        }
    }
}

/// A JSON object of all attributes that are not ours.
pub(super) fn others(item: &Item) -> Vec<u8> {
    let mut json = String::new();
    write_map(&mut json, item.iter().filter(|(name, _)| !is_ours(name)));
    json.into_bytes()
}

/// Writes a value as JSON. Maps and sets have no order in the table, so they are
/// sorted: the same row always gives the same bytes.
fn write(json: &mut String, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => write_text(json, text),
        AttributeValue::N(digits) => write_number(json, digits),
        AttributeValue::B(bytes) => write_text(json, &BASE64.encode(bytes)),
        AttributeValue::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        AttributeValue::L(list) => write_list(json, list, write),
        AttributeValue::M(map) => write_map(json, map.iter()),
        AttributeValue::Ss(texts) => {
            let mut texts = texts.clone();
            texts.sort_unstable();
            write_list(json, &texts, |json, text| write_text(json, text));
        }
        AttributeValue::Ns(numbers) => {
            let mut numbers = numbers.clone();
            numbers.sort_unstable_by(|a, b| {
                let float = |digits: &str| digits.parse::<f64>().unwrap_or(f64::NAN);
                float(a).total_cmp(&float(b)).then_with(|| a.cmp(b))
            });
            write_list(json, &numbers, |json, digits| write_number(json, digits));
        }
        AttributeValue::Bs(blobs) => {
            let mut blobs: Vec<&[u8]> = blobs.iter().map(AsRef::as_ref).collect();
            blobs.sort_unstable();
            write_list(json, &blobs, |json, bytes| write_text(json, &BASE64.encode(bytes)));
        }
        _ => json.push_str("null"),
    }
}

fn write_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

/// DynamoDB has up to 38 digits, which no float keeps: they are written as they are.
fn write_number(json: &mut String, digits: &str) {
    match RawValue::from_string(digits.to_owned()) {
        Ok(_) => json.push_str(digits),
        Err(_) => write_text(json, digits),
    }
}

fn write_list<T>(json: &mut String, list: &[T], each: impl Fn(&mut String, &T)) {
    json.push('[');
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        each(json, value);
    }
    json.push(']');
}

fn write_map<'a>(json: &mut String, map: impl Iterator<Item = (&'a String, &'a AttributeValue)>) {
    let mut fields: Vec<_> = map.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    json.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_text(json, name);
        json.push(':');
        write(json, value);
    }
    json.push('}');
}

#[cfg(test)]
mod tests {
    use super::super::item::{number, place, text};
    use super::*;
    use aws_sdk_dynamodb::primitives::Blob;
    use std::collections::HashMap;

    #[test]
    fn each_kind_of_attribute_has_a_reading() {
        let json = |value_: &AttributeValue| {
            let (bytes, kind) = value(value_);
            assert_eq!(kind, Content::JSON);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(value(&text("a")), (b"a".to_vec(), Content::TEXT));
        assert_eq!(value(&text(" {\"a\":1}")), (b" {\"a\":1}".to_vec(), Content::JSON));
        assert_eq!(value(&text("[1")), (b"[1".to_vec(), Content::TEXT));
        assert_eq!(value(&AttributeValue::B(Blob::new([1]))), (vec![1], Content::BINARY));
        let long = "12345678901234567890123456789012345678";
        assert_eq!(json(&number(long)), long);
        assert_eq!(json(&AttributeValue::Bool(true)), "true");
        assert_eq!(json(&AttributeValue::Null(true)), "null");
        assert_eq!(json(&AttributeValue::Ss(vec!["b".to_owned(), "a\"".to_owned()])), r#"["a\"","b"]"#);
        assert_eq!(json(&AttributeValue::Ns(vec!["10".to_owned(), "9".to_owned()])), "[9,10]");
        let map = HashMap::from([("b".to_owned(), number(1)), ("a".to_owned(), AttributeValue::L(vec![]))]);
        assert_eq!(json(&AttributeValue::M(map)), r#"{"a":[],"b":1}"#);
    }

    #[test]
    fn a_row_without_a_value_is_what_else_it_has() {
        let mut item = place("TENANT#a", "CONFIG#b");
        item.insert("version".to_owned(), number(3));
        item.insert("ttl_s".to_owned(), number(30));
        item.insert("host".to_owned(), text("db"));
        assert_eq!(others(&item), br#"{"host":"db","ttl_s":30}"#);
    }
}
