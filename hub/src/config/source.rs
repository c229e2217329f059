//! Where a setting is set, and what is written there.

use std::fmt;
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody has set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl Source {
    /// For lists: the file by its lines, then variables, then flags.
    pub(super) fn order(&self) -> (u8, usize, String) {
        match self {
            Self::Default => (0, 0, String::new()),
            Self::File { line, .. } => (1, *line, String::new()),
            Self::Env(name) => (2, 0, name.clone()),
            Self::Flag(name) => (3, 0, name.clone()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}, line {line}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value as it is written, before anybody knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// One text. The environment and flags have nothing else.
    Text(String),
    /// A file's `true` or `false`.
    Bool(bool),
    /// A file's array of strings.
    List(Vec<String>),
    /// A file's table of strings.
    Table(Vec<(String, String)>),
    /// A file's table of tables.
    Tables(Vec<(String, Vec<(String, Self)>)>),
    /// Something that no setting takes.
    Other(&'static str),
}

impl Raw {
    /// What a file has.
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Self::Text(number.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Array(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| text(item.get_ref())).collect();
                items.map_or(Self::Other("an array of something else than strings"), Self::List)
            }
            DeValue::Table(table) => {
                let rows = in_order(table);
                let texts = rows.iter().map(|(key, value)| Some(((*key).to_owned(), text(value)?)));
                if let Some(texts) = texts.collect::<Option<_>>() {
                    return Self::Table(texts);
                }
                let own = |(key, value): &(&str, &DeValue<'_>)| match value {
                    DeValue::Table(inner) => {
                        let rows = in_order(inner).into_iter();
                        Some((
                            (*key).to_owned(),
                            rows.map(|(key, value)| (key.to_owned(), Self::of(value))).collect(),
                        ))
                    }
                    _ => None,
                };
                let tables: Option<_> = rows.iter().map(own).collect();
                tables.map_or(Self::Other("a table of something else than strings"), Self::Tables)
            }
            other => Self::Other(other.type_str()),
        }
    }

    /// What a text in TOML has, as a flag or a variable gives it.
    pub(super) fn of_toml(text: &str) -> Result<Self, String> {
        let value = DeValue::parse(text).map_err(|error| error.message().replace('\n', "; "))?;
        Ok(Self::of(value.get_ref()))
    }
}

/// The rows in the order of the file, not of the alphabet.
fn in_order<'a>(table: &'a DeTable<'_>) -> Vec<(&'a str, &'a DeValue<'a>)> {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by_key(|(key, _)| key.span().start);
    rows.into_iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect()
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longest part of a wrong value that an error repeats.
        const SHOWN_CHARS: usize = 96;
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => items.join(","),
            Self::Table(rows) => {
                let rows: Vec<_> = rows.iter().map(|(name, value)| format!("{name}={value}")).collect();
                rows.join(",")
            }
            Self::Tables(tables) => {
                tables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
            }
            Self::Other(kind) => return write!(f, "{kind}"),
        };
        let shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
        let more = if text.chars().nth(SHOWN_CHARS).is_some() { "…" } else { "" };
        write!(f, "`{shown}{more}`")
    }
}

/// A value that somebody has set.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) setting: &'static str,
    pub(super) raw: Raw,
    pub(super) source: Source,
}
