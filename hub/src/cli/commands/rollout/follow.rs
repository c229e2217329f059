//! Prints what happens to a rollout until it is over, and makes its checks meanwhile.

use super::check::Checks;
use super::one;
use super::view::{RolloutJson, state};
use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, Output};
use confhub_proto::wire;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use wire::rollout::State;

/// How often the hub is asked.
const LOOK: Duration = Duration::from_millis(500);

/// Follows a rollout. A hub that cannot be reached is asked again: the rollout goes on
/// without this command, unless it makes its checks.
pub(super) async fn follow(
    hub: &Hub,
    args: &HubArgs,
    mut rollout: wire::Rollout,
    checks: Option<Checks>,
    out: Out<'_>,
) -> Result<Exit, CliError> {
    let every = checks.as_ref().map_or(LOOK, Checks::every);
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let mut lost: Option<Instant> = None;
    loop {
        told = tell(args.output, &rollout, told, out)?;
        match rollout.state() {
            State::Done => return Ok(Exit::Ok),
            State::RolledBack | State::Aborted => return Ok(Exit::Failure),
            _ => {}
        }
        let next = tokio::select! {
            _ = due.tick(), if checks.is_some() => match &checks {
                Some(checks) => check(hub, args, &rollout, checks).await,
                None => one(hub, &rollout.id).await,
            },
            () = sleep(LOOK) => one(hub, &rollout.id).await,
        };
        match next {
            Ok(next) => (rollout, lost) = (next, None),
            Err(error) if error.exit() == Exit::Unreachable || error.is_uncertain() => {
                if lost.is_none() {
                    args.output.remark(&format!("(waiting for a hub: {error})"));
                }
                lost = Some(lost.unwrap_or_else(Instant::now));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes one check, if the rollout wants to know.
async fn check(
    hub: &Hub,
    args: &HubArgs,
    rollout: &wire::Rollout,
    checks: &Checks,
) -> Result<wire::Rollout, CliError> {
    if !matches!(rollout.state(), State::Writing | State::Applying | State::Holding) {
        return one(hub, &rollout.id).await;
    }
    let (passed, message) = checks.make(rollout, args.timeout).await;
    if !passed {
        args.output.remark(&format!("(the check has failed: {message})"));
    }
    let request = wire::CheckRolloutRequest { id: rollout.id.clone(), passed, message };
    hub.call("tell of the check", hub.rollouts().check_rollout(request)).await
}

/// Prints what is new; returns how many events are told.
fn tell(output: Output, rollout: &wire::Rollout, told: usize, out: Out<'_>) -> Result<usize, CliError> {
    let json = RolloutJson::from(rollout.clone());
    // A record forgets some of its middle when it is full.
    let new = json.events.get(told.min(json.events.len())..).unwrap_or_default();
    if !new.is_empty() {
        let lines = || new.iter().map(super::view::EventJson::line).collect::<Vec<_>>().join("\n");
        match output {
            Output::Json => output.print(out, &json, String::new)?,
            Output::Text => {
                if told == 0 {
                    output.print(out, &json, || json.text())?;
                }
                output.print(out, &json, lines)?;
            }
        }
    }
    let over = matches!(rollout.state(), State::Done | State::RolledBack | State::Aborted);
    if over && output == Output::Text {
        output.print(out, &json, || state(rollout.state()).replace('_', " "))?;
    }
    Ok(json.events.len())
}
