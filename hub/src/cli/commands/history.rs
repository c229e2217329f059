//! `history`: the kept versions of one key.

use super::{key, wire_service};
use crate::cli::args::HubArgs;
use crate::cli::entry_view::{EntryJson, JSON_HELP, modified_cell, value_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, table, table_text};
use clap::Args;
use confhub_proto::{Key, ServiceName, wire};
use serde::Serialize;

/// Print the kept versions of one key
///
/// Newest first, deletions included, each with who wrote it. The hub keeps the last 100.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub history tenant_config_limits
  confhub history --service ad tenant_config_port --limit 5 --output json

JSON: {{\"revisions\": [entry and \"deleted\", \"author\", …]}}. Exit code 3 if there is none.
{JSON_HELP}"))]
pub(crate) struct History {
    /// The key
    key: String,
    /// The service that the entry belongs to; without it, the shared one
    #[arg(long)]
    service: Option<ServiceName>,
    /// At most this many versions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    revisions: Vec<RevisionJson<'a>>,
}

#[derive(Serialize)]
struct RevisionJson<'a> {
    #[serde(flatten)]
    entry: EntryJson,
    deleted: bool,
    author: &'a str,
}

impl History {
    /// Asks again for what one answer had no room for.
    async fn fetch(&self, hub: &Hub, key: &Key) -> Result<Vec<wire::Revision>, CliError> {
        let wanted = self.limit.unwrap_or(u32::MAX);
        let (mut revisions, mut before_version) = (Vec::<wire::Revision>::new(), 0);
        loop {
            let have = u32::try_from(revisions.len()).unwrap_or(u32::MAX);
            let request = wire::HistoryRequest {
                key: key.to_string(),
                service: wire_service(self.service.as_ref()),
                limit: wanted - have,
                before_version,
            };
            let answer = hub.call(&format!("history of `{key}`"), hub.admin().history(request)).await?;
            let oldest = answer.revisions.last().and_then(|revision| revision.entry.as_ref());
            before_version = oldest.map_or(0, |entry| entry.version);
            revisions.extend(answer.revisions);
            let enough = u32::try_from(revisions.len()).is_ok_and(|have| have >= wanted);
            if !answer.more || enough || before_version <= 1 {
                return Ok(revisions);
            }
        }
    }

    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        let hub = Hub::connect(&self.hub).await?;
        let kept = self.fetch(&hub, &key).await?;
        if kept.is_empty() {
            return Err(CliError::Missing { keys: vec![key.to_string()] });
        }
        let call = "history";
        let mut revisions = Vec::new();
        for revision in &kept {
            let entry = revision.entry.as_ref();
            let entry = entry.ok_or_else(|| crate::cli::hub::malformed(call, &"a revision has no entry"))?;
            revisions.push((entry, revision.deleted, revision.author.as_str()));
        }
        let json = Json {
            revisions: revisions
                .iter()
                .map(|&(entry, deleted, author)| RevisionJson {
                    entry: EntryJson::new(entry, !entry.secret && !deleted),
                    deleted,
                    author,
                })
                .collect(),
        };
        self.hub.output.print(out, &json, || {
            let mut table = table(["VERSION", "MODIFIED", "AUTHOR", "TYPE", "VALUE"]);
            for (entry, deleted, author) in revisions {
                let value = if deleted { "(deleted)".to_owned() } else { value_cell(entry) };
                let version = entry.version.to_string();
                let (author, content_type) = (escaped(author), escaped(&entry.content_type));
                table.add_row(vec![version, modified_cell(entry), author, content_type, value]);
            }
            table_text(&table)
        })?;
        Ok(Exit::Ok)
    }
}
