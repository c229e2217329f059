//! `tenant`: which tenants are served.

use crate::cli::args::HubArgs;
use crate::cli::entry_view::time;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, Output, escaped, table, table_text};
use clap::{Args, Subcommand};
use confhub_proto::{TenantId, wire};
use serde::Serialize;

/// Say which tenants are served
///
/// A hub serves every tenant that its issuer names, or (`auth.unknown-tenants = refuse`) those
/// alone that are active here. A suspended one is refused, and its streams end.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  export CONFHUB_TOKEN=$(confhub token --tenant operators --role operator)
  confhub tenant activate acme
  confhub tenant suspend globex --reason 'contract ended'
  confhub tenant list

Needs the role `operator` and a token of the operators' tenant (setting `auth.operators`)."
)]
pub(crate) struct Tenant {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Serve a tenant
    #[command(
        after_long_help = "Examples:\n  confhub tenant activate acme\n\nJSON: {\"tenant\", \"state\"}."
    )]
    Activate(Set),
    /// Refuse a tenant, and end its streams
    #[command(
        after_long_help = "Examples:\n  confhub tenant suspend acme --reason 'contract ended'\n\nJSON: {\"tenant\", \"state\"}."
    )]
    Suspend(Set),
    /// Forget what was said of a tenant: it is unknown again
    #[command(after_long_help = "Examples:\n  confhub tenant forget acme\n\nJSON: {\"tenant\", \"state\"}.")]
    Forget(Forget),
    /// List the tenants of which something was said
    #[command(
        after_long_help = "Examples:\n  confhub tenant list\n\nJSON: {\"tenants\": [{\"tenant\", \"state\", \"reason\", \"author\", \"modified_at\"}]}."
    )]
    List(ListTenants),
}

#[derive(Debug, Args)]
struct Set {
    /// The tenant
    tenant: TenantId,
    /// Why, for those who look back
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Args)]
struct Forget {
    /// The tenant
    tenant: TenantId,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Args)]
struct ListTenants {
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Serialize)]
struct TenantJson<'a> {
    tenant: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<String>,
}

#[derive(Serialize)]
struct TenantsJson<'a> {
    tenants: Vec<TenantJson<'a>>,
}

impl Tenant {
    /// How it prints.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            TenantCommand::Activate(set) | TenantCommand::Suspend(set) => set.hub.output,
            TenantCommand::Forget(forget) => forget.hub.output,
            TenantCommand::List(list) => list.hub.output,
        }
    }

    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        match self.command {
            TenantCommand::Activate(set) => set.run(wire::TenantState::Active, out).await,
            TenantCommand::Suspend(set) => set.run(wire::TenantState::Suspended, out).await,
            TenantCommand::Forget(forget) => forget.run(out).await,
            TenantCommand::List(list) => list.run(out).await,
        }
    }
}

fn state_word(state: wire::TenantState) -> &'static str {
    match state {
        wire::TenantState::Active => "active",
        wire::TenantState::Suspended => "suspended",
        wire::TenantState::Unspecified => "unknown",
    }
}

fn print_state(
    output: Output,
    out: Out<'_>,
    tenant: &TenantId,
    state: wire::TenantState,
) -> Result<Exit, CliError> {
    let state = state_word(state);
    let json = TenantJson { tenant: tenant.as_str(), state, reason: None, author: None, modified_at: None };
    output.print(out, &json, || format!("{tenant} is {state}"))?;
    Ok(Exit::Ok)
}

impl Set {
    async fn run(self, state: wire::TenantState, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::SetTenantRequest {
            tenant: self.tenant.to_string(),
            state: state.into(),
            reason: self.reason,
        };
        hub.write("set the tenant", hub.access().set_tenant(request)).await?;
        print_state(self.hub.output, out, &self.tenant, state)
    }
}

impl Forget {
    async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::ForgetTenantRequest { tenant: self.tenant.to_string() };
        hub.write("forget the tenant", hub.access().forget_tenant(request)).await?;
        print_state(self.hub.output, out, &self.tenant, wire::TenantState::Unspecified)
    }
}

impl ListTenants {
    async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let mut tenants = Vec::new();
        loop {
            let after = tenants.last().map(|last: &wire::TenantRecord| last.tenant.clone());
            let request = wire::ListTenantsRequest { after: after.unwrap_or_default() };
            let mut answer = hub.call("list the tenants", hub.access().list_tenants(request)).await?;
            let more = answer.more && !answer.tenants.is_empty();
            tenants.append(&mut answer.tenants);
            if !more {
                break;
            }
        }
        let row = |record: &'_ wire::TenantRecord| (state_word(record.state()), record.modified_at.map(time));
        let json = TenantsJson {
            tenants: tenants
                .iter()
                .map(|record| {
                    let (state, modified_at) = row(record);
                    TenantJson {
                        tenant: &record.tenant,
                        state,
                        reason: Some(&record.reason),
                        author: Some(&record.author),
                        modified_at,
                    }
                })
                .collect(),
        };
        self.hub.output.print(out, &json, || {
            let mut table = table(["TENANT", "STATE", "SINCE", "BY", "REASON"]);
            for one in &json.tenants {
                table.add_row([
                    escaped(one.tenant),
                    one.state.to_owned(),
                    one.modified_at.clone().unwrap_or_default(),
                    escaped(one.author.unwrap_or_default()),
                    escaped(one.reason.unwrap_or_default()),
                ]);
            }
            table_text(&table)
        })?;
        Ok(Exit::Ok)
    }
}
