//! What is logged, and how.

use super::super::source::Raw;
use super::{Form, Text, quoted};

/// Levels of logs.
pub(in crate::config) struct Filter;

impl Form for Filter {
    type Value = String;

    fn expected(&self) -> String {
        "a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), also by target: `warn,confhub=debug`"
            .to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Option<String>> {
        let text = Text.parse(raw)?;
        crate::telemetry::parse_filter(&text).map_err(Some)?;
        Ok(text)
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}
