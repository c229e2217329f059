//! `flag import` and `flag export`: whole flagd files.

use super::find::PREFIX;
use crate::cli::args::HubArgs;
use crate::cli::commands::import::carry_out;
use crate::cli::compare;
use crate::cli::document::{Address, DOCUMENT_BYTES, flags};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::file;
use crate::cli::hub::Hub;
use crate::cli::output::{self, Out};
use clap::Args;
use confhub_flags::{Document, Slot};
use confhub_proto::{Entry, ServiceName};
use std::path::PathBuf;

/// Make the hub agree with a flagd file
///
/// Each flag becomes an entry, and what stands beside them (evaluators, metadata) one more; all
/// texts are kept byte for byte. The file is checked as a whole before anything is written, and
/// each entry is written on the condition that nobody changes it meanwhile. Flags that the file
/// does not have are left alone, unless --replace says otherwise.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub flag import otel-demo.flagd.json
  confhub flag import --dry-run --replace otel-demo.flagd.json
  confhub flag import --service cart cart.flagd.json

JSON: as `confhub import` prints it. Exit code 2 if a flag is bad, 4 if somebody changed one meanwhile."
)]
pub(super) struct Import {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The service whose own flags these are; without it, all services share them
    #[arg(long)]
    service: Option<ServiceName>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete flags that the file does not have
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

impl Import {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let (name, bytes) = file::read_or_stdin(&self.file, DOCUMENT_BYTES)?;
        let document = flags(&name, &bytes, self.service.as_ref())?;
        let hub = Hub::connect(&self.hub).await?;
        let status = compare::status(&hub).await?;
        let replaced = |address: &Address| {
            self.replace && address.service == self.service && is_flags(address.key.as_str())
        };
        let plan = compare::with_hub(&hub, &document, replaced).await?;
        carry_out(&hub, &plan, &status, self.dry_run, self.hub.output, out).await
    }
}

/// Whether an entry with this key is a flag, or what they share.
fn is_flags(key: &str) -> bool {
    !matches!(Slot::of_key(key), Ok(None))
}

/// Write the flags to a flagd file or to standard output
///
/// The file is one that flagd, its providers and `flag import` read. All texts are as they were
/// written; flags are in the order of their names.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub flag export > flags.flagd.json
  confhub flag export --service cart -o cart.flagd.json
  confhub flag export --view --service cart | flagd start --uri file:/dev/stdin

The file is JSON, whatever --output says. With -o, JSON: {\"file\", \"flags\", \"left_out\": [why, …]}.
What somebody has stored that is no JSON object cannot stand in a file: it is left out and told on
standard error, and the exit code is 1."
)]
pub(super) struct Export {
    /// The service whose own flags are meant; without it, those that all share
    #[arg(long)]
    service: Option<ServiceName>,
    /// All that the service sees: the shared flags too, where none of its own hides them
    #[arg(long, requires = "service")]
    view: bool,
    /// The file to write, in one step; without it, or with `-`, standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

impl Export {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let mut entries = hub.list(vec![PREFIX.to_owned()]).await?;
        let service = self.service.as_ref();
        let is_wanted = |entry: &Entry| entry.service() == service || self.view && entry.service().is_none();
        entries.retain(is_wanted);
        // Shared ones come first, and those of the service take their places.
        let shared_first = |entry: &Entry| entry.service().is_some();
        entries.sort_by_key(shared_first);
        let texts = entries.iter().map(|entry| (entry.key().as_str(), &**entry.value()));
        let (document, left_out) = Document::join(texts);
        let text = document.to_string();
        let count = document.flags().count();
        let left_out: Vec<_> = left_out.iter().map(ToString::to_string).collect();
        match self.file.as_ref().filter(|path| path.as_os_str() != "-") {
            None => output::write(out, text.as_bytes(), b"")?,
            Some(path) => {
                file::write(path, text.as_bytes())?;
                let file = path.display().to_string();
                let json = serde_json::json!({"file": file, "flags": count, "left_out": left_out});
                self.hub.output.print(out, &json, || format!("{file}: {count} flags"))?;
            }
        }
        if left_out.is_empty() {
            return Ok(Exit::Ok);
        }
        Err(CliError::Failed(format!("left out, since it cannot stand in a file: {}", left_out.join("; "))))
    }
}
