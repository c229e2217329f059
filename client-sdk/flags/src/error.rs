//! What is wrong with a definition, and where.

use crate::Slot;
use crate::limits::{FAULTS, SHOWN_CHARS};
use serde_json::Value;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901) into the definition; empty: the whole.
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
        let value = value.map(|value| {
            let text = value.to_string();
            let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
            if text.chars().nth(SHOWN_CHARS).is_some() {
                shown.push('…');
            }
            shown
        });
        Self { pointer: pointer.to_owned(), position: None, value, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line} column {column}, ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "`{}`", self.pointer)?;
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
        let places: Vec<_> = self.faults.iter().map(|fault| format!("`{}`", fault.pointer)).collect();
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
