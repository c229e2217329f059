//! What is wrong with a message.

use super::{BODY_BYTES, RECORDS};
use serde_json::Value;

/// Longest part of an offending field that an error repeats, in characters. A
/// field may hold anything: it is escaped, and never a whole body.
const SHOWN_CHARS: usize = 48;

/// A message that is none of the known events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is over the limit.
    #[error("the message has {bytes} bytes; at most {BODY_BYTES} are read")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// Too many records in one body.
    #[error("the message has {records} records; at most {RECORDS} are read")]
    TooMany {
        /// How many there are.
        records: usize,
    },
    /// The body, or the message in its envelope, is not JSON.
    #[error("the message is not JSON: {reason}")]
    NotJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// It is JSON, and none of the events.
    #[error(
        "the message is {found}, none of the known events; expected is an EventBridge event, a record of a \
         DynamoDB stream, an array of those, or one of them in an SNS envelope"
    )]
    Unknown {
        /// What it is.
        found: &'static str,
    },
    /// It lacks what an event of its kind has.
    #[error("the {kind} has no `{field}`")]
    Lacks {
        /// What it looks like.
        kind: &'static str,
        /// What is missing.
        field: &'static str,
    },
    /// What an event of its kind has is something else.
    #[error("`{field}` of the {kind} is {shown}; expected is {expected}")]
    Field {
        /// What it looks like.
        kind: &'static str,
        /// Which field.
        field: &'static str,
        /// The beginning of what it is, escaped.
        shown: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Malformed {
    pub(super) fn field(
        kind: &'static str,
        field: &'static str,
        value: &Value,
        expected: &'static str,
    ) -> Self {
        let shown = match value {
            Value::String(text) => excerpt(text),
            other => described(other).to_owned(),
        };
        Self::Field { kind, field, shown, expected }
    }

    pub(super) fn unknown(value: &Value) -> Self {
        Self::Unknown { found: described(value) }
    }
}

fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
