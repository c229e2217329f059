//! A definition as it is written, of which one member changes and all others keep
//! every byte.

use crate::document::{members, quoted};
use crate::error::Faults;
use serde_json::Value;
use std::fmt;

/// The members of a definition, in their order, each with its text.
///
/// ```
/// use confhub_flags::DefinitionText;
///
/// let mut text = DefinitionText::parse(br#"{"variants": {"on": 1.50}, "state": "ENABLED"}"#).unwrap();
/// text.set("state", "\"DISABLED\"");
/// assert_eq!(text.to_string(), "{\n  \"variants\": {\"on\": 1.50},\n  \"state\": \"DISABLED\"\n}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DefinitionText(Vec<(String, String)>);

impl DefinitionText {
    /// Reads a definition. Whether it is a good one is not looked at: see
    /// [`check_flag`](crate::check_flag).
    ///
    /// # Errors
    /// If it is no JSON object, or has a member twice.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        let members = members("", text)?;
        Ok(Self(members.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect()))
    }

    /// The text of a member; `None`: there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, text)| text.as_str())
    }

    /// The value of a member; null if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> Value {
        self.get(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Sets a member to what `json` says, which must be JSON. One that was there keeps
    /// its place.
    pub fn set(&mut self, name: &str, json: impl Into<String>) {
        let json = json.into();
        match self.0.iter_mut().find(|(member, _)| member == name) {
            Some((_, text)) => *text = json,
            None => self.0.push((name.to_owned(), json)),
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(member, _)| member != name);
    }
}

impl fmt::Display for DefinitionText {
    /// The definition: a line for each member, unless its own text has several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, text)) in self.0.iter().enumerate() {
            write!(f, "{}\n  {}: {text}", if at == 0 { "" } else { "," }, quoted(name))?;
        }
        f.write_str(if self.0.is_empty() { "}" } else { "\n}" })
    }
}
