//! `aws local`: an AWS on this machine, with the stack in it, for as long as this
//! command runs.
//!
//! The program brings the emulator's scripts and the stack along, so that no
//! checkout is needed; the emulator itself is a Python package, which is put into
//! an environment of its own on first use.

mod cache;
mod child;
mod emulator;
mod python;
mod variables;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Out, Output};
use crate::shutdown;
use cache::Cache;
use clap::Args;
use emulator::Emulator;
use python::Python;
use std::path::{Path, PathBuf};
use variables::Variables;

/// Start an AWS on this machine with everything in it that a hub needs
///
/// Starts an emulator of DynamoDB, Parameter Store, Secrets Manager, EventBridge, SNS, SQS and
/// Cognito on loopback, deploys confhub's stack there, prints the variables that lead a hub and
/// AWS's own tools to it, and stays until Ctrl-C. On first use it makes a Python environment in
/// the cache folder, which takes a minute and a way to Python's package index.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub aws local
  confhub aws local --env-file aws.env &
  (set -a; . ./aws.env; confhub serve)
  (set -a; . ./aws.env; aws dynamodb scan --table-name $CONFHUB_AWS_TABLE)
  confhub aws local --port 4566 --state-dir ./aws
  confhub aws local --prepare          (only makes the environment, and prints its Python)

Needs Python 3.10 or later with its module venv. Nothing is kept unless --state-dir says so.
The variables come as lines for a shell once everything is there; --env-file writes them to a
file as NAME=value, too. Those of the stack's user pool are comments, since development tokens
(`confhub token`) are accepted without them.

JSON, one line: {\"endpoint\", \"variables\": {name: value}, \"identity\": {name: value}}, where
\"identity\" has what makes a hub take the tokens of the stack's user pool.
SIGTERM or Ctrl-C ends the emulator and the command, with exit code 0. Exit code 1 if something
fails, 2 if the command line is wrong."
)]
pub(crate) struct Local {
    /// Port of the emulator; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// Keep what is in the account in this folder, for the next time
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Region that the stack is in
    #[arg(long, default_value = "us-east-1", value_name = "NAME")]
    region: String,
    /// Account that the stack is in: the emulator takes it for the access key, too
    #[arg(long, default_value = "000000000000", value_parser = account, value_name = "12 DIGITS")]
    account: String,
    /// Write the variables to this file as NAME=value once everything is there
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Only make the Python environment, print the path of its Python, and end
    #[arg(long, conflicts_with_all = ["port", "state_dir", "region", "account", "env_file"])]
    prepare: bool,
    /// Folder of the Python environment; default: confhub in $XDG_CACHE_HOME or ~/.cache
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The Python to make the environment with
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// How to print
    #[arg(long, env = "CONFHUB_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

impl Local {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let told = shutdown::signals()
            .map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
        tokio::pin!(told);
        // What is started in there ends when it is dropped.
        let ready = tokio::select! {
            ready = self.start(out) => ready?,
            () = &mut told => return Ok(Exit::Ok),
        };
        let Some(mut emulator) = ready else { return Ok(Exit::Ok) };
        self.output.remark(&format!("AWS is at {}; Ctrl-C ends it", emulator.endpoint()));
        tokio::select! {
            error = emulator.ended() => Err(error),
            () = told => {
                emulator.end().await;
                Ok(Exit::Ok)
            }
        }
    }

    /// Starts everything and tells of it; with `--prepare`, there is nothing to stay for.
    async fn start(&self, out: Out<'_>) -> Result<Option<Emulator>, CliError> {
        let cache = Cache::open(self.cache.as_deref(), std::env::var_os)?;
        let python = Python::prepare(&cache, &self.python, self.output).await?;
        if self.prepare {
            output::write(out, python.program().as_os_str().as_encoded_bytes(), b"\n")?;
            return Ok(None);
        }
        if let Some(path) = &self.env_file {
            forget(path)?;
        }
        let scripts = cache.scripts()?;
        let state = self.state_dir.as_deref().map(state_dir).transpose()?;
        let mut emulator =
            Emulator::start(&python, &scripts, self.port, &self.region, state.as_deref()).await?;
        let settings = emulator.deploy(&python, &scripts, &self.account, &self.region).await?;
        let variables = Variables::new(emulator.endpoint(), &self.region, settings);
        let users = variables::Users { python: python.program(), scripts: &scripts, account: &self.account };
        if let Some(path) = &self.env_file {
            crate::cli::file::write(path, variables.file().as_bytes())?;
        }
        self.output.print(out, &variables, || variables.shell(&users))?;
        Ok(Some(emulator))
    }
}

/// Removes the file of an earlier run, whose emulator is gone: whoever waits for
/// the file waits for this one.
fn forget(path: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The folder for the state, made if need be: the emulator is told where it is
/// from the root on, and works elsewhere.
fn state_dir(path: &Path) -> Result<PathBuf, CliError> {
    std::fs::create_dir_all(path).map_err(CliError::file("make", path))?;
    std::path::absolute(path).map_err(CliError::file("find", path))
}

fn account(text: &str) -> Result<String, String> {
    match text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("expected are 12 digits, such as 000000000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_twelve_digits() {
        assert!(account("000000000001").is_ok());
        for wrong in ["", "1", "0000000000001", "00000000000a", "०००००००००००१"] {
            assert!(account(wrong).is_err(), "{wrong}");
        }
    }
}
