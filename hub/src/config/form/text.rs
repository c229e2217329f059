//! Texts, words and paths.

use super::super::AuditTo;
use super::super::source::Raw;
use super::{Form, quoted, text};
use confhub_proto::TenantId;
use std::path::PathBuf;

/// Text that is not empty.
pub(in crate::config) struct Text;

impl Form for Text {
    type Value = String;

    fn expected(&self) -> String {
        "a text".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Option<String>> {
        text(raw).filter(|text| !text.is_empty()).map(str::to_owned).ok_or(None)
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// Text; empty: none.
pub(in crate::config) struct OptionalText;

impl Form for OptionalText {
    type Value = Option<String>;

    fn expected(&self) -> String {
        "a text (empty: none)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<String>, Option<String>> {
        let text = text(raw).ok_or(None)?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self, value: &Option<String>) -> String {
        quoted(value.as_deref().unwrap_or_default())
    }
}

/// The name of a tenant; empty: none.
pub(in crate::config) struct OptionalTenant;

impl Form for OptionalTenant {
    type Value = Option<TenantId>;

    fn expected(&self) -> String {
        "the name of a tenant (empty: none)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<TenantId>, Option<String>> {
        let name = OptionalText.parse(raw)?;
        if name.as_deref() == Some(crate::auth::HUB_TENANT) {
            return Err(Some("no token can be of the hub itself".to_owned()));
        }
        name.map(|name| TenantId::new(&name)).transpose().map_err(|error| Some(error.to_string()))
    }

    fn show(&self, value: &Option<TenantId>) -> String {
        quoted(value.as_ref().map_or("", TenantId::as_str))
    }
}

/// A path, `-` for standard output, or `off`.
pub(in crate::config) struct Audit;

impl Form for Audit {
    type Value = AuditTo;

    fn expected(&self) -> String {
        "`off`, `-` (standard output) or the path of a file".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<AuditTo, Option<String>> {
        Ok(match Text.parse(raw)?.as_str() {
            "off" => AuditTo::Off,
            "-" => AuditTo::Output,
            path => AuditTo::File(path.into()),
        })
    }

    fn show(&self, value: &AuditTo) -> String {
        match value {
            AuditTo::Off => quoted("off"),
            AuditTo::Output => quoted("-"),
            AuditTo::File(path) => Path.show(path),
        }
    }
}

/// Words, as a file's array or with commas between them.
pub(in crate::config) struct Words;

impl Form for Words {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        "an array of texts, or texts with commas between them".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Vec<String>, Option<String>> {
        let words: Vec<String> = match raw {
            Raw::List(items) => items.clone(),
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
            _ => return Err(None),
        };
        if words.iter().any(String::is_empty) {
            return Err(Some("one of them is empty".to_owned()));
        }
        Ok(words)
    }

    fn show(&self, value: &Vec<String>) -> String {
        let words: Vec<_> = value.iter().map(|word| quoted(word)).collect();
        format!("[{}]", words.join(", "))
    }
}

/// A path.
pub(in crate::config) struct Path;

impl Form for Path {
    type Value = PathBuf;

    fn expected(&self) -> String {
        "a path".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<PathBuf, Option<String>> {
        Text.parse(raw).map(PathBuf::from)
    }

    fn show(&self, value: &PathBuf) -> String {
        quoted(&value.to_string_lossy())
    }
}

/// A path; empty: none.
pub(in crate::config) struct OptionalPath;

impl Form for OptionalPath {
    type Value = Option<PathBuf>;

    fn expected(&self) -> String {
        "a path (empty: none)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<PathBuf>, Option<String>> {
        Ok(OptionalText.parse(raw)?.map(PathBuf::from))
    }

    fn show(&self, value: &Option<PathBuf>) -> String {
        value.as_ref().map_or_else(|| quoted(""), |path| Path.show(path))
    }
}
