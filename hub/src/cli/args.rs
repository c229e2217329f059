//! What every operator's command takes: which hub, as whom, how long, how to print.

use super::output::Output;
use clap::Args;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which hub, as whom, how long to wait, how to print.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hub and output")]
pub(crate) struct HubArgs {
    /// Where the hub's gRPC port is: https://…, or http://… on this machine
    #[arg(long, env = "CONFHUB_ENDPOINT", default_value = "http://127.0.0.1:7600", value_name = "URL")]
    pub(crate) endpoint: String,
    /// Allow http:// beyond this machine, where the token crosses the network readable for all
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// A PEM file with a client certificate, for a hub that asks for one
    #[arg(long, env = "CONFHUB_CLIENT_CERT", requires = "client_key", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// A PEM file with its key
    #[arg(long, env = "CONFHUB_CLIENT_KEY", requires = "client_cert", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// The token to call with; other users of this machine can see arguments,
    /// so prefer the variable or --token-file
    #[arg(long, env = "CONFHUB_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) token: Option<Token>,
    /// A file with the token; wins over --token and CONFHUB_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Longest wait for one answer: 10s, 500ms, 2m
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// What the hub's certificate is verified by.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustArgs {
    /// A PEM file with the CA of the hub's certificate, in place of the system's roots
    #[arg(long, env = "CONFHUB_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name in the hub's certificate, if it is not the one that is called
    #[arg(long, env = "CONFHUB_SERVER_NAME", value_name = "NAME")]
    pub(crate) server_name: Option<String>,
}

/// A token, which no debug output shows.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// Reads `10`, `10s`, `500ms`, `2m`, `1h`.
///
/// # Errors
/// If it is none of these.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a whole number with ms, s, m or h, such as 10s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "expected a whole number with ms, s, m or h, such as 10s".to_owned())?;
    match number.checked_mul(milliseconds) {
        Some(total @ 1..=LONGEST_MS) => Ok(Duration::from_millis(total)),
        _ => Err("expected a time from 1ms to 24h".to_owned()),
    }
}

/// Longest time that an argument may name, in milliseconds: a day.
const LONGEST_MS: u64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        for (text, ms) in
            [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("24h", LONGEST_MS)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "0", "-1s", "1.5s", "25h", "10 s", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", Token::from("  abc\n")), "(3 bytes)");
    }
}
