//! Yes or no.

use super::super::source::Raw;
use super::{Form, text};

/// `true` or `false`.
pub(in crate::config) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<bool, Option<String>> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            _ => text(raw).and_then(|text| text.parse().ok()).ok_or(None),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}
