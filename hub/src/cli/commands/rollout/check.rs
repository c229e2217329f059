//! The checks of a rollout, made here: on the operator's machine, with the operator's
//! rights, and not by a hub that others share.

use crate::cli::error::CliError;
use bytes::Bytes;
use confhub_client::explain;
use confhub_proto::wire;
use http::Uri;
use http_body_util::Empty;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest message of a check, in bytes.
const MESSAGE_BYTES: usize = 256;

/// A check, and how often it is made.
pub(super) struct Checks {
    what: What,
    every: Duration,
}

enum What {
    Command(String),
    Url(Uri),
}

impl Checks {
    /// Runs a command.
    pub(super) fn command(command: &str, every: Duration) -> Self {
        Self { what: What::Command(command.to_owned()), every }
    }

    /// Asks a URL.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn url(url: &str, every: Duration) -> Result<Self, CliError> {
        let wrong = |reason: &str| CliError::Usage(format!("the URL `{url}` of the check {reason}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is none"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(Self { what: What::Url(uri), every }),
            _ => Err(wrong("does not begin with http:// or https:// and a host")),
        }
    }

    /// How often it is made.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Whether all is well, and why.
    pub(super) async fn make(&self, rollout: &wire::Rollout, limit: Duration) -> (bool, String) {
        let made = match &self.what {
            What::Command(command) => timeout(limit, run(command, rollout)).await,
            What::Url(uri) => timeout(limit, ask(uri)).await,
        };
        let made = made.unwrap_or_else(|_| Err(format!("it was not done within {} ms", limit.as_millis())));
        let (passed, message) = match made {
            Ok(()) => (true, "passed".to_owned()),
            Err(reason) => (false, reason),
        };
        (passed, message.chars().filter(|c| !c.is_control()).take(MESSAGE_BYTES / 4).collect())
    }
}

/// Passes if the command exits with 0. What it says on its standard error is the reason
/// if it does not.
async fn run(command: &str, rollout: &wire::Rollout) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("CONFHUB_ROLLOUT", &rollout.id)
        .env("CONFHUB_ROLLOUT_STEP", rollout.step.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // Read to the end, so that it never waits for a reader; kept to the bound.
        let mut kept = stderr.take(MESSAGE_BYTES as u64);
        let _ = kept.read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
    }
    let status = child.wait().await.map_err(|error| format!("it cannot be waited for: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.lines().next().map(str::trim).filter(|said| !said.is_empty());
    Err(said.map_or_else(|| status.to_string(), |said| format!("{status}: {said}")))
}

/// Passes if the address answers 2xx. Redirects are not followed.
async fn ask(uri: &Uri) -> Result<(), String> {
    let mut builder = Client::builder(TokioExecutor::new());
    // A connection is used once in a while: none is kept.
    builder.pool_max_idle_per_host(0);
    let answer = if uri.scheme_str() == Some("http") {
        builder.build::<_, Empty<Bytes>>(HttpConnector::new()).get(uri.clone()).await
    } else {
        let connector = HttpsConnectorBuilder::new().with_native_roots();
        let connector = connector.map_err(|error| format!("the system's roots cannot be read: {error}"))?;
        let connector = connector.https_only().enable_http1().build();
        builder.build::<_, Empty<Bytes>>(connector).get(uri.clone()).await
    };
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status())),
        Err(error) => Err(explain(&error)),
    }
}
