//! `fleet`: who is connected, and what each has applied.

use crate::cli::args::HubArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::instance_view::{InstanceJson, JSON_HELP, instances_table};
use crate::cli::output::Out;
use clap::Args;
use confhub_proto::{ServiceName, wire};
use serde::Serialize;
use std::time::Duration;
use tokio::time::sleep;

/// List the connected instances and what each has applied
///
/// Instances say themselves what they have applied and what they could not use. Their names are
/// their own words: whoever may listen to the tenant may take any name.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = format!("\
Examples:
  confhub fleet
  confhub fleet --service cart --watch
  confhub fleet --output json | jq '.instances[] | select(.changes_behind != 0) | .name'

JSON: {{\"instances\": […]}}, with --watch a line whenever it has changed.
{JSON_HELP}"))]
pub(crate) struct Fleet {
    /// Only instances of this service; may be repeated
    #[arg(long, value_name = "SERVICE")]
    service: Vec<ServiceName>,
    /// Print the list again whenever it has changed, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(PartialEq, Serialize)]
struct Json {
    instances: Vec<InstanceJson>,
}

/// How often a list that is watched is asked for.
const AGAIN: Duration = Duration::from_secs(1);

/// Most instances that are taken into memory: more than a hub has streams.
const MOST: usize = 200_000;

impl Fleet {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let services: Vec<_> = self.service.iter().map(ToString::to_string).collect();
        let mut last = None;
        loop {
            let json = Json { instances: instances(&hub, &services).await? };
            if last.as_ref() != Some(&json) {
                self.hub.output.print(out, &json, || text(&json.instances))?;
            }
            if !self.watch {
                return Ok(Exit::Ok);
            }
            last = Some(json);
            sleep(AGAIN).await;
        }
    }
}

fn text(instances: &[InstanceJson]) -> String {
    match instances {
        [] => "No instance is connected.".to_owned(),
        instances => instances_table(instances),
    }
}

/// All instances of these services (none: of all), page by page.
async fn instances(hub: &Hub, services: &[String]) -> Result<Vec<InstanceJson>, CliError> {
    let (mut all, mut after) = (Vec::new(), Vec::new());
    loop {
        let request = wire::ListInstancesRequest { services: services.to_vec(), after };
        let answer = hub.call("list the instances", hub.fleet().list_instances(request)).await?;
        all.extend(answer.instances.into_iter().map(InstanceJson::from));
        after = answer.position;
        if after.is_empty() || all.len() >= MOST {
            return Ok(all);
        }
    }
}
