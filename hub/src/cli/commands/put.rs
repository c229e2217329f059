//! `put`: one entry.

use super::{Written, key, wire_service};
use crate::cli::applied::WaitArgs;
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use crate::cli::value;
use clap::Args;
use confhub_proto::{Content, ServiceName, limits, wire};

/// Write one entry
///
/// When the command returns, the value is durable, and on its way to every subscriber.
/// The type is guessed: what parses as JSON is application/json, other UTF-8 is text, the rest
/// is bytes, and the key of a flag has the type of flags; --content-type says it outright. From standard input (`-`), one line break at the
/// end is left off; a file (`@FILE`) is taken byte for byte.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub put tenant_config_kafka_addr kafka:9092
  confhub put --service ad tenant_config_port 9555
  confhub put tenant_config_limits @limits.json --expect-version 3
  pass show db | confhub put --secret tenant_config_postgres_password -
  confhub put tenant_config_limit 5 --wait --services cart,checkout

JSON: {\"key\", \"service\" (null: shared), \"version\"}. Exit code 4 if the version is another.
With --wait: \"applied\": {\"state\" (applied, pending, refused), \"instances\", \"unreporting\", \"lacking_count\",
\"lacking\"}, the last as in `confhub fleet`; exit code 8 if the state is not `applied`."
)]
pub(crate) struct Put {
    /// The key
    key: String,
    /// The value; `-` reads standard input, `@FILE` a file
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// The service that the entry belongs to; without it, all services share it
    #[arg(long)]
    service: Option<ServiceName>,
    /// Media type of the value; without it, guessed
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The value is a secret: it is never streamed, cached or logged
    #[arg(long)]
    secret: bool,
    /// Write only if the entry has this version now; 0: only if there is none
    #[arg(long, value_name = "N")]
    expect_version: Option<u64>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

impl Put {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let key = key(&self.key)?;
        if self.secret && value::is_typed(&self.value) {
            self.hub.output.remark(
                "warning: the secret is in the history of this shell and was visible to other programs; \
                 give `-` and pipe it in",
            );
        }
        let value = value::read(&self.value)?;
        let content_type = match &self.content_type {
            Some(content_type) => content_type.as_str(),
            None => value::flag_type(key.as_str()).unwrap_or_else(|| value::guess_type(&value)),
        };
        let content = Content::new(value.into(), content_type, self.secret, limits::VALUE_BYTES)?;
        let hub = Hub::connect(&self.hub).await?;
        let request = wire::PutRequest {
            key: key.to_string(),
            service: wire_service(self.service.as_ref()),
            content: Some(wire::Content {
                value: content.value,
                content_type: content.content_type.to_string(),
                secret: content.secret,
            }),
            expected_version: self.expect_version,
        };
        let answer = hub.write(&format!("put `{key}`"), hub.admin().put(request)).await?;
        let written = Written::new(&key, self.service.as_ref(), answer.version);
        written.finish(&hub, &self.wait, (self.hub.output, out), "is now").await
    }
}
