//! `revoke`, `restore` and `revocations`: tokens that are good no more.

use crate::cli::args::HubArgs;
use crate::cli::entry_view::time;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, table, table_text};
use clap::Args;
use confhub_proto::{TenantId, wire};
use serde::Serialize;
use std::time::SystemTime;

/// Revoke tokens: their calls are refused, and their streams end
///
/// Every hub acts on it within a second or so of the write, and goes on to after a restart.
/// Tokens count whole seconds: one that is issued later in the second of `--issued-before now`
/// counts as issued before. Of two moments for the same tokens the later counts.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub revoke --subject alice --reason 'left the company'
  confhub revoke --token-id 1f0c9e7c --reason 'printed in a log'
  confhub revoke --issued-before now --reason 'laptop stolen'
  confhub revoke --all --tenant acme              # as an operator of the hub
  confhub revoke --all-tenants --issued-before now

Needs the role `revoker`. --tenant and --all-tenants take a token of the operators' tenant
(setting `auth.operators`; with development tokens: `confhub token --tenant operators --role revoker`).
JSON: {\"id\", \"tenant\" (null: all), \"subject\", \"token_id\", \"issued_before\" (null: not limited),
\"reason\", \"author\", \"modified_at\"}."
)]
pub(crate) struct Revoke {
    /// All tokens of the tenant, whenever issued
    #[arg(long, conflicts_with_all = ["subject", "token_id", "issued_before"])]
    all: bool,
    /// Those of this subject (`sub`)
    #[arg(long, conflicts_with = "token_id", value_name = "SUB")]
    subject: Option<String>,
    /// The one with this id (`jti`)
    #[arg(long, conflicts_with = "issued_before", value_name = "JTI")]
    token_id: Option<String>,
    /// Only those issued before this moment: `now`, or like 2026-01-31T12:00:00Z
    #[arg(long, value_parser = moment, value_name = "TIME")]
    issued_before: Option<SystemTime>,
    /// Why, for those who look back
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// Whose tokens are meant.
#[derive(Debug, Args)]
struct Whose {
    /// The tenant, for operators of the hub; without it, the token's own
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The tokens of all tenants, for operators of the hub
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
}

impl Whose {
    fn tenant(&self) -> String {
        self.tenant.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// Lift a revocation
///
/// The tokens that it named are good again, if they have not expired.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub revocations
  confhub restore 8a3f4be0c1d2e3f405162738495a6b7c

Needs the role `revoker`. Exit code 3 if there is no such revocation.
JSON: {\"id\"}."
)]
pub(crate) struct Restore {
    /// The id, as `revocations` shows it
    id: String,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// List the revocations in force
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  confhub revocations
  confhub revocations --all-tenants --output json | jq '.revocations[].tenant'

Needs the role `revoker`.
JSON: {\"revocations\": [as of `revoke`], \"more\": true if there are more than fit}.")]
pub(crate) struct Revocations {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct RevocationJson<'a> {
    id: &'a str,
    tenant: Option<&'a str>,
    subject: Option<&'a str>,
    token_id: Option<&'a str>,
    issued_before: Option<String>,
    reason: &'a str,
    author: &'a str,
    modified_at: Option<String>,
}

impl<'a> From<&'a wire::Revocation> for RevocationJson<'a> {
    fn from(revocation: &'a wire::Revocation) -> Self {
        Self {
            id: &revocation.id,
            tenant: set(&revocation.tenant),
            subject: set(&revocation.subject),
            token_id: set(&revocation.token_id),
            issued_before: revocation.issued_before.map(time),
            reason: &revocation.reason,
            author: &revocation.author,
            modified_at: revocation.modified_at.map(time),
        }
    }
}

impl RevocationJson<'_> {
    /// Which tokens, in words.
    fn which(&self) -> String {
        let which = match (self.subject, self.token_id) {
            (Some(subject), _) => format!("subject {}", escaped(subject)),
            (None, Some(id)) => format!("token {}", escaped(id)),
            (None, None) => "all".to_owned(),
        };
        match &self.issued_before {
            Some(before) => format!("{which} issued before {before}"),
            None => which,
        }
    }
}

#[derive(Serialize)]
struct RevocationsJson<'a> {
    revocations: Vec<RevocationJson<'a>>,
    more: bool,
}

fn set(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `now`, or a moment of RFC 3339.
fn moment(text: &str) -> Result<SystemTime, String> {
    if text == "now" {
        return Ok(SystemTime::now());
    }
    let moment = text.parse::<prost_types::Timestamp>().ok();
    let moment = moment.and_then(|moment| SystemTime::try_from(moment).ok());
    moment.ok_or_else(|| "expected `now`, or a moment such as 2026-01-31T12:00:00Z".to_owned())
}

impl Revoke {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        use wire::revoke_request::Which;
        if !self.all && self.subject.is_none() && self.token_id.is_none() && self.issued_before.is_none() {
            return Err(CliError::Usage(
                "say which tokens: --subject, --token-id, --issued-before, or --all".to_owned(),
            ));
        }
        let hub = Hub::connect(&self.hub).await?;
        let which = self.subject.map(Which::Subject).or(self.token_id.map(Which::TokenId));
        let request = wire::RevokeRequest {
            which,
            issued_before: self.issued_before.map(Into::into),
            reason: self.reason,
            tenant: self.whose.tenant(),
            all_tenants: self.whose.all_tenants,
        };
        let answer = hub.write("revoke", hub.access().revoke(request)).await?;
        let revocation = answer.revocation.unwrap_or_default();
        let json = RevocationJson::from(&revocation);
        self.hub.output.print(out, &json, || {
            format!("{} revoked: {} of {}", json.id, json.which(), json.tenant.unwrap_or("every tenant"))
        })?;
        Ok(Exit::Ok)
    }
}

impl Restore {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        #[derive(Serialize)]
        struct Json<'a> {
            id: &'a str,
        }
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::RestoreRequest {
            id: self.id.clone(),
            tenant: self.whose.tenant(),
            all_tenants: self.whose.all_tenants,
        };
        hub.write("restore", hub.access().restore(request)).await?;
        self.hub.output.print(out, &Json { id: &self.id }, || format!("{} lifted", escaped(&self.id)))?;
        Ok(Exit::Ok)
    }
}

impl Revocations {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let request =
            wire::ListRevocationsRequest { tenant: self.whose.tenant(), all_tenants: self.whose.all_tenants };
        let answer = hub.call("list the revocations", hub.access().list_revocations(request)).await?;
        let json = RevocationsJson {
            revocations: answer.revocations.iter().map(RevocationJson::from).collect(),
            more: answer.more,
        };
        self.hub.output.print(out, &json, || {
            let mut table = table(["ID", "TENANT", "TOKENS", "SINCE", "BY", "REASON"]);
            for one in &json.revocations {
                table.add_row([
                    escaped(one.id),
                    one.tenant.map_or_else(|| "(all)".to_owned(), escaped),
                    one.which(),
                    one.modified_at.clone().unwrap_or_default(),
                    escaped(one.author),
                    escaped(one.reason),
                ]);
            }
            table_text(&table)
        })?;
        if answer.more {
            self.hub
                .output
                .remark("There are more than one answer takes; --tenant shows those of one tenant.");
        }
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_now_or_of_rfc_3339() {
        assert!(moment("now").is_ok());
        let expected = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_769_860_800);
        assert_eq!(moment("2026-01-31T12:00:00Z"), Ok(expected));
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "1769860800"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
