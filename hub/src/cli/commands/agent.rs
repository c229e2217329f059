//! `agent`: flags for the programs of this machine, without a token.

use crate::agent::{Agent as Server, Listen, ListenError};
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Out;
use crate::cli::{hub, live};
use crate::config::{LogFormat, LogSettings};
use crate::{shutdown, telemetry};
use clap::Args;
use confhub_client::{Builder, Client, FailureKind, Status};
use confhub_flags::Served;
use confhub_proto::ServiceName;
use serde::Serialize;
use std::path::PathBuf;

/// Serve a tenant's flags on this machine, to flagd's providers without a token
///
/// For languages whose flagd provider cannot show a token. Follows the flags of one service (or
/// the shared ones) as a service would, with a token of its own, and serves them by flagd's sync
/// protocol to every program that may connect: on loopback to all of this machine, on a Unix
/// socket to the user that it runs as. It has no other entries. While no hub can be reached it
/// serves the last flags; with --disk also after a restart.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub agent --service checkout --token-file /run/secrets/confhub --disk /var/lib/confhub/flags.state
  confhub agent --service checkout --token-command 'fetch-token --audience confhub'
  confhub agent --listen unix:/run/checkout/flags.sock --endpoint https://confhub.example.com:7600

A provider in in-process mode finds it at localhost:8015, which is its default. gRPC health says
SERVING once there are flags. JSON, one line when it listens: {\"listen\"}. SIGTERM or Ctrl-C ends
its streams and itself; it ends with exit code 5 when its token is revoked."
)]
pub(crate) struct Agent {
    /// The service whose flags are served; without it, shared flags alone
    #[arg(long)]
    service: Option<ServiceName>,
    /// Where to listen: an address and a port (0: any free one), or unix:/a/path
    #[arg(long, env = "CONFHUB_AGENT_LISTEN", default_value = "127.0.0.1:8015", value_name = "PLACE")]
    listen: Listen,
    /// Listen beyond this machine too; whoever reaches the port reads the flags
    #[arg(long)]
    allow_others: bool,
    /// A file that keeps the last flags, for a start while no hub can be reached
    #[arg(long, env = "CONFHUB_AGENT_DISK", value_name = "FILE")]
    disk: Option<PathBuf>,
    /// A program that prints the token, with its arguments, which blanks part; it is run with no
    /// shell, whenever a token is needed
    #[arg(long, value_name = "COMMAND", conflicts_with = "token_file")]
    token_command: Option<String>,
    /// What is logged to standard error: info, or by target: warn,confhub=debug
    #[arg(long, env = "CONFHUB_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    log_filter: String,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json {
    listen: String,
}

impl Agent {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let log = LogSettings { filter: self.log_filter.clone(), format: LogFormat::Text };
        telemetry::init_logging(&log).map_err(|error| CliError::Usage(error.to_string()))?;
        let told = shutdown::signals()
            .map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
        // A token or a file that is no good is told before anybody connects.
        drop(self.builder()?);
        let listener = self.listen.open(self.allow_others).await.map_err(refused)?;
        let place = listener.place()?.to_string();
        self.hub.output.print(out, &Json { listen: place.clone() }, || format!("Listening on {place}"))?;
        let agent = Server::new(self.service.clone());
        agent.run(listener, self.connect(), told).await?;
        Ok(Exit::Ok)
    }

    /// Waits for a first state for as long as there may be one: whoever starts the agent
    /// should not have to start a hub before.
    async fn connect(&self) -> Result<Client, CliError> {
        loop {
            let tell = |status: &Status| tracing::warn!(%status, "waiting for a hub");
            match self.builder()?.connect_telling(tell).await {
                Ok(client) => return Ok(client),
                Err(error) => match live::failed(&self.hub.endpoint, error) {
                    CliError::Unreachable { .. } => {}
                    CliError::NoStream { kind, .. } if kind != FailureKind::Refused => {}
                    error => return Err(error),
                },
            }
        }
    }

    fn builder(&self) -> Result<Builder, CliError> {
        let mut builder = live::builder(&self.hub).instance("confhub-agent");
        builder = match (&self.token_command, &self.hub.token_file) {
            (Some(command), _) => {
                let mut words = command.split_whitespace();
                let program = words.next().ok_or_else(|| {
                    CliError::Usage("--token-command is empty: name a program that prints a token".to_owned())
                })?;
                builder.token_command(program, words)
            }
            (None, Some(path)) => builder.token_file(path),
            (None, None) => builder.token(hub::token(&self.hub)?),
        };
        if let Some(service) = &self.service {
            builder = builder.service(service.as_str());
        }
        if let Some(disk) = &self.disk {
            builder = builder.disk(disk);
        }
        // It gets nothing but flags, and so has nothing else to give.
        let prefixes = Served::prefixes("").map_err(|error| CliError::Failed(error.to_string()))?;
        Ok(prefixes.into_iter().fold(builder, Builder::prefix))
    }
}

/// Why there is nowhere to listen, as one of our errors.
fn refused(error: ListenError) -> CliError {
    match error {
        ListenError::Io { .. } => CliError::Failed(error.to_string()),
        error => CliError::Usage(error.to_string()),
    }
}
