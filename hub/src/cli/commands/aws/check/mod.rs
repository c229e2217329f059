//! `aws check`: what is right and what is missing in the account, found out
//! without changing anything in it.

#[cfg(feature = "aws")]
mod calls;
#[cfg(feature = "aws")]
mod events;
#[cfg(feature = "aws")]
mod look;
#[cfg(feature = "aws")]
mod pattern;
#[cfg(feature = "aws")]
mod queues;
#[cfg(feature = "aws")]
mod report;
#[cfg(feature = "aws")]
mod stores;
#[cfg(feature = "aws")]
mod table;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Out, Output};
use crate::config::ServeArgs;
use clap::Args;

/// Say what is right and what is missing in the AWS account of a hub
///
/// Takes the settings of `confhub serve`, asks the account for each thing that a hub with these
/// settings needs, and says how it stands and what to do. Changes nothing: it reads, and asks for
/// one write on a condition that never holds. Run it with the hub's role to see what that may do.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub aws check --profile aws
  confhub aws check --config confhub.toml
  confhub aws check --config confhub.toml --output json | jq '.resources[] | select(.state != \"ok\")'

STATE is ok, missing (it is not there), denied (the role lacks a right), unreachable, wrong (it is
there, and not as a hub needs it) or not checked (only using it can tell).

JSON: {\"ok\", \"resources\": [{\"resource\", \"state\" (ok, missing, denied, unreachable, wrong,
not_checked), \"what\", \"warnings\": [text, …]}]}.
Exit code 0 if nothing is missing, denied, unreachable or wrong, whatever warnings there are; 1
otherwise; 2 if a setting is wrong."
)]
pub(crate) struct Check {
    #[command(flatten)]
    args: ServeArgs,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

impl Check {
    #[cfg(feature = "aws")]
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let loaded = crate::config::load(&self.args, std::env::vars_os(), &crate::backend::names())?;
        if self.args.print_config {
            crate::cli::output::write(out, loaded.to_toml().as_bytes(), b"")?;
            return Ok(Exit::Ok);
        }
        let report = look::at(&loaded.settings).await?;
        self.output.print(out, &report, || report.text())?;
        Ok(report.exit())
    }

    #[cfg(not(feature = "aws"))]
    pub(crate) async fn run(self, _: Out<'_>) -> Result<Exit, CliError> {
        let _ = self.args;
        Err(CliError::Failed(
            "this confhub was built without AWS; `cargo install --path hub --features aws` makes one with it"
                .to_owned(),
        ))
    }
}
