//! Logs: one line an event, to standard error, for people or for machines.
//!
//! Standard output belongs to the commands. Metrics are not here.

use crate::config::{LogFormat, LogSettings};
use std::io::IsTerminal;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be read.
    #[error("the log filter `{filter}` is wrong: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// This process has logs already.
    #[error("this process logs already")]
    Twice,
}

/// Starts logging, for the whole process and its whole life.
///
/// # Errors
/// If the filter is wrong, or logging was started before.
pub fn init_logging(settings: &LogSettings) -> Result<(), LoggingError> {
    let filter = parse_filter(&settings.filter)
        .map_err(|reason| LoggingError::Filter { filter: settings.filter.clone(), reason })?;
    let colour = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().map_err(|_| LoggingError::Twice)
}

/// Reads `info` or `warn,confhub=debug`. A word that is no level is refused: it
/// would otherwise be taken for a target of which everything is logged.
pub(crate) fn parse_filter(text: &str) -> Result<Targets, String> {
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    for part in &parts {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level).to_ascii_lowercase();
        if !["error", "warn", "info", "debug", "trace", "off"].contains(&level.as_str()) {
            return Err(format!("`{level}` is no level"));
        }
    }
    parts.join(",").parse().map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_filter_is_read_strictly() {
        let filter = parse_filter("warn, confhub=debug").unwrap();
        assert!(filter.would_enable("confhub::auth", &Level::DEBUG));
        assert!(!filter.would_enable("h2", &Level::INFO));
        assert!(parse_filter("off").is_ok() && parse_filter("INFO").is_ok());
        for wrong in ["", "loud", "confhub", "confhub=", "info,,warn", "confhub=loud", "5"] {
            assert!(parse_filter(wrong).is_err(), "{wrong}");
        }
    }
}
