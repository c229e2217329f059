//! What a command prints: one JSON document or a table on standard output,
//! remarks and errors on standard error.
//!
//! A reader that goes away (`confhub history … | head`) ends the command
//! quietly. What came from a hub is escaped before a terminal sees it.

use super::error::CliError;
use super::exit::Exit;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::io::{self, Write};

/// Where a command prints: standard output, or what a test reads.
pub(crate) type Out<'a> = &'a mut (dyn Write + Send);

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document on one line (`watch`: one line a change).
    Json,
}

impl Output {
    /// Prints `json` or `text`, as asked.
    pub(crate) fn print(
        self,
        out: Out<'_>,
        json: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self {
            Self::Text => write(out, text().trim_end().as_bytes(), b"\n"),
            Self::Json => write(out, &serde_json::to_vec(json).map_err(io::Error::from)?, b"\n"),
        }
    }

    /// Prints a remark for people; programs read it in the JSON.
    pub(crate) fn remark(self, text: &str) {
        if self == Self::Text {
            // Standard error that takes nothing leaves nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// Writes bytes as they are.
pub(crate) fn write(out: Out<'_>, bytes: &[u8], end: &[u8]) -> Result<(), CliError> {
    out.write_all(bytes)?;
    out.write_all(end)?;
    Ok(out.flush()?)
}

/// A table in the one style that all commands have.
pub(crate) fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.into_iter().collect::<Vec<_>>());
    table
}

/// The text of a table, without the blanks that end its lines.
pub(crate) fn table_text(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().strip_prefix(' ').unwrap_or_default().to_owned() + "\n")
        .collect()
}

/// Longest value that a table shows, in characters.
const SHOWN_CHARS: usize = 72;

/// A value on one line, shortened, with nothing in it that a terminal obeys.
pub(crate) fn shown(value: &[u8], secret: bool) -> String {
    if secret && value.is_empty() {
        return "(secret)".to_owned();
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return format!("({} bytes)", value.len());
    };
    let mut shown = escaped(&text.chars().take(SHOWN_CHARS).collect::<String>());
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push_str(&format!("… ({} bytes)", value.len()));
    }
    shown
}

/// Text with control characters spelled out.
pub(crate) fn escaped(text: &str) -> String {
    let spelled = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(spelled).collect()
}

/// The same for text of several lines.
fn escaped_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Tells of an error on standard error, and the exit code to end with.
pub(crate) fn fail(error: &CliError, output: Output) -> Exit {
    if let CliError::Output(error) = error
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return Exit::Ok;
    }
    // Standard error that takes nothing leaves nobody to tell.
    let _ = tell(error, output, io::stderr().lock());
    error.exit()
}

fn tell(error: &CliError, output: Output, mut err: impl Write) -> io::Result<()> {
    let exit = error.exit();
    let message = error.to_string();
    match output {
        Output::Json => {
            let error = ErrorJson {
                code: error.code(),
                exit: exit as u8,
                message,
                hint: error.hint(),
                retry_after_ms: error.retry_after_ms(),
                request_id: error.request_id(),
                uncertain: error.is_uncertain(),
                committed_batches: error.committed_batches(),
            };
            let line = serde_json::json!({ "error": error });
            writeln!(err, "{line}")
        }
        Output::Text => {
            writeln!(err, "error: {}", escaped_lines(&message)).and_then(|()| match error.hint() {
                Some(hint) => writeln!(err, "  hint: {hint}"),
                None => Ok(()),
            })
        }
    }
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'a str,
    exit: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    uncertain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_batches: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_short_and_harmless() {
        assert_eq!(shown(b"kafka:9092", false), "kafka:9092");
        assert_eq!(shown(b"\x1b[2Jgone\n", false), "\\u{1b}[2Jgone\\n");
        assert_eq!(shown(&[0xff, 0], false), "(2 bytes)");
        assert_eq!(shown(b"", true), "(secret)");
        let long = shown("é".repeat(100).as_bytes(), false);
        assert!(long.ends_with("… (200 bytes)") && long.chars().count() < 100, "{long}");
    }

    #[test]
    fn a_table_is_plain_columns() {
        let mut table = table(["KEY", "VERSION"]);
        table.add_row(vec!["tenant_config_a", "3"]);
        assert_eq!(table_text(&table), "KEY              VERSION\ntenant_config_a  3\n");
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let gone = CliError::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(fail(&gone, Output::Text), Exit::Ok);
    }

    #[test]
    fn an_error_tells_programs_what_is_committed_and_what_is_not_known() {
        let json = |error: &CliError| -> serde_json::Value {
            let mut err = Vec::new();
            tell(error, Output::Json, &mut err).unwrap();
            serde_json::from_slice::<serde_json::Value>(&err).unwrap()["error"].take()
        };
        let late = CliError::TimedOut { endpoint: "e".to_owned(), call: "import".to_owned(), timeout_ms: 1 };
        let late = CliError::Uncertain(Box::new(late));
        let late = json(&CliError::Batch { committed: 2, batches: 5, error: Box::new(late) });
        assert_eq!((&late["uncertain"], &late["committed_batches"]), (&true.into(), &2.into()));
        assert_eq!((&late["exit"], &late["code"]), (&6.into(), &"unreachable".into()));
        let message = late["message"].as_str().unwrap();
        assert!(
            message.contains("batch 3 of 5: it is not known") && !message.contains("refused"),
            "{message}"
        );
        let refused = json(&CliError::Usage("no".to_owned()));
        assert!(refused.get("uncertain").is_none() && refused.get("committed_batches").is_none());
    }
}
