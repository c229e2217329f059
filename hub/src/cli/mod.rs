//! The operator's commands.
//!
//! All but `serve`, `demo` and `aws` are clients of the hub: whatever they do,
//! another client could do. What they print as JSON and how they exit is part
//! of the interface; `--help` has it all.

mod applied;
mod args;
mod commands;
mod compare;
mod demo;
pub(crate) mod document;
mod entry_view;
mod error;
mod exit;
mod file;
mod hub;
mod instance_view;
mod live;
mod output;
mod progress;
#[cfg(test)]
mod round_trip;
mod value;

use clap::{CommandFactory, Parser, Subcommand};
use commands::{Aws, Completions, DevCertificate, Health, Operator, Serve, Token};
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
#[command(name = "confhub", version, propagate_version = true, verbatim_doc_comment, after_long_help = help())]
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

Errors go to standard error; with --output json as {{\"error\": {{\"code\", \"exit\", \"message\", \"hint\"}}}}.
The code is \"limited\" (exit 6) if a limit is reached and there may be room later, not before
\"retry_after_ms\" if that is there, and \"full\" (exit 1) if no wait makes room. \"request_id\" is
what the hub calls the call by. \"uncertain\": true is there if a write may have been made or
not, \"committed_batches\" if an import has ended early. A command line that cannot be read, `serve`, `health` and `completions`
tell their errors as text.",
        exit::TABLE
    )
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(Demo),
    Serve(Serve),
    Token(Token),
    DevCertificate(DevCertificate),
    #[command(flatten)]
    Operator(Operator),
    Health(Health),
    Aws(Aws),
    Completions(Completions),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let output = match &command {
        Command::Operator(operator) => operator.output(),
        Command::Demo(demo) => demo.output,
        Command::Token(token) => token.output,
        Command::DevCertificate(certificate) => certificate.output,
        Command::Aws(aws) => aws.output(),
        Command::Serve(_) | Command::Health(_) | Command::Completions(_) => Output::Text,
    };
    let ended = match command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Token(token) => token.run(),
        Command::DevCertificate(certificate) => certificate.run(),
        Command::Operator(operator) => wait(operator.run(&mut std::io::stdout())),
        Command::Aws(aws) => wait(aws.run(&mut std::io::stdout())),
        Command::Health(health) => wait(health.run(&mut std::io::stdout())),
        Command::Completions(completions) => completions.run(Cli::command()),
    };
    ended.unwrap_or_else(|error| output::fail(&error, output)).into()
}

/// A client only waits: one thread is enough.
fn wait(command: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(command)
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
        let help = cli.render_long_help().to_string();
        for line in exit::TABLE.lines() {
            assert!(help.contains(line.trim_end()), "{line}");
        }
        let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        let all = cli.get_subcommands().chain(nested);
        for command in all.filter(|command| command.get_name() != "help") {
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
