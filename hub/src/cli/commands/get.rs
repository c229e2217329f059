//! `get`: entries as one view shows them.

use super::{key, wire_service};
use crate::cli::args::HubArgs;
use crate::cli::entry_view::{EntryJson, JSON_HELP, modified_cell, service_cell, value_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{self, Out, Output, table, table_text};
use clap::Args;
use confhub_proto::{ServiceName, limits, wire};
use serde::Serialize;

/// Print entries
///
/// Shows what a service sees: the shared entries and its own, its own winning on the same key.
/// The values of secrets are asked for only with --reveal, which needs the role `secret-reader`.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub get tenant_config_kafka_addr
  confhub get --service ad tenant_config_port tenant_config_addr
  confhub get --raw tenant_config_limits | jq .per_minute
  confhub get --raw --reveal tenant_config_postgres_password

JSON: {{\"entries\": [entry, …], \"missing\": [key, …]}}. Exit code 3 if a key is missing.
{JSON_HELP}"))]
pub(crate) struct Get {
    /// Keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// The service whose view is asked for; without it, shared entries alone
    #[arg(long)]
    service: Option<ServiceName>,
    /// Ask for the values of secrets, too
    #[arg(long)]
    reveal: bool,
    /// Print the bytes of one value and nothing else
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    entries: Vec<EntryJson>,
    missing: &'a [String],
}

impl Get {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        if self.raw && self.keys.len() != 1 {
            return Err(CliError::Usage("--raw prints one value: name one key".to_owned()));
        }
        let mut keys: Vec<String> = Vec::new();
        for text in &self.keys {
            key(text)?;
            if !keys.contains(text) {
                keys.push(text.clone());
            }
        }
        let hub = Hub::connect(&self.hub).await?;
        let (entries, missing) = self.fetch(&hub, &keys).await?;
        self.print(out, &entries, &missing)?;
        match missing.is_empty() {
            true => Ok(Exit::Ok),
            false => Err(CliError::Missing { keys: missing }),
        }
    }

    async fn fetch(&self, hub: &Hub, keys: &[String]) -> Result<(Vec<wire::Entry>, Vec<String>), CliError> {
        let service = wire_service(self.service.as_ref());
        let (mut entries, mut missing) = (Vec::new(), Vec::new());
        for keys in keys.chunks(limits::BATCH_GET_KEYS) {
            let mut asked = keys.to_vec();
            while !asked.is_empty() {
                let before = asked.len();
                let request = wire::BatchGetRequest { keys: asked, service: service.clone() };
                let answer = hub.call("get", hub.config().batch_get(request)).await?;
                entries.extend(answer.entries);
                missing.extend(answer.missing);
                // Large values come in several answers, each with some of them.
                asked = answer.remaining;
                asked.truncate(before - 1);
            }
        }
        if self.reveal {
            for entry in entries.iter_mut().filter(|entry| entry.secret) {
                let request = wire::RevealRequest { key: entry.key.clone(), service: service.clone() };
                let call = format!("reveal `{}`", entry.key);
                let answer = hub.call(&call, hub.config().reveal(request)).await?;
                *entry = answer.entry.ok_or_else(|| crate::cli::hub::malformed(&call, &"no entry"))?;
            }
        }
        Ok((entries, missing))
    }

    fn print(&self, out: Out<'_>, entries: &[wire::Entry], missing: &[String]) -> Result<(), CliError> {
        if self.raw {
            return match entries.first() {
                Some(entry) if entry.secret && !self.reveal => {
                    Err(CliError::Usage(format!("`{}` is a secret: --reveal asks for its value", entry.key)))
                }
                Some(entry) => output::write(out, &entry.value, b""),
                None => Ok(()),
            };
        }
        if entries.is_empty() && self.hub.output == Output::Text {
            return Ok(());
        }
        let json = Json { entries: entries.iter().map(|entry| self.json(entry)).collect(), missing };
        self.hub.output.print(out, &json, || {
            let mut table = table(["KEY", "SERVICE", "VERSION", "MODIFIED", "TYPE", "VALUE"]);
            for entry in entries {
                table.add_row(vec![
                    entry.key.clone(),
                    service_cell(&entry.service),
                    entry.version.to_string(),
                    modified_cell(entry),
                    output::escaped(&entry.content_type),
                    value_cell(entry),
                ]);
            }
            table_text(&table)
        })
    }

    fn json(&self, entry: &wire::Entry) -> EntryJson {
        EntryJson::new(entry, !entry.secret || self.reveal)
    }
}
