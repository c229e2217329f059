//! `aws`: the account that a hub works in, looked at, or one of its own on this
//! machine.

mod check;
mod local;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Out, Output};
use clap::{Args, Subcommand};

/// Look at the AWS account of a hub, or run one on this machine
///
/// `check` says what is right and what is missing in the account that the settings name;
/// `local` starts an emulator of AWS with everything in it that a hub needs.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub aws local
  confhub aws check --profile aws
  confhub aws check --config confhub.toml --output json"
)]
pub(crate) struct Aws {
    #[command(subcommand)]
    command: AwsCommand,
}

#[derive(Debug, Subcommand)]
enum AwsCommand {
    Check(check::Check),
    Local(local::Local),
}

impl Aws {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        match self.command {
            AwsCommand::Check(check) => check.run(out).await,
            AwsCommand::Local(local) => local.run(out).await,
        }
    }

    /// How it prints.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            AwsCommand::Check(check) => check.output,
            AwsCommand::Local(local) => local.output,
        }
    }
}
