//! `rollout`: a flag for more and more users.

mod check;
mod follow;
mod start;
mod view;

use super::super::args::HubArgs;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::hub::Hub;
use super::super::output::{Out, Output};
use clap::{Args, Subcommand};
use confhub_proto::wire;
use follow::follow;
use start::Start;
use view::{JSON_HELP, RolloutJson, RolloutsJson, events_text, rollouts_table};
use wire::steer_rollout_request::Action;

/// Give a flag to more and more users, step by step
///
/// A hub makes the steps: each waits until all instances have applied it, is held for a while, and
/// is followed by the next. What goes wrong, a refusal, an instance that does not report any more
/// or a check that fails, restores the state before. The rollout survives hubs; if somebody else
/// changes the flag meanwhile, it pauses and overwrites nothing.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub rollout start newCheckout --steps 1,5,25,50,100 --hold 10m --services cart,checkout
  confhub rollout status 5f0c9a4e11d2b377 --follow
  confhub rollout pause 5f0c9a4e11d2b377
  confhub rollout list"
)]
pub(crate) struct RolloutCommand {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    Start(Box<Start>),
    Pause(Pause),
    Resume(Resume),
    Abort(Abort),
    Status(StatusOf),
    List(List),
    Record(Record),
}

/// Stop a rollout where it is
///
/// The flag stays as it is; `resume` goes on with the present step.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  confhub rollout pause 5f0c9a4e11d2b377")]
struct Pause {
    /// Which rollout
    id: String,
    #[command(flatten)]
    hub: HubArgs,
}

/// Go on with a rollout that is paused
///
/// The present step has to be applied everywhere and is held anew. If somebody else has changed the
/// flag, what they have made of it is the state that a rollback restores from now on.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  confhub rollout resume 5f0c9a4e11d2b377")]
struct Resume {
    /// Which rollout
    id: String,
    #[command(flatten)]
    hub: HubArgs,
}

/// End a rollout and restore the state before it
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  confhub rollout abort 5f0c9a4e11d2b377\n  confhub rollout abort 5f0c9a4e11d2b377 --keep"
)]
struct Abort {
    /// Which rollout
    id: String,
    /// Leave the flag as it is
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Show how a rollout stands
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub rollout status 5f0c9a4e11d2b377
  confhub rollout status 5f0c9a4e11d2b377 --follow

{JSON_HELP}
With --follow: exit code 1 if it ends in any other way than `done`."))]
struct StatusOf {
    /// Which rollout
    id: String,
    /// Print what happens until it is over
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// List the rollouts that are kept: those under way, and the last that have ended
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub rollout list
  confhub rollout list --output json | jq '.rollouts[] | select(.state == \"paused\") | .id'

JSON: {{\"rollouts\": […]}}. {JSON_HELP}"))]
struct List {
    #[command(flatten)]
    hub: HubArgs,
}

/// Show what has happened to a rollout
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub rollout record 5f0c9a4e11d2b377

{JSON_HELP}"))]
struct Record {
    /// Which rollout
    id: String,
    #[command(flatten)]
    hub: HubArgs,
}

impl RolloutCommand {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        match self.command {
            Sub::Start(start) => start.run(out).await,
            Sub::Pause(Pause { id, hub }) => steer(&hub, id, Action::Pause, out).await,
            Sub::Resume(Resume { id, hub }) => steer(&hub, id, Action::Resume, out).await,
            Sub::Abort(Abort { id, keep, hub }) => {
                steer(&hub, id, if keep { Action::AbortAndKeep } else { Action::Abort }, out).await
            }
            Sub::Status(StatusOf { id, follow: follows, hub: args }) => {
                let hub = Hub::connect(&args).await?;
                let rollout = one(&hub, &id).await?;
                if follows {
                    return follow(&hub, &args, rollout, None, out).await;
                }
                print(args.output, rollout, out)
            }
            Sub::List(List { hub: args }) => {
                let hub = Hub::connect(&args).await?;
                let request = wire::ListRolloutsRequest::default();
                let answer = hub.call("list the rollouts", hub.rollouts().list_rollouts(request)).await?;
                let rollouts = answer.rollouts.into_iter().map(RolloutJson::from).collect();
                let json = RolloutsJson { rollouts };
                args.output.print(out, &json, || rollouts_table(&json.rollouts))?;
                Ok(Exit::Ok)
            }
            Sub::Record(Record { id, hub: args }) => {
                let hub = Hub::connect(&args).await?;
                let json = RolloutJson::from(one(&hub, &id).await?);
                args.output.print(out, &json, || events_text(&json))?;
                Ok(Exit::Ok)
            }
        }
    }

    /// How it prints.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            Sub::Start(start) => start.hub.output,
            Sub::Pause(pause) => pause.hub.output,
            Sub::Resume(resume) => resume.hub.output,
            Sub::Abort(abort) => abort.hub.output,
            Sub::Status(status) => status.hub.output,
            Sub::List(list) => list.hub.output,
            Sub::Record(record) => record.hub.output,
        }
    }
}

async fn steer(args: &HubArgs, id: String, action: Action, out: Out<'_>) -> Result<Exit, CliError> {
    let hub = Hub::connect(args).await?;
    let call = format!("steer the rollout `{id}`");
    let request = wire::SteerRolloutRequest { id, action: action.into() };
    let rollout = hub.write(&call, hub.rollouts().steer_rollout(request)).await?;
    print(args.output, rollout, out)
}

/// One rollout, as the hub has it.
async fn one(hub: &Hub, id: &str) -> Result<wire::Rollout, CliError> {
    let request = wire::ListRolloutsRequest { id: id.to_owned() };
    let call = format!("look at the rollout `{id}`");
    let answer = hub.call(&call, hub.rollouts().list_rollouts(request)).await?;
    let rollout = answer.rollouts.into_iter().next();
    rollout.ok_or_else(|| super::super::hub::malformed(&call, &"it has no rollout"))
}

fn print(output: Output, rollout: wire::Rollout, out: Out<'_>) -> Result<Exit, CliError> {
    let json = RolloutJson::from(rollout);
    output.print(out, &json, || json.text())?;
    Ok(Exit::Ok)
}
