//! `demo`: the whole story on one machine. A hub, the settings and flags of a
//! real shop, one SDK client for each of its services, changes that arrive.
//!
//! Every figure that it prints is measured while it runs.

mod figures;
mod fleet;
mod shop;
pub(super) mod stage;
mod stay;
mod story;

use super::error::CliError;
use super::exit::Exit;
use super::output::{self, Output};
use crate::shutdown;
use clap::Args;
use std::path::PathBuf;

/// Show it all: a hub, a shop's settings, its services, a change
///
/// Starts a hub on free ports of this machine, imports the settings and flags of the
/// OpenTelemetry demo shop, connects one client per service, changes things and measures how
/// long they take to arrive. Needs nothing else, and leaves nothing behind.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub demo
  confhub demo --once
  confhub demo --once --output json | jq .p50_ms

Without --once the hub stays up, and the demo prints what to type next.
The last line of --once: services, entries, writes, deliveries, p50_ms, max_ms (from sending a
write to its being applied in a service), restart_updates (updates sent again after a restart).
JSON: the same, as one object."
)]
pub(crate) struct Demo {
    /// Tell the story and end
    #[arg(long)]
    once: bool,
    /// Keep the hub's data in this folder; without it, in one that is removed at the end.
    /// What differs from the shop's files there is imported again
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

impl Demo {
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?.block_on(self.play())
    }

    async fn play(self) -> Result<Exit, CliError> {
        let told = shutdown::signals()
            .map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
        tokio::pin!(told);
        let mut stage = stage::Stage::open(self.data_dir.as_deref()).await?;
        let story = tokio::select! {
            story = story::tell(&mut stage, self.output) => Some(story?),
            () = &mut told => None,
        };
        if let Some((fleet, figures)) = story {
            self.output.print(&mut std::io::stdout(), &figures, || format!("\n{}", figures.line()))?;
            if !self.once {
                tokio::select! {
                    stayed = stay::for_good(&stage, &fleet, self.output) => stayed?,
                    () = told => {}
                }
            }
            fleet.close().await;
        }
        stage.close().await?;
        Ok(Exit::Ok)
    }
}

/// A line of the story.
fn say(output: Output, line: &str) -> Result<(), CliError> {
    match output {
        Output::Text => output::write(&mut std::io::stdout(), line.as_bytes(), b"\n"),
        Output::Json => Ok(()),
    }
}
