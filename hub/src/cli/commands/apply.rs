//! `apply`: several changes, all or nothing.

use crate::cli::applied::{self, Applied, WaitArgs};
use crate::cli::args::HubArgs;
use crate::cli::document::{self, DOCUMENT_BYTES};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::file;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, table, table_text};
use clap::Args;
use confhub_proto::{limits, wire};
use prost::Message;
use serde::Serialize;
use std::path::PathBuf;

/// Make several changes, all or nothing
///
/// Every subscriber sees all of them at once. One refused change, and nothing has changed.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
The file:
  {\"changes\": [
    {\"put\": {\"key\": \"tenant_config_limit\", \"value\": 5, \"expected_version\": 3}},
    {\"put\": {\"key\": \"tenant_config_addr\", \"service\": \"ad\", \"value\": \"ad:9555\"}},
    {\"delete\": {\"key\": \"tenant_config_old\"}}
  ]}
A JSON string is plain text, any other value application/json; other types are spelled
{\"$content_type\": …, \"$text\" | \"$base64\" | \"$json\": …}. \"secret\": true marks a secret.
At most 1,000 changes, all of one backend; DynamoDB makes 100 as one, Parameter Store and
Secrets Manager one.

Examples:
  confhub apply -f changes.json
  generate-changes | confhub apply -f -

JSON: {\"versions\": [{\"key\", \"service\" (null: shared), \"version\"}, …]}, in the order of the file.
Exit code 4 if an expected version is another, 8 if --wait does not see all of it applied (see `put`)."
)]
pub(crate) struct Apply {
    /// The file with the changes; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json {
    versions: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

#[derive(Serialize)]
struct Line {
    key: String,
    service: Option<String>,
    version: u64,
}

impl Apply {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let (name, bytes) = file::read_or_stdin(&self.file, DOCUMENT_BYTES)?;
        let request = wire::ApplyRequest { changes: document::changes(&name, &bytes)? };
        if request.encoded_len() > limits::REQUEST_BYTES {
            return Err(CliError::Usage(format!(
                "{name} makes a request of {} bytes; one apply takes at most {}",
                request.encoded_len(),
                limits::REQUEST_BYTES
            )));
        }
        let changes = request.changes.clone();
        let hub = Hub::connect(&self.hub).await?;
        let answer = hub.write("apply", hub.admin().apply(request)).await?;
        let line = |(change, version): (wire::Change, u64)| Line {
            key: change.key,
            service: Some(change.service).filter(|service| !service.is_empty()),
            version,
        };
        let written = |line: &Line| wire::Written {
            key: line.key.clone(),
            service: line.service.clone().unwrap_or_default(),
            version: line.version,
        };
        let versions: Vec<_> = changes.into_iter().zip(answer.versions).map(line).collect();
        let applied = self.wait.wait(&hub, versions.iter().map(written).collect()).await?;
        let json = Json { versions, applied };
        self.hub.output.print(out, &json, || {
            let mut table = table(["KEY", "SERVICE", "VERSION"]);
            for line in &json.versions {
                let service = line.service.as_deref().unwrap_or("(shared)");
                table.add_row(vec![line.key.as_str(), service, &line.version.to_string()]);
            }
            let applied = applied::text(&json.applied);
            format!("{}{} changes in one commit{applied}", table_text(&table), json.versions.len())
        })?;
        Ok(applied::exit(&json.applied))
    }
}
