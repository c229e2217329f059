//! `aws check`: what is right and what is missing in the account.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Out, Output};
use crate::config::ServeArgs;
use clap::Args;

/// Say what is right and what is missing in the AWS account of a hub
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  confhub aws check")]
pub(crate) struct Check {
    #[command(flatten)]
    args: ServeArgs,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

impl Check {
    pub(crate) async fn run(self, _out: Out<'_>) -> Result<Exit, CliError> {
        let _ = self.args;
        Err(CliError::Failed("not yet".to_owned()))
    }
}
