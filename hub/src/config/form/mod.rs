//! The forms that a setting's value can have: how each is read, shown, and
//! described to whoever got it wrong.

mod choice;
mod issuers;
mod log;
mod measure;
mod origins;
mod place;
mod switch;
mod text;

use super::source::Raw;

pub(super) use choice::Choice;
pub(super) use issuers::{ClaimName, Issuers, TOKEN_USE};
pub(super) use log::Filter;
pub(super) use measure::{Count, Size, Span};
pub(super) use origins::Origins;
pub(super) use place::{Address, Location, Routes};
pub(super) use switch::Switch;
pub(super) use text::{Audit, OptionalPath, OptionalTenant, OptionalText, Path, Text, Words};

/// A form of values.
pub(in crate::config) trait Form {
    /// What it becomes.
    type Value;

    /// What is expected, to follow "expected is ".
    fn expected(&self) -> String;

    /// Reads a value. `Err`: the reason, beyond what is expected anyway.
    fn parse(&self, raw: &Raw) -> Result<Self::Value, Option<String>>;

    /// The value in TOML, as [`Form::parse`] reads it back.
    fn show(&self, value: &Self::Value) -> String;
}

fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) => Some(text),
        _ => None,
    }
}

/// A TOML string. Its escapes are those of JSON, save that DEL needs one too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
