//! Durations, sizes and numbers, each within its bounds.

use super::super::source::Raw;
use super::super::units::{parse_bytes, parse_duration, show_bytes, show_duration};
use super::{Form, quoted, text};
use std::time::Duration;

/// A duration from `min` to `max`.
pub(in crate::config) struct Span {
    pub(in crate::config) min: Duration,
    pub(in crate::config) max: Duration,
}

impl Form for Span {
    type Value = Duration;

    fn expected(&self) -> String {
        let (min, max) = (show_duration(self.min), show_duration(self.max));
        format!("a duration such as `250ms`, `15s` or `5m`, from {min} to {max}")
    }

    fn parse(&self, raw: &Raw) -> Result<Duration, Option<String>> {
        let duration = text(raw).and_then(parse_duration).ok_or(None)?;
        if (self.min..=self.max).contains(&duration) { Ok(duration) } else { Err(None) }
    }

    fn show(&self, value: &Duration) -> String {
        quoted(&show_duration(*value))
    }
}

/// A size from `min` to `max` bytes.
pub(in crate::config) struct Size {
    pub(in crate::config) min: usize,
    pub(in crate::config) max: usize,
}

impl Form for Size {
    type Value = usize;

    fn expected(&self) -> String {
        let (min, max) = (show_bytes(self.min), show_bytes(self.max));
        format!("a size such as `64KiB`, `1MiB` or plain bytes, from {min} to {max}")
    }

    fn parse(&self, raw: &Raw) -> Result<usize, Option<String>> {
        let bytes = text(raw).and_then(parse_bytes).ok_or(None)?;
        if (self.min..=self.max).contains(&bytes) { Ok(bytes) } else { Err(None) }
    }

    fn show(&self, value: &usize) -> String {
        quoted(&show_bytes(*value))
    }
}

/// A number from 1 to `max`.
pub(in crate::config) struct Count {
    pub(in crate::config) max: usize,
}

impl Form for Count {
    type Value = usize;

    fn expected(&self) -> String {
        format!("a whole number from 1 to {}", self.max)
    }

    fn parse(&self, raw: &Raw) -> Result<usize, Option<String>> {
        let count = text(raw).and_then(|text| text.trim().parse().ok()).ok_or(None)?;
        if (1..=self.max).contains(&count) { Ok(count) } else { Err(None) }
    }

    fn show(&self, value: &usize) -> String {
        value.to_string()
    }
}
