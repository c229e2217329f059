//! `reconcile`: the hub compares what it holds with every backend, now.

use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, table, table_text};
use clap::Args;
use confhub_proto::wire;
use serde::Serialize;

/// Have the hub compare itself with every backend now
///
/// The hub learns of changes from events and makes up for lost ones with a sweep every few
/// minutes. This asks for the sweep of the token's tenant now. What it finds changed is streamed
/// before the answer comes.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub reconcile
  confhub reconcile --timeout 2m --output json | jq '[.backends[].updated] | add'

CREATED, UPDATED and DELETED count changes that no event had told of: more than none again and
again means that events are lost, or that nothing sends them.

JSON: {\"backends\": [{\"backend\", \"entries\", \"created\", \"updated\", \"deleted\", \"error\" (null: none)}]}.
Exit code 1 if a backend could not be read."
)]
pub(crate) struct Reconcile {
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    backends: Vec<SweepJson<'a>>,
}

#[derive(Serialize)]
struct SweepJson<'a> {
    backend: &'a str,
    entries: u64,
    created: u64,
    updated: u64,
    deleted: u64,
    error: Option<&'a str>,
}

impl<'a> From<&'a wire::BackendSweep> for SweepJson<'a> {
    fn from(sweep: &'a wire::BackendSweep) -> Self {
        Self {
            backend: &sweep.backend,
            entries: sweep.entries,
            created: sweep.created,
            updated: sweep.updated,
            deleted: sweep.deleted,
            error: Some(sweep.error.as_str()).filter(|error| !error.is_empty()),
        }
    }
}

impl Reconcile {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let answer = hub.call("reconcile", hub.admin().reconcile(wire::ReconcileRequest {})).await?;
        let json = Json { backends: answer.backends.iter().map(SweepJson::from).collect() };
        self.hub.output.print(out, &json, || text(&json))?;
        let read = json.backends.iter().all(|backend| backend.error.is_none());
        Ok(if read { Exit::Ok } else { Exit::Failure })
    }
}

fn text(json: &Json<'_>) -> String {
    let mut table = table(["BACKEND", "ENTRIES", "CREATED", "UPDATED", "DELETED", "STATE"]);
    for sweep in &json.backends {
        let counts = [sweep.entries, sweep.created, sweep.updated, sweep.deleted];
        // Counts of a backend that was not read would look like an empty one.
        let counts =
            counts.map(|count| if sweep.error.is_some() { "-".to_owned() } else { count.to_string() });
        let mut row = vec![escaped(sweep.backend)];
        row.extend(counts);
        row.push(sweep.error.map_or_else(|| "read".to_owned(), escaped));
        table.add_row(row);
    }
    table_text(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_was_not_read_does_not_look_empty() {
        let read =
            wire::BackendSweep { backend: "ssm".to_owned(), entries: 3, updated: 1, ..Default::default() };
        let failed = wire::BackendSweep {
            backend: "dynamodb".to_owned(),
            error: "gone\u{1b}".to_owned(),
            ..Default::default()
        };
        let json = Json { backends: vec![(&read).into(), (&failed).into()] };
        let text = text(&json);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["ssm", "3", "0", "1", "0", "read"]);
        assert_eq!(lines[2], ["dynamodb", "-", "-", "-", "-", "gone\\u{1b}"]);
        let json = serde_json::to_value(&json).unwrap();
        assert_eq!(json["backends"][0]["error"], serde_json::Value::Null);
    }
}
