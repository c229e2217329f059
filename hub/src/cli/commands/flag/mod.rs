//! `flag`: feature flags, which are entries like others; these commands know what is in
//! them.
//!
//! A command that changes a flag reads it, changes what it has to and leaves every other
//! byte as it is, and writes on the condition that nobody was faster.

mod create;
mod edit;
mod evaluate;
mod evaluation;
mod files;
mod find;
mod list;
mod percentage;
mod show;
mod switch;
mod target;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Out, Output};
use clap::{Args, Subcommand};

/// Turn feature flags on and off, for all or for some, and see why they are what they are
///
/// A flag is an entry in flagd's format: it has variants, of which everybody gets the default
/// one unless a rule says otherwise. It is shared by all services; one of a service's own
/// (--service) takes the shared one's place there. The hub refuses a definition that is bad.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub flag create newCheckout --description 'the new checkout'
  confhub flag target newCheckout --attribute plan --equals pro --then on
  confhub flag set-percentage newCheckout 5
  confhub flag evaluate newCheckout --targeting-key user-42 --context plan=free
  confhub flag off newCheckout
  confhub flag on newCheckout
  confhub flag list

`off` puts a switch in front of the rules: everybody gets the off variant, in every service, and
`on` takes it out again. Everything else of the flag can be changed meanwhile.
A flag NAME is the entry tenant_config_flag.NAME: `confhub history` and `rollback` take it."
)]
pub(crate) struct Flag {
    #[command(subcommand)]
    command: FlagCommand,
}

#[derive(Debug, Subcommand)]
enum FlagCommand {
    List(list::List),
    Show(show::Show),
    Create(create::Create),
    On(switch::On),
    Off(switch::Off),
    SetPercentage(percentage::SetPercentage),
    Target(target::Target),
    Evaluate(evaluate::Evaluate),
    Import(files::Import),
    Export(files::Export),
}

impl Flag {
    /// Runs it.
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        match self.command {
            FlagCommand::List(list) => list.run(out).await,
            FlagCommand::Show(show) => show.run(out).await,
            FlagCommand::Create(create) => create.run(out).await,
            FlagCommand::On(on) => on.run(out).await,
            FlagCommand::Off(off) => off.run(out).await,
            FlagCommand::SetPercentage(percentage) => percentage.run(out).await,
            FlagCommand::Target(target) => target.run(out).await,
            FlagCommand::Evaluate(evaluate) => evaluate.run(out).await,
            FlagCommand::Import(import) => import.run(out).await,
            FlagCommand::Export(export) => export.run(out).await,
        }
    }

    /// How it prints.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            FlagCommand::List(list) => list.hub.output,
            FlagCommand::Show(show) => show.hub.output,
            FlagCommand::Create(create) => create.hub.output,
            FlagCommand::On(on) => on.edit.hub.output,
            FlagCommand::Off(off) => off.edit.hub.output,
            FlagCommand::SetPercentage(percentage) => percentage.edit.hub.output,
            FlagCommand::Target(target) => target.edit.hub.output,
            FlagCommand::Evaluate(evaluate) => evaluate.hub.output,
            FlagCommand::Import(import) => import.hub.output,
            FlagCommand::Export(export) => export.hub.output,
        }
    }
}
