//! The operator's commands.
//!
//! All but `serve` and `demo` are clients of the hub's API: whatever they do,
//! another client could do. What they print as JSON and how they exit is part
//! of the interface; `--help` has it all.

mod args;
mod commands;
mod compare;
mod demo;
mod document;
mod entry_view;
mod error;
mod exit;
mod file;
mod hub;
mod live;
mod output;
mod progress;
mod value;

use clap::{CommandFactory, Parser, Subcommand};
use commands::{
    apply::Apply, completions::Completions, delete::Delete, diff::Diff, export::Export, get::Get,
    history::History, import::Import, put::Put, rollback::Rollback, serve::Serve, status::Status,
    token::Token, watch::Watch,
};
use demo::Demo;
use error::CliError;
use exit::Exit;
use output::Output;
use std::process::ExitCode;

/// A configuration hub for multi-tenant services
///
/// confhub keeps the settings and feature flags of many tenants, and streams every change of
/// them to the services that listen. One hub and one command line: `confhub demo` shows it all
/// in a minute, `confhub serve` runs a hub, the other commands talk to one.
#[derive(Debug, Parser)]
#[command(name = "confhub", version, propagate_version = true, after_long_help = help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn help() -> String {
    format!(
        "\
A first hub:
  confhub serve --data-dir ./data
  export CONFHUB_TOKEN=$(confhub token --data-dir ./data --tenant acme --role writer)
  confhub put tenant_config_greeting hello
  confhub watch

{}

Errors go to standard error; with --output json as {{\"error\": {{\"code\", \"exit\", \"message\", \"hint\"}}}}.",
        exit::TABLE
    )
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(Demo),
    Serve(Serve),
    Token(Token),
    Get(Get),
    Put(Put),
    Delete(Delete),
    Apply(Apply),
    Import(Import),
    Export(Export),
    Diff(Diff),
    Watch(Watch),
    History(History),
    Rollback(Rollback),
    Status(Status),
    Completions(Completions),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let output = command.output();
    run(command).unwrap_or_else(|error| output::fail(&error, output)).into()
}

fn run(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Token(token) => token.run(),
        Command::Watch(watch) => client(watch.run()),
        Command::Get(get) => client(get.run()),
        Command::Put(put) => client(put.run()),
        Command::Delete(delete) => client(delete.run()),
        Command::Apply(apply) => client(apply.run()),
        Command::Import(import) => client(import.run()),
        Command::Export(export) => client(export.run()),
        Command::Diff(diff) => client(diff.run()),
        Command::History(history) => client(history.run()),
        Command::Rollback(rollback) => client(rollback.run()),
        Command::Status(status) => client(status.run()),
        Command::Completions(completions) => completions.run(Cli::command()),
    }
}

/// Runs a command that only waits for a hub: one thread is enough.
fn client(command: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?.block_on(command)
}

impl Command {
    fn output(&self) -> Output {
        match self {
            Self::Get(Get { hub, .. })
            | Self::Put(Put { hub, .. })
            | Self::Delete(Delete { hub, .. })
            | Self::Apply(Apply { hub, .. })
            | Self::Import(Import { hub, .. })
            | Self::Export(Export { hub, .. })
            | Self::Diff(Diff { hub, .. })
            | Self::History(History { hub, .. })
            | Self::Rollback(Rollback { hub, .. })
            | Self::Watch(Watch { hub, .. })
            | Self::Status(Status { hub, .. }) => hub.output,
            Self::Demo(demo) => demo.output,
            Self::Token(token) => token.output,
            Self::Serve(_) | Self::Completions(_) => Output::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_has_the_exit_codes_and_every_command_an_explanation() {
        let mut cli = Cli::command();
        assert!(cli.render_long_help().to_string().contains(exit::TABLE.lines().nth(3).unwrap_or_default()));
        for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn values_that_start_with_a_dash_are_values() {
        for value in ["-5", "-", "-1.5"] {
            assert!(Cli::try_parse_from(["confhub", "put", "k", value]).is_ok(), "{value}");
        }
    }
}
