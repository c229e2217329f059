//! One parameter, and the entry that it is.

use crate::config::StringLists;
use crate::source::Address;
use aws_sdk_ssm::primitives::DateTime;
use aws_sdk_ssm::types::{Parameter, ParameterHistory, ParameterType};
use bytes::Bytes;
use confhub_proto::{Content, Entry};
use std::time::SystemTime;

/// A parameter as any of the calls gives it. Its value never appears in a log:
/// there is no `Debug`.
pub(super) struct Raw {
    pub(super) kind: ParameterType,
    pub(super) value: String,
    version: i64,
    modified: Option<DateTime>,
}

/// A parameter that is an entry.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) kind: ParameterType,
    pub(super) entry: Entry,
}

impl From<Parameter> for Raw {
    fn from(p: Parameter) -> Self {
        let Parameter { r#type, value, version, last_modified_date, .. } = p;
        Self::new(r#type, value, version, last_modified_date)
    }
}

impl From<ParameterHistory> for Raw {
    fn from(p: ParameterHistory) -> Self {
        let ParameterHistory { r#type, value, version, last_modified_date, .. } = p;
        Self::new(r#type, value, version, last_modified_date)
    }
}

impl Raw {
    fn new(
        kind: Option<ParameterType>,
        value: Option<String>,
        version: i64,
        modified: Option<DateTime>,
    ) -> Self {
        let kind = kind.unwrap_or_else(|| ParameterType::from("none"));
        Self { kind, value: value.unwrap_or_default(), version, modified }
    }

    /// The entry at `address` that this parameter is, or why it is none. The
    /// value of a secret, encrypted as it comes without being asked for, is
    /// dropped.
    pub(super) fn stored(self, address: &Address, lists: StringLists) -> Result<Stored, String> {
        let Self { kind, value, version, modified } = self;
        let version = u64::try_from(version).map_err(|_| format!("its version is {version}"))?;
        let modified = modified.map(SystemTime::try_from);
        let Some(Ok(modified)) = modified else {
            return Err("the time of its modification is missing or out of range".to_owned());
        };
        let content = content(&kind, value, lists)?;
        let entry = Entry::new(address.key.clone(), address.service.clone(), content, version, modified);
        Ok(Stored { kind, entry })
    }
}

/// What a parameter of type `kind` holds. For a secret too: the entry drops it.
pub(super) fn content(kind: &ParameterType, value: String, lists: StringLists) -> Result<Content, String> {
    let (value, content_type) = match kind {
        ParameterType::String => {
            let content_type = text_type(&value);
            (value, content_type)
        }
        ParameterType::SecureString => (value, Content::TEXT),
        ParameterType::StringList if lists == StringLists::Plain => (value, Content::TEXT),
        ParameterType::StringList => {
            let parts: Vec<_> = value.split(',').collect();
            (serde_json::Value::from(parts).to_string(), Content::JSON)
        }
        other => return Err(format!("its type is {other}, which is not known here")),
    };
    let secret = *kind == ParameterType::SecureString;
    Ok(Content { value: Bytes::from(value), content_type: content_type.into(), secret })
}

/// What a text is taken for, since Parameter Store keeps no media type. The
/// same as `confhub put` takes it for: JSON if it parses as JSON. So `5` that is
/// put is read back as what was put.
pub(super) fn text_type(value: &str) -> &'static str {
    let json = serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok();
    if json { Content::JSON } else { Content::TEXT }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;

    fn read(kind: &str, value: &str, lists: StringLists) -> (String, String, bool) {
        let content = content(&ParameterType::from(kind), value.to_owned(), lists).unwrap();
        let value = String::from_utf8(content.value.to_vec()).unwrap();
        (value, content.content_type.to_string(), content.secret)
    }

    #[test]
    fn each_type_is_read_as_what_it_is() {
        let json = StringLists::Json;
        for (kind, value, lists, expected, content_type) in [
            ("String", "hello", json, "hello", Content::TEXT),
            ("String", "{\"a\": 1}", json, "{\"a\": 1}", Content::JSON),
            ("String", "5", json, "5", Content::JSON),
            ("String", "{a", json, "{a", Content::TEXT),
            ("StringList", "a,b", json, "[\"a\",\"b\"]", Content::JSON),
            ("StringList", "a \"q\",,", json, "[\"a \\\"q\\\"\",\"\",\"\"]", Content::JSON),
            ("StringList", "a,b", StringLists::Plain, "a,b", Content::TEXT),
            ("StringList", "5", StringLists::Plain, "5", Content::TEXT),
        ] {
            let found = read(kind, value, lists);
            assert_eq!(found, (expected.to_owned(), content_type.to_owned(), false), "{kind} {value}");
        }
        assert!(content(&ParameterType::from("Blob"), String::new(), json).is_err());
    }

    #[test]
    fn a_secret_keeps_no_value_and_what_is_not_whole_is_no_entry() {
        let address = Address { service: None, key: Key::new("param_config_x").unwrap() };
        let raw = |version, modified| Raw {
            kind: ParameterType::SecureString,
            value: "hunter2".to_owned(),
            version,
            modified,
        };
        let at = DateTime::from_secs_f64(1_523_477_145.713);
        let stored = raw(7, Some(at)).stored(&address, StringLists::Json).unwrap();
        assert!(stored.entry.is_secret() && stored.entry.value().is_empty());
        assert_eq!(stored.entry.version(), 7);
        assert!(!format!("{stored:?}").contains("hunter2"));
        assert!(raw(-1, Some(at)).stored(&address, StringLists::Json).is_err());
        assert!(raw(1, None).stored(&address, StringLists::Json).is_err());
    }
}
