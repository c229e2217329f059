//! The operator's commands: each is a client of the hub's API, and nothing more;
//! `serve`, `token`, `dev-certificate`, `health` and `aws` are those that are none.

mod agent;
mod apply;
mod aws;
mod completions;
mod delete;
mod dev_certificate;
mod diff;
mod export;
mod flag;
mod fleet;
mod get;
mod health;
mod history;
pub(crate) mod import;
mod put;
mod reconcile;
mod revoke;
mod rollback;
mod rollout;
mod serve;
mod status;
mod tenant;
mod token;
mod watch;

pub(crate) use aws::Aws;
pub(crate) use completions::Completions;
pub(crate) use dev_certificate::DevCertificate;
pub(crate) use health::Health;
pub(crate) use serve::Serve;
pub(crate) use token::Token;

use super::applied::{self, Applied, WaitArgs};
use super::error::CliError;
use super::exit::Exit;
use super::hub::Hub;
use super::output::{Out, Output};
use clap::Subcommand;
use confhub_proto::{Key, ServiceName, wire};
use serde::Serialize;

/// The commands that are clients of a hub.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    Get(get::Get),
    Put(put::Put),
    Delete(delete::Delete),
    Apply(apply::Apply),
    Import(import::Import),
    Export(export::Export),
    Diff(diff::Diff),
    // Its arguments are many.
    Flag(Box<flag::Flag>),
    Watch(watch::Watch),
    History(history::History),
    Rollback(rollback::Rollback),
    Status(status::Status),
    Fleet(fleet::Fleet),
    Rollout(rollout::RolloutCommand),
    Reconcile(reconcile::Reconcile),
    Revoke(revoke::Revoke),
    Restore(revoke::Restore),
    Revocations(revoke::Revocations),
    Tenant(tenant::Tenant),
    Agent(agent::Agent),
}

impl Operator {
    /// Runs it.
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        match self {
            Self::Get(get) => get.run(out).await,
            Self::Put(put) => put.run(out).await,
            Self::Delete(delete) => delete.run(out).await,
            Self::Apply(apply) => apply.run(out).await,
            Self::Import(import) => import.run(out).await,
            Self::Export(export) => export.run(out).await,
            Self::Diff(diff) => diff.run(out).await,
            Self::Flag(flag) => flag.run(out).await,
            Self::Watch(watch) => watch.run(out).await,
            Self::History(history) => history.run(out).await,
            Self::Rollback(rollback) => rollback.run(out).await,
            Self::Status(status) => status.run(out).await,
            Self::Fleet(fleet) => fleet.run(out).await,
            Self::Rollout(rollout) => rollout.run(out).await,
            Self::Reconcile(reconcile) => reconcile.run(out).await,
            Self::Revoke(revoke) => revoke.run(out).await,
            Self::Restore(restore) => restore.run(out).await,
            Self::Revocations(revocations) => revocations.run(out).await,
            Self::Tenant(tenant) => tenant.run(out).await,
            Self::Agent(agent) => agent.run(out).await,
        }
    }

    /// How it prints.
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::Get(get) => get.hub.output,
            Self::Put(put) => put.hub.output,
            Self::Delete(delete) => delete.hub.output,
            Self::Apply(apply) => apply.hub.output,
            Self::Import(import) => import.hub.output,
            Self::Export(export) => export.hub.output,
            Self::Diff(diff) => diff.hub.output,
            Self::Flag(flag) => flag.output(),
            Self::Watch(watch) => watch.hub.output,
            Self::History(history) => history.hub.output,
            Self::Rollback(rollback) => rollback.hub.output,
            Self::Status(status) => status.hub.output,
            Self::Fleet(fleet) => fleet.hub.output,
            Self::Rollout(rollout) => rollout.output(),
            Self::Reconcile(reconcile) => reconcile.hub.output,
            Self::Revoke(revoke) => revoke.hub.output,
            Self::Restore(restore) => restore.hub.output,
            Self::Revocations(revocations) => revocations.hub.output,
            Self::Tenant(tenant) => tenant.output(),
            Self::Agent(agent) => agent.hub.output,
        }
    }
}

/// The JSON of a write: what was written, and as which version.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    key: String,
    service: Option<String>,
    version: u64,
    /// How far it has come, with `--wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

impl Written {
    fn new(key: &Key, service: Option<&ServiceName>, version: u64) -> Self {
        Self { key: key.to_string(), service: service.map(ToString::to_string), version, applied: None }
    }

    fn text(&self, done: &str) -> String {
        let service =
            self.service.as_ref().map(|service| format!(" of service {service}")).unwrap_or_default();
        format!("{}{service} {done} version {}{}", self.key, self.version, applied::text(&self.applied))
    }

    /// Waits until it is applied, if that is asked for, prints it, and says how to end.
    async fn finish(
        mut self,
        hub: &Hub,
        wait: &WaitArgs,
        print: (Output, Out<'_>),
        done: &str,
    ) -> Result<Exit, CliError> {
        let service = self.service.clone().unwrap_or_default();
        let change = wire::Written { key: self.key.clone(), service, version: self.version };
        self.applied = wait.wait(hub, vec![change]).await?;
        let (output, out) = print;
        output.print(out, &self, || self.text(done))?;
        Ok(applied::exit(&self.applied))
    }
}

fn wire_service(service: Option<&ServiceName>) -> String {
    service.map(ToString::to_string).unwrap_or_default()
}

/// A name that a person typed: an error of it is one of usage.
fn key(text: &str) -> Result<Key, CliError> {
    Ok(Key::new(text)?)
}
