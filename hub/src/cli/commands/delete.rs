//! `delete`: one entry.

use super::{Written, key, wire_service};
use crate::cli::applied::WaitArgs;
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_proto::{ServiceName, wire};

/// Delete one entry
///
/// Its history is kept: `history` still shows it, and `rollback` brings a version back.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub delete tenant_config_kafka_addr
  confhub delete --service ad tenant_config_port --expect-version 3

JSON: {\"key\", \"service\" (null: shared), \"version\" (of the deletion)}.
Exit code 3 if there is no such entry, 4 if its version is another,
8 if --wait does not see it applied."
)]
pub(crate) struct Delete {
    /// The key
    key: String,
    /// The service that the entry belongs to; without it, the shared one
    #[arg(long)]
    service: Option<ServiceName>,
    /// Delete only if the entry has this version now
    #[arg(long, value_name = "N")]
    expect_version: Option<u64>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl Delete {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::DeleteRequest {
            key: key.to_string(),
            service: wire_service(self.service.as_ref()),
            expected_version: self.expect_version,
        };
        let answer = hub.write(&format!("delete `{key}`"), hub.admin().delete(request)).await?;
        let written = Written::new(&key, self.service.as_ref(), answer.version);
        written.finish(&hub, &self.wait, (self.hub.output, out), "deleted as").await
    }
}
