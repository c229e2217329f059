//! Where a setting is set, and what is written there.

use std::fmt;
use std::path::PathBuf;

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
    /// Something that no setting takes.
    Other(&'static str),
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
