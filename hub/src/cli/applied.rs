//! `--wait`: a write is done when it is applied, not when it is made.

use super::args::duration;
use super::error::CliError;
use super::exit::Exit;
use super::hub::Hub;
use super::instance_view::InstanceJson;
use clap::Args;
use confhub_proto::{ServiceName, wire};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use wire::wait_applied_response::State;

/// Whether to wait until a change is applied, by whom, and how long.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Waiting for instances")]
pub(crate) struct WaitArgs {
    /// Return when all connected instances that see the change have applied it
    #[arg(long)]
    wait: bool,
    /// With --wait: only instances of these services
    #[arg(long, value_name = "SERVICES", value_delimiter = ',', requires = "wait")]
    services: Vec<ServiceName>,
    /// With --wait: the longest wait
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    wait_timeout: Duration,
}

/// How far a change has come, for `--output json`.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    state: &'static str,
    instances: u64,
    unreporting: u64,
    lacking_count: u64,
    lacking: Vec<InstanceJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A hub that cannot be asked is asked again after so long.
const AGAIN: Duration = Duration::from_millis(250);

/// Shares of the time for one answer that the hub may wait for instances.
const SHARE: f64 = 0.8;

impl WaitArgs {
    /// Waits until changes are applied, if that is asked for.
    ///
    /// # Errors
    /// If the hub refuses to say. The changes are made all the same, so a hub that
    /// cannot be reached is no error, but a state that is not known.
    pub(crate) async fn wait(
        &self,
        hub: &Hub,
        changes: Vec<wire::Written>,
    ) -> Result<Option<Applied>, CliError> {
        if !self.wait {
            return Ok(None);
        }
        let services: Vec<_> = self.services.iter().map(ToString::to_string).collect();
        let deadline = Instant::now() + self.wait_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = left.min(hub.timeout().mul_f64(SHARE));
            let request = wire::WaitAppliedRequest {
                changes: changes.clone(),
                services: services.clone(),
                timeout: prost_types::Duration::try_from(patience).ok(),
            };
            match hub.call("wait for the instances", hub.fleet().wait_applied(request)).await {
                Ok(answer) if answer.state() == State::Pending && patience < left => {}
                Ok(answer) => return Ok(Some(answer.into())),
                Err(error) if error.exit() == Exit::Unreachable && left.is_zero() => {
                    return Ok(Some(Applied::unknown(&error)));
                }
                Err(error) if error.exit() == Exit::Unreachable => sleep(AGAIN.min(left)).await,
                Err(error) => return Err(error),
            }
        }
    }
}

impl From<wire::WaitAppliedResponse> for Applied {
    fn from(answer: wire::WaitAppliedResponse) -> Self {
        Self {
            state: match answer.state() {
                State::Applied => "applied",
                State::Pending => "pending",
                State::Refused => "refused",
                State::Unspecified => "unknown",
            },
            instances: answer.instances,
            unreporting: answer.unreporting,
            lacking_count: answer.lacking_count,
            lacking: answer.lacking.into_iter().map(InstanceJson::from).collect(),
            error: None,
        }
    }
}

impl Applied {
    fn unknown(error: &CliError) -> Self {
        Self {
            state: "unknown",
            instances: 0,
            unreporting: 0,
            lacking_count: 0,
            lacking: Vec::new(),
            error: Some(error.to_string()),
        }
    }

    fn text(&self) -> String {
        let mut text = match (self.state, self.instances) {
            ("applied", 0) => "; no instance that reports is connected".to_owned(),
            ("applied", 1) => "; applied by the one instance".to_owned(),
            ("applied", all) => format!("; applied by all {all} instances"),
            ("pending", all) => format!("; not yet applied by {} of {all} instances:", self.lacking_count),
            ("refused", all) => format!("; refused by {} of {all} instances:", self.lacking_count),
            _ => "; it is not known who has applied it".to_owned(),
        };
        for instance in &self.lacking {
            text.push_str(&format!("\n  {}", instance.line()));
        }
        let named = self.lacking.len() as u64;
        if self.lacking_count > named {
            text.push_str(&format!("\n  and {} more", self.lacking_count - named));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!(": {error}"));
        }
        if self.unreporting > 0 {
            text.push_str(&format!(
                "\n({} connected clients do not report what they apply)",
                self.unreporting
            ));
        }
        text
    }
}

/// What is said of it after the write; nothing if nobody has asked.
pub(crate) fn text(applied: &Option<Applied>) -> String {
    applied.as_ref().map(Applied::text).unwrap_or_default()
}

/// How to end.
pub(crate) fn exit(applied: &Option<Applied>) -> Exit {
    match applied {
        Some(applied) if applied.state != "applied" => Exit::NotApplied,
        _ => Exit::Ok,
    }
}
