//! `export`: the tenant's entries as a document.

use crate::cli::args::HubArgs;
use crate::cli::document;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::file;
use crate::cli::hub::Hub;
use crate::cli::output::{self, Out, Output};
use clap::Args;
use confhub_proto::{Entry, Prefix};
use std::path::PathBuf;

/// Write the tenant's entries to a file or to standard output
///
/// The document can be imported again, and becomes what it was, byte for byte. The values of
/// secrets stay in the hub: the document has a marker for each, which import passes over.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub export > shop.json
  confhub export --prefix tenant_config_flag -o flags.json
  confhub export | confhub import --endpoint https://other.example.com --token-file other.jwt -

The document is JSON, whatever --output says: {\"shared\": {…}, \"services\": {…}, \"secrets\": {…}}.
With -o, JSON: {\"file\", \"entries\", \"secrets\"}."
)]
pub(crate) struct Export {
    /// Only keys that start with this; may be repeated
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<Prefix>,
    /// The file to write, in one step; without it, or with `-`, standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl Export {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let entries = hub.list(self.prefix.iter().map(ToString::to_string).collect()).await?;
        let text = document::export(&entries).map_err(|error| CliError::Failed(error.to_string()))?;
        let secrets = entries.iter().filter(|entry| Entry::is_secret(entry)).count();
        let said = format!("{} entries, {secrets} of them secrets without their values", entries.len());
        match self.file.as_ref().filter(|path| path.as_os_str() != "-") {
            None => {
                output::write(out, &text, b"")?;
                self.hub.output.remark(&said);
            }
            Some(path) => {
                file::write(path, &text)?;
                let json = serde_json::json!({
                    "file": path.display().to_string(), "entries": entries.len(), "secrets": secrets,
                });
                Output::print(self.hub.output, out, &json, || format!("{}: {said}", path.display()))?;
            }
        }
        Ok(Exit::Ok)
    }
}
