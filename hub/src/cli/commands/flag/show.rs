//! `flag show`: one flag, with its definition.

use super::find::{Found, Which, find};
use super::list::{JSON_HELP, Line};
use crate::cli::args::HubArgs;
use crate::cli::document;
use crate::cli::entry_view::{modified_cell, service_cell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::{Hub, malformed};
use crate::cli::output::{Out, escaped};
use clap::Args;
use confhub_proto::Entry;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Show a flag with its definition
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub flag show newCheckout
  confhub flag show newCheckout --service cart
  confhub flag show newCheckout --output json | jq .definition.targeting

JSON: flag, with \"definition\" beside it. Exit code 3 if there is no such flag.
{JSON_HELP}"))]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    line: &'a Line,
    definition: Option<Box<RawValue>>,
}

impl Show {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let found = find(&hub, &self.which).await?;
        let call = "read the flag";
        let entry = Entry::try_from(found.entry.clone()).map_err(|error| malformed(call, &error))?;
        let line = Line::of(&entry).ok_or_else(|| malformed(call, &"it is no flag"))?;
        let definition = document::inline(&found.entry.value, &found.entry.content_type);
        let json = Json { line: &line, definition };
        self.hub.output.print(out, &json, || text(&found, &line))?;
        Ok(Exit::Ok)
    }
}

fn text(found: &Found, line: &Line) -> String {
    let entry = &found.entry;
    let value = String::from_utf8_lossy(&entry.value);
    // What is on one line is spread; what somebody has laid out stays as it is.
    let spread = match (value.trim().contains('\n'), serde_json::from_str::<Value>(&value)) {
        (false, Ok(read)) => serde_json::to_string_pretty(&read).ok(),
        _ => None,
    };
    let definition = spread.unwrap_or_else(|| value.into_owned());
    let definition: Vec<_> = definition.lines().map(escaped).collect();
    let service = match entry.service.as_str() {
        "" => String::new(),
        service => format!(" --service {service}"),
    };
    format!(
        "{} {}, version {} of {}\n{}\n\n{}\n\nEarlier versions: confhub history {}{service}\n",
        escaped(&line.name),
        service_cell(&entry.service),
        entry.version,
        modified_cell(entry),
        escaped(line.now()),
        definition.join("\n"),
        entry.key,
    )
}
