//! `serve`: runs a hub. This is the life of that process.

use crate::app::{App, StartError};
use crate::backend;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::clock::system_clock;
use crate::config::{self, ServeArgs};
use crate::{shutdown, telemetry};
use clap::Args;

/// Run a hub
///
/// Needs nothing else on the machine: the store is one file in the data folder, and the
/// development issuer there signs tokens until a real one is configured. Settings come from
/// flags, from CONFHUB_… variables and from a file, in this order of precedence.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub serve --data-dir ./data
  confhub serve --config confhub.toml --print-config
  confhub serve --listen 127.0.0.1:0 --http 127.0.0.1:0 --ready-file ready.json

SIGTERM or Ctrl-C drains: streams get a goodbye, calls under way finish. A second one ends the
process at once."
)]
pub(crate) struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

impl Serve {
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        let loaded = config::load(&self.args, std::env::vars_os(), &backend::names())?;
        if self.args.print_config {
            output::write(&mut std::io::stdout(), loaded.to_toml().as_bytes(), b"")?;
            return Ok(Exit::Ok);
        }
        let settings = loaded.settings;
        telemetry::init_logging(&settings.log).map_err(|error| CliError::Failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?;
        let ended = runtime.block_on(async {
            let told = shutdown::signals()
                .map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
            serve(App::start(settings, system_clock()), told).await
        });
        // A check of the store that is under way is not waited for: it survives kill -9.
        runtime.shutdown_background();
        ended
    }
}

/// Starts a hub and runs it, until told to end: that may be before it has started.
async fn serve(
    start: impl Future<Output = Result<App, StartError>>,
    told: impl Future<Output = ()>,
) -> Result<Exit, CliError> {
    tokio::pin!(told);
    let app = tokio::select! {
        app = start => app?,
        () = &mut told => return Ok(Exit::Ok),
    };
    app.run(told).await?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_is_still_starting_can_be_ended() {
        let ended = serve(std::future::pending(), std::future::ready(()));
        let ended = tokio::time::timeout(Duration::from_secs(1), ended).await;
        assert_eq!(ended.expect("it went on starting").unwrap(), Exit::Ok);
    }
}
