//! `rollback`: an earlier version, written again.

use super::{Written, key, wire_service};
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_proto::{ServiceName, wire};

/// Write an earlier version again
///
/// The content of the old version becomes a new version; nothing is taken out of the history.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub history tenant_config_limits
  confhub rollback tenant_config_limits 3
  confhub rollback tenant_config_limits 3 --expect-version 5

JSON: {\"key\", \"service\" (null: shared), \"version\" (the new one)}.
Exit code 3 if the version is not kept, 4 if the present version is another."
)]
pub(crate) struct Rollback {
    /// The key
    key: String,
    /// The version to write again
    #[arg(value_name = "VERSION")]
    to: u64,
    /// The service that the entry belongs to; without it, the shared one
    #[arg(long)]
    service: Option<ServiceName>,
    /// Write only if the entry has this version now; 0: only if there is none
    #[arg(long, value_name = "N")]
    expect_version: Option<u64>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl Rollback {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::RollbackRequest {
            key: key.to_string(),
            service: wire_service(self.service.as_ref()),
            to_version: self.to,
            expected_version: self.expect_version,
        };
        let call = format!("roll `{key}` back to version {}", self.to);
        let answer = hub.write(&call, hub.admin().rollback(request)).await?;
        let written = Written::new(&key, self.service.as_ref(), answer.version);
        self.hub.output.print(out, &written, || {
            written.text(&format!("has the content of version {} again, as", self.to))
        })?;
        Ok(Exit::Ok)
    }
}
