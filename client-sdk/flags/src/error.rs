//! What is wrong with a definition, and where.

use crate::Slot;
use crate::limits::{FAULTS, POINTER_CHARS, REASON_CHARS, SHOWN_CHARS};
use serde_json::Value;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901) into the definition; empty: the whole. It has
    /// names as they are written, which may be any; what is printed of it is fit for people.
    pub pointer: String,
    /// Line and column, both from 1, of what is no JSON.
    pub position: Option<(usize, usize)>,
    /// The beginning of the value that stands there, as JSON.
    pub value: Option<String>,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(pointer: &str, value: Option<&Value>, reason: impl Into<String>) -> Self {
        let value = value.map(|value| fit(&value.to_string(), SHOWN_CHARS));
        Self { pointer: pointer.to_owned(), position: None, value, reason: fit(&reason.into(), REASON_CHARS) }
    }
}

/// The beginning of a text for a terminal or a log, which no character in it can lead
/// astray: names in a definition may have any.
fn fit(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for (at, c) in text.chars().enumerate() {
        if at == most {
            shown.push('…');
            break;
        }
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line} column {column}, ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "`{}`", fit(&self.pointer, POINTER_CHARS))?;
            match &self.value {
                Some(value) => write!(f, " = {value}: ")?,
                None => f.write_str(": ")?,
            }
        }
        f.write_str(&self.reason)
    }
}

/// All that is wrong with one entry, or with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Which entry it is; `None`: a file that is none, or none yet.
    pub slot: Option<Slot>,
    /// What is wrong: at least one thing, and at most
    /// [`limits::FAULTS`](crate::limits::FAULTS).
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: usize,
}

impl Faults {
    pub(crate) fn new(slot: Option<Slot>) -> Self {
        Self { slot, faults: Vec::new(), more: 0 }
    }

    pub(crate) fn of(slot: Option<&Slot>, fault: Fault) -> Self {
        Self { slot: slot.cloned(), faults: vec![fault], more: 0 }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn into_result<T>(self, good: T) -> Result<T, Self> {
        if self.faults.is_empty() { Ok(good) } else { Err(self) }
    }

    /// The same for a log, where a value has no place: which entry and where, but not
    /// what stands there.
    #[must_use]
    pub fn without_values(&self) -> String {
        let places: Vec<_> =
            self.faults.iter().map(|fault| format!("`{}`", fit(&fault.pointer, POINTER_CHARS))).collect();
        let subject = self.slot.as_ref().map_or_else(|| "the file".to_owned(), ToString::to_string);
        format!("{subject} is bad at {}", places.join(", "))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slot) = &self.slot {
            write!(f, "{slot}: ")?;
        }
        for (at, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use crate::{Common, FlagName, check_flag};

    #[test]
    fn names_lead_no_terminal_or_log_astray_and_are_told_in_part() {
        let long = "n".repeat(5_000);
        let text = serde_json::json!({"state": "ENABLED", "variants": {"\u{1b}[2J\n": 1, &long: "x"},
            "defaultVariant": "\u{9b}", "metadata": {"\u{1b}]0;x\u{7}": {}}, "targeting": {"\r\n": [&long]}});
        let name = FlagName::new("f").unwrap();
        let refused = check_flag(&name, text.to_string().as_bytes(), &Common::default()).unwrap_err();
        for fault in &refused.faults {
            assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
            assert!(fault.to_string().len() < 1_000, "{fault}");
        }
        assert!(!refused.without_values().contains(char::is_control));
        assert!(refused.to_string().contains(r"`/metadata/\u{1b}]0;x\u{7}` = {}: "), "{refused}");
        // Programs get the place as it is.
        assert!(refused.faults.iter().any(|fault| fault.pointer == "/metadata/\u{1b}]0;x\u{7}"));
    }
}
