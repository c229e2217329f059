//! `history`: the kept versions of one key.

use super::{key, wire_service};
use crate::cli::args::HubArgs;
use crate::cli::entry_view::{EntryJson, JSON_HELP, modified_cell, value_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::{Hub, malformed};
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

JSON: {{\"revisions\": [entry and \"deleted\", \"author\", \"labels\", …]}}. Exit code 3 if there is none.
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
    labels: &'a [String],
}

/// The kept versions of `key`, newest first, at most `limit`. Asks again for what
/// one answer had no room for.
pub(super) async fn revisions(
    hub: &Hub,
    key: &Key,
    service: Option<&ServiceName>,
    limit: Option<u32>,
) -> Result<Vec<wire::Revision>, CliError> {
    let wanted = limit.unwrap_or(u32::MAX);
    let (mut revisions, mut before_version) = (Vec::<wire::Revision>::new(), 0);
    loop {
        let have = u32::try_from(revisions.len()).unwrap_or(u32::MAX);
        let request = wire::HistoryRequest {
            key: key.to_string(),
            service: wire_service(service),
            limit: wanted - have,
            before_version,
        };
        let answer = hub.call(&format!("history of `{key}`"), hub.admin().history(request)).await?;
        let oldest = answer.revisions.last().and_then(|revision| revision.entry.as_ref());
        before_version = oldest.map_or(0, |entry| entry.version);
        revisions.extend(answer.revisions);
        let enough = u32::try_from(revisions.len()).is_ok_and(|have| have >= wanted);
        if !answer.more || enough || before_version <= 1 {
            break;
        }
    }
    if revisions.is_empty() {
        return Err(CliError::Missing { keys: vec![key.to_string()] });
    }
    Ok(revisions)
}

/// The entry of a revision, which the protocol promises.
pub(super) fn entry(revision: &wire::Revision) -> Result<&wire::Entry, CliError> {
    revision.entry.as_ref().ok_or_else(|| malformed("history", &"a revision has no entry"))
}

impl History {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        let hub = Hub::connect(&self.hub).await?;
        let kept = revisions(&hub, &key, self.service.as_ref(), self.limit).await?;
        let mut revisions = Vec::new();
        for revision in &kept {
            revisions.push((entry(revision)?, revision));
        }
        let json = Json {
            revisions: revisions
                .iter()
                .map(|&(entry, revision)| RevisionJson {
                    entry: EntryJson::new(entry, !entry.secret && !revision.deleted),
                    deleted: revision.deleted,
                    author: &revision.author,
                    labels: &revision.labels,
                })
                .collect(),
        };
        self.hub.output.print(out, &json, || text(&revisions))?;
        Ok(Exit::Ok)
    }
}

/// A table, with a column for labels if there are any.
fn text(revisions: &[(&wire::Entry, &wire::Revision)]) -> String {
    let labelled = revisions.iter().any(|(_, revision)| !revision.labels.is_empty());
    let mut header = vec!["VERSION", "MODIFIED", "AUTHOR", "TYPE", "VALUE"];
    if labelled {
        header.insert(1, "LABELS");
    }
    let mut table = table(header);
    for (entry, revision) in revisions {
        let value = if revision.deleted { "(deleted)".to_owned() } else { value_cell(entry) };
        let (author, content_type) = (escaped(&revision.author), escaped(&entry.content_type));
        let mut row = vec![entry.version.to_string(), modified_cell(entry), author, content_type, value];
        if labelled {
            row.insert(1, escaped(&revision.labels.join(", ")));
        }
        table.add_row(row);
    }
    table_text(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_a_column_if_there_are_any() {
        let entry = |version| wire::Entry { key: "k".to_owned(), version, ..Default::default() };
        let (new, old) = (entry(2), entry(1));
        let plain = wire::Revision::default();
        let labelled =
            wire::Revision { labels: vec!["prod".to_owned(), "a\u{1b}".to_owned()], ..Default::default() };
        assert!(!text(&[(&new, &plain), (&old, &plain)]).contains("LABELS"));
        let text = text(&[(&new, &plain), (&old, &labelled)]);
        assert!(text.contains("VERSION  LABELS") && text.contains("prod, a\\u{1b}"), "{text}");
    }
}
