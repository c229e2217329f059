//! The forms that a setting's value can have: how each is read, shown, and
//! described to whoever got it wrong.

use super::source::Raw;
use super::units::{parse_bytes, parse_duration, show_bytes, show_duration};
use super::{JwksLocation, LogFormat};
use confhub_proto::Prefix;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A form of values.
pub(super) trait Form {
    /// What it becomes.
    type Value;

    /// What is expected, to follow "expected is ".
    fn expected(&self) -> String;

    /// Reads a value. `Err`: the reason, beyond what is expected anyway.
    fn parse(&self, raw: &Raw) -> Result<Self::Value, Option<String>>;

    /// The value in TOML, as [`Form::parse`] reads it back.
    fn show(&self, value: &Self::Value) -> String;
}

/// Text that is not empty.
pub(super) struct Text;

/// Text; empty: none.
pub(super) struct OptionalText;

/// Words, as a file's array or with commas between them.
pub(super) struct Words;

/// A path.
pub(super) struct Path;

/// A path; empty: none.
pub(super) struct OptionalPath;

/// An address to listen on.
pub(super) struct Address;

/// A duration from `min` to `max`.
pub(super) struct Span {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

/// A size from `min` to `max` bytes.
pub(super) struct Size {
    pub(super) min: usize,
    pub(super) max: usize,
}

/// A number from 1 to `max`.
pub(super) struct Count {
    pub(super) max: usize,
}

/// Where keys are; empty: nowhere.
pub(super) struct Location;

/// Levels of logs.
pub(super) struct Filter;

/// How log lines look.
pub(super) struct Format;

/// Prefixes and their backends.
pub(super) struct Routes;

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

impl Form for Address {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "an IP address with a port, such as `127.0.0.1:7600`, `0.0.0.0:7600` or `[::]:0`".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<SocketAddr, Option<String>> {
        text(raw).and_then(|text| text.parse().ok()).ok_or(None)
    }

    fn show(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }
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

impl Form for Location {
    type Value = Option<JwksLocation>;

    fn expected(&self) -> String {
        "an `https://` URL, an `http://` URL on loopback, or the path of a file (empty: none)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<JwksLocation>, Option<String>> {
        match text(raw).ok_or(None)? {
            "" => Ok(None),
            url if url.contains("://") => {
                crate::auth::check_jwks_url(url).map_err(Some)?;
                Ok(Some(JwksLocation::Url(url.to_owned())))
            }
            path => Ok(Some(JwksLocation::File(path.into()))),
        }
    }

    fn show(&self, value: &Option<JwksLocation>) -> String {
        match value {
            None => quoted(""),
            Some(JwksLocation::Url(url)) => quoted(url),
            Some(JwksLocation::File(path)) => Path.show(path),
        }
    }
}

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

impl Form for Format {
    type Value = LogFormat;

    fn expected(&self) -> String {
        "`text` or `json`".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<LogFormat, Option<String>> {
        match text(raw) {
            Some("text") => Ok(LogFormat::Text),
            Some("json") => Ok(LogFormat::Json),
            _ => Err(None),
        }
    }

    fn show(&self, value: &LogFormat) -> String {
        quoted(match value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

impl Form for Routes {
    type Value = Vec<(Prefix, String)>;

    fn expected(&self) -> String {
        "a table of key prefixes and backends, or `prefix=backend` with commas between them".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Self::Value, Option<String>> {
        let rows: Vec<(String, String)> = match raw {
            Raw::Table(rows) => rows.clone(),
            Raw::Text(text) => {
                let rows = text.split(',').map(|row| row.split_once('='));
                let rows = rows.map(|row| row.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned())));
                rows.collect::<Option<_>>().ok_or(None)?
            }
            _ => return Err(None),
        };
        let mut routes: Self::Value = Vec::new();
        for (prefix, backend) in rows {
            let prefix = Prefix::new(&prefix).map_err(|error| Some(error.to_string()))?;
            if routes.iter().any(|(known, _)| *known == prefix) {
                return Err(Some(format!("the prefix `{prefix}` is there twice")));
            }
            routes.push((prefix, backend));
        }
        if routes.is_empty() {
            return Err(Some("without a backend no key can be stored".to_owned()));
        }
        Ok(routes)
    }

    fn show(&self, value: &Self::Value) -> String {
        let row = |(prefix, backend): &(Prefix, String)| {
            format!("{} = {}", quoted(prefix.as_str()), quoted(backend))
        };
        format!("{{ {} }}", value.iter().map(row).collect::<Vec<_>>().join(", "))
    }
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
