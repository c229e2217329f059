//! Settings from a TOML file.

use super::Source;
use super::error::{ConfigError, did_you_mean};
use super::source::{Given, Raw};
use super::table::{TABLE, find};
use crate::limits;
use std::io::Read;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What the file sets. A key that is no setting is a mistake.
pub(super) fn given(path: &Path, errors: &mut Vec<ConfigError>) -> Vec<Given> {
    match read(path) {
        Ok(text) => {
            let mut reader = Reader { path, text: &text, given: Vec::new(), errors };
            reader.document();
            reader.given
        }
        Err(error) => {
            let source = Source::File { path: path.to_owned(), line: 1 };
            let problem = format!("cannot be read: {error}");
            errors.push(ConfigError { setting: "the configuration file".to_owned(), source, problem });
            Vec::new()
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(limits::CONFIG_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limits::CONFIG_BYTES {
        return Err(std::io::Error::other(format!("it has more than {} bytes", limits::CONFIG_BYTES)));
    }
    Ok(text)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    given: Vec<Given>,
    errors: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    fn document(&mut self) {
        let (document, mistakes) = DeTable::parse_recoverable(self.text);
        for mistake in &mistakes {
            let at = mistake.span().map_or(0, |span| span.start);
            self.error("the file's syntax", at, mistake.message().replace('\n', "; "));
        }
        self.table("", document.get_ref());
    }

    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        let mut rows: Vec<_> = table.iter().collect();
        rows.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in rows {
            let name = if above.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{above}.{}", key.get_ref())
            };
            let at = key.span().start;
            if let Some(setting) = find(&name) {
                let source = self.source(at);
                self.given.push(Given { setting: setting.name(), raw: Raw::of(value.get_ref()), source });
            } else if is_group(&name) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&name, inner),
                    other => {
                        let problem = format!("is a group of settings, not {}", other.type_str());
                        self.error(&name, at, problem);
                    }
                }
            } else {
                let groups = TABLE.iter().filter_map(|setting| Some(setting.name().split_once('.')?.0));
                let known = TABLE.iter().map(|setting| setting.name()).chain(groups);
                let problem = format!("there is no such setting{}", did_you_mean(&name, known));
                self.error(&name, at, problem);
            }
        }
    }

    fn error(&mut self, setting: &str, at: usize, problem: String) {
        let source = self.source(at);
        self.errors.push(ConfigError { setting: setting.to_owned(), source, problem });
    }

    fn source(&self, at: usize) -> Source {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Source::File { path: self.path.to_owned(), line }
    }
}

fn is_group(name: &str) -> bool {
    TABLE.iter().any(|setting| setting.name().strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}
