//! Files of changes for `apply`: all of them or none.

use super::error::DocumentError;
use super::json::{Node, Source};
use super::{Address, Item, content};
use confhub_proto::{Key, ServiceName, limits, wire};
use std::collections::HashSet;

/// Reads `{"changes": [{"put": {…}}, {"delete": {…}}]}`.
pub(crate) fn changes(file: &str, bytes: &[u8]) -> Result<Vec<wire::Change>, DocumentError> {
    let root = Source::check(file, bytes)?.root();
    let mut changes = Vec::new();
    let mut seen = HashSet::new();
    for (name, node) in root.members()? {
        if name != "changes" {
            return Err(node.error("is not known here: expected changes"));
        }
        for node in node.items()? {
            let (address, change) = change(&node)?;
            if !seen.insert(address.clone()) {
                return Err(node.error(format!("`{address}` is changed twice")));
            }
            changes.push(change);
        }
    }
    match changes.len() {
        0 => Err(root.error("has no changes: expected {\"changes\": [{\"put\": {…}}, {\"delete\": {…}}]}")),
        1..=limits::APPLY_CHANGES => Ok(changes),
        n => Err(root.error(format!("has {n} changes; one apply takes at most {}", limits::APPLY_CHANGES))),
    }
}

fn change(node: &Node<'_>) -> Result<(Address, wire::Change), DocumentError> {
    let expected = "expected an object with one member, put or delete";
    let Ok([(action, body)]) = <[_; 1]>::try_from(node.members()?) else {
        return Err(node.error(expected));
    };
    let fields = Fields::read(&body)?;
    let address =
        Address { key: fields.key.ok_or_else(|| body.error("has no key"))?, service: fields.service };
    let action = match (action.as_str(), fields.value) {
        ("put", Some(content)) => wire::change::Action::Put(content),
        ("put", None) => return Err(body.error("has no value")),
        ("delete", None) if !fields.secret => wire::change::Action::Delete(wire::Deletion {}),
        ("delete", _) => return Err(body.error("is a deletion and takes key, service, expected_version")),
        _ => return Err(body.error(expected)),
    };
    let change = wire::Change {
        key: address.key.to_string(),
        service: address.wire_service(),
        expected_version: fields.expected_version,
        action: Some(action),
    };
    Ok((address, change))
}

#[derive(Default)]
struct Fields {
    key: Option<Key>,
    service: Option<ServiceName>,
    expected_version: Option<u64>,
    secret: bool,
    value: Option<wire::Content>,
}

impl Fields {
    fn read(body: &Node<'_>) -> Result<Self, DocumentError> {
        let mut fields = Self::default();
        let mut value = None;
        for (name, node) in body.members()? {
            match name.as_str() {
                "key" => fields.key = Some(Key::new(&node.string()?).map_err(|error| node.error(error))?),
                // As the wire spells it: an empty service is the shared one.
                "service" => {
                    let service = node.string()?;
                    if !service.is_empty() {
                        fields.service = Some(ServiceName::new(&service).map_err(|error| node.error(error))?);
                    }
                }
                "expected_version" => fields.expected_version = Some(node.number()?),
                "secret" => fields.secret = node.boolean()?,
                "value" => value = Some(node),
                _ => {
                    return Err(node
                        .error("is not known here: expected key, service, value, secret, expected_version"));
                }
            }
        }
        if let Some(node) = value {
            let Item::Content(content) = content::item(&node, fields.secret, fields.key.as_ref())? else {
                return Err(node.error("is a secret without a value"));
            };
            fields.value = Some(wire::Content {
                value: content.value,
                content_type: content.content_type.to_string(),
                secret: content.secret,
            });
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_in_order() {
        let text = br#"{"changes": [
            {"put": {"key": "a", "value": {"limit": 1}, "expected_version": 0}},
            {"put": {"key": "a", "service": "ad", "value": "s", "secret": true}},
            {"delete": {"key": "b", "expected_version": 7}}]}"#;
        let changes = changes("f", text).unwrap();
        let versions: Vec<_> = changes.iter().map(|change| change.expected_version).collect();
        assert_eq!(versions, [Some(0), None, Some(7)]);
        let Some(wire::change::Action::Put(content)) = &changes[1].action else { panic!("no put") };
        assert!(content.secret && content.value == "s" && changes[1].service == "ad");
        assert_eq!(changes[2].action, Some(wire::change::Action::Delete(wire::Deletion {})));
    }

    #[test]
    fn malformed_changes_are_named() {
        for (text, said) in [
            (r#"{}"#, "has no changes"),
            (r#"{"changes": [{}]}"#, "f:1:14: `changes[0]`: expected an object with one member"),
            (r#"{"changes": [{"put": {"key": "a"}}]}"#, "`changes[0].put`: has no value"),
            (r#"{"changes": [{"put": {"value": 1}}]}"#, "has no key"),
            (r#"{"changes": [{"delete": {"key": "a", "value": 1}}]}"#, "is a deletion"),
            (
                r#"{"changes": [{"put": {"key": "a", "value": 1, "x": 1}}]}"#,
                "`changes[0].put.x`: is not known",
            ),
            (r#"{"changes": [{"put": {"key": "a", "value": {"$secret": true}}}]}"#, "without a value"),
            (r#"{"changes": [{"delete": {"key": "a", "expected_version": -1}}]}"#, "a whole number"),
            (r#"{"changes": [{"delete": {"key": "a"}}, {"delete": {"key": "a"}}]}"#, "`a` is changed twice"),
        ] {
            let error = changes("f", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
