//! `watch`: changes, as they are committed.

use crate::cli::args::{HubArgs, duration};
use crate::cli::entry_view::{EntryJson, JSON_HELP, service_cell, value_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::live;
use crate::cli::output::{Out, Output};
use clap::Args;
use confhub_client::{Client, FailureKind, Status};
use confhub_proto::{Key, Prefix, ServiceName, wire};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Print each change as it is committed
///
/// Listens as a service would, and stays connected: when the hub goes away, it says so and goes
/// on as soon as a hub is back, with what changed meanwhile. Changes that come faster than they
/// can be printed are printed as the state that they led to. It ends when its token is no longer
/// accepted; a --token-file is read anew, and whoever renews it keeps the watch alive.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub watch
  confhub watch --service ad --prefix tenant_config_flag
  confhub watch --once --output json | jq 'select(.entry).entry.value'

JSON, one line a change: {{\"change\": \"put\", \"key\", \"entry\"}} or {{\"change\": \"removed\", \"key\"}};
when no hub is there yet, goes away or is back {{\"change\": \"status\",
\"status\": \"starting\" | \"stale\" | \"ready\", \"reason\"}}.
{JSON_HELP}"))]
pub(crate) struct Watch {
    /// The service whose view is watched; without it, shared entries alone
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only keys that start with this; may be repeated
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<Prefix>,
    /// End after the first change
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// End after this many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// With --once or --count: longest wait for the changes; 30s with --once, if not set
    #[arg(long, value_parser = duration, value_name = "TIME")]
    wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    change: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryJson>,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    change: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Time between two questions, while no hub answers, whether the token is still good.
const RECHECK: Duration = Duration::from_secs(2);

/// Longest wait of `--once`, unless set otherwise: a script must not hang for good.
const WAIT: Duration = Duration::from_secs(30);

impl Watch {
    /// How long the changes may take; `None`: they are waited for without end.
    fn patience(&self) -> Result<Option<Duration>, CliError> {
        match (self.wait, self.once, self.count) {
            (Some(_), false, None) => {
                Err(CliError::Usage("--wait goes with --once or --count: else nothing is waited for".into()))
            }
            (None, true, _) => Ok(Some(WAIT)),
            (wait, ..) => Ok(wait),
        }
    }

    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let wait = self.patience()?;
        // A token or an endpoint that is no good is told at once, with its exit code.
        self.check().await?;
        let mut told = Ok(());
        let tell = |status: &Status| {
            if told.is_ok() {
                told = self.tell(out, status);
            }
        };
        let client = live::connect(&self.hub, self.service.as_ref(), &self.prefix, tell).await?;
        told?;
        let mut left = if self.once { Some(1) } else { self.count };
        let (mut changes, mut status) = (client.changes(), client.watch_status());
        let entries = client.snapshot().len();
        self.hub.output.remark(&format!("Watching {entries} entries; Ctrl-C ends it."));
        let until = wait.map(|wait| Instant::now() + wait);
        let mut recheck = tokio::time::interval(RECHECK);
        loop {
            let may_have_expired = self.hub.token_file.is_none() && status.get().is_stale();
            tokio::select! {
                next = changes.next() => {
                    let next = next.ok_or_else(|| live::ended(&client))?;
                    let mut keys = next.keys;
                    keys.sort();
                    for key in keys {
                        self.print(out, &client, &key)?;
                        left = left.map(|left| left - 1);
                        if left == Some(0) {
                            return Ok(Exit::Ok);
                        }
                    }
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    let (lacking, wait) = (left.unwrap_or_default(), wait.unwrap_or_default());
                    return Err(CliError::TooFewChanges { lacking, wait_ms: wait.as_millis() });
                }
                Some(status) = status.next() => {
                    self.tell(out, &status)?;
                    self.refused(&status)?;
                }
                _ = recheck.tick(), if may_have_expired => match self.check().await {
                    Err(refused) if refused.exit() == Exit::Denied => return Err(refused),
                    _ => {}
                },
            }
        }
    }

    /// Ends with a token that was refused, if there will never be another.
    fn refused(&self, status: &Status) -> Result<(), CliError> {
        match status {
            Status::Stale { kind: kind @ FailureKind::Refused, reason, .. }
                if self.hub.token_file.is_none() =>
            {
                let (endpoint, reason) = (self.hub.endpoint.clone(), reason.to_string());
                Err(CliError::NoStream { endpoint, kind: *kind, reason })
            }
            _ => Ok(()),
        }
    }

    /// Asks the hub whether it takes our token.
    async fn check(&self) -> Result<(), CliError> {
        let hub = Hub::connect(&self.hub).await?;
        hub.call("watch", hub.admin().status(wire::StatusRequest {})).await.map(drop)
    }

    fn print(&self, out: Out<'_>, client: &Client, key: &Key) -> Result<(), CliError> {
        let entry = client.get(key.as_str()).map(|entry| wire::Entry::from(&*entry));
        let json = Json {
            change: if entry.is_some() { "put" } else { "removed" },
            key: key.as_str(),
            entry: entry.as_ref().map(EntryJson::from),
        };
        self.hub.output.print(out, &json, || match &entry {
            Some(entry) => {
                let (version, service) = (entry.version, service_cell(&entry.service));
                format!("{key}  {service}  version {version}  {}", value_cell(entry))
            }
            None => format!("{key}  removed"),
        })
    }

    fn tell(&self, out: Out<'_>, status: &Status) -> Result<(), CliError> {
        let waiting = |kind, reason: &str| match kind {
            FailureKind::Limited => format!("(waiting for a hub with room: {reason})"),
            _ => format!("(waiting for a hub: {reason})"),
        };
        let (status, reason, text) = match status {
            Status::Starting { last: Some(last), .. } => {
                ("starting", Some(&*last.reason), waiting(last.kind, &last.reason))
            }
            Status::Stale { kind, reason, .. } => ("stale", Some(&**reason), waiting(*kind, reason)),
            Status::Ready { .. } => ("ready", None, "(connected)".to_owned()),
            _ => return Ok(()),
        };
        match self.hub.output {
            Output::Text => self.hub.output.remark(&text),
            Output::Json => {
                self.hub.output.print(out, &StatusJson { change: "status", status, reason }, String::new)?;
            }
        }
        Ok(())
    }
}
