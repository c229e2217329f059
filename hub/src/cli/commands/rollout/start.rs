//! `rollout start`.

use super::check::Checks;
use super::follow::follow;
use super::print;
use super::view::JSON_HELP;
use crate::cli::args::{HubArgs, duration};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::Out;
use clap::Args;
use confhub_proto::{ServiceName, wire};
use std::time::Duration;

/// Start a rollout
///
/// The flag needs two variants, and no rule or one that ends in a `fractional` of the two.
/// With a check the command stays: it makes the check again and again, tells the hub of each result,
/// and prints what happens. No step is followed by the next before a check has passed while it was
/// held. One that fails rolls back; if the checks stay away, the rollout pauses.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub rollout start newCheckout --steps 1,5,25,50,100 --hold 10m --services cart,checkout
  confhub rollout start newCheckout --steps 10,100 --hold 1h --check-command './error-rate-is-low'
  confhub rollout start newCheckout --steps 50,100 --hold 5m --check-url https://shop.example.com/health
  confhub rollout start theme --on dark --off plain --steps 25,100 --hold 24h

A command passes if it exits with 0 (it is run by `sh -c`, with CONFHUB_ROLLOUT and CONFHUB_ROLLOUT_STEP set),
a URL if it answers 2xx; either has to be done within --timeout.

{JSON_HELP}
While it stays: exit code 1 if the rollout ends in any other way than `done`."))]
pub(super) struct Start {
    /// The name of the flag
    flag: String,
    /// The shares of users, growing: 1,5,25,50,100
    #[arg(long, value_name = "PERCENTAGES", value_delimiter = ',', required = true)]
    steps: Vec<String>,
    /// How long each step is held once it is applied everywhere
    #[arg(long, value_parser = duration, value_name = "TIME")]
    hold: Duration,
    /// How long a step may take to be applied everywhere
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME")]
    apply_timeout: Duration,
    /// Whose instances are waited for; without it, those of all services
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    services: Vec<ServiceName>,
    /// The service that the flag belongs to; without it, all services share it
    #[arg(long)]
    service: Option<ServiceName>,
    /// The variant that is given to more and more users
    #[arg(long, default_value = "on", value_name = "VARIANT")]
    on: String,
    /// The variant of all others
    #[arg(long, default_value = "off", value_name = "VARIANT")]
    off: String,
    /// A command that says by its exit code whether all is well
    #[arg(long, value_name = "COMMAND", conflicts_with = "check_url")]
    check_command: Option<String>,
    /// A URL that answers 2xx if all is well
    #[arg(long, value_name = "URL")]
    check_url: Option<String>,
    /// How often the check is made
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    check_every: Duration,
    /// Stay and print what happens, also without a check
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// Checks in a row that may be late or lost before the hub misses them.
const MISSED: u32 = 3;

impl Start {
    pub(super) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let checks = match (&self.check_command, &self.check_url) {
            (Some(command), _) => Some(Checks::command(command, self.check_every)),
            (None, Some(url)) => Some(Checks::url(url, self.check_every)?),
            (None, None) => None,
        };
        let time = |time: Duration| prost_types::Duration::try_from(time).ok();
        let within = self.check_every.saturating_mul(MISSED).saturating_add(self.hub.timeout);
        let request = wire::StartRolloutRequest {
            flag: self.flag.clone(),
            service: super::super::wire_service(self.service.as_ref()),
            on: self.on,
            off: self.off,
            steps: self.steps,
            hold: time(self.hold),
            apply_timeout: time(self.apply_timeout),
            services: self.services.iter().map(ToString::to_string).collect(),
            check_within: checks.as_ref().and_then(|_| time(within)),
        };
        let hub = Hub::connect(&self.hub).await?;
        let call = format!("roll `{}` out", self.flag);
        let rollout = hub.write(&call, hub.rollouts().start_rollout(request)).await?;
        if checks.is_none() && !self.follow {
            return print(self.hub.output, rollout, out);
        }
        follow(&hub, &self.hub, rollout, checks, out).await
    }
}
