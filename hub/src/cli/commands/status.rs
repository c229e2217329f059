//! `status`: how the hub stands, seen from here.

use crate::cli::args::HubArgs;
use crate::cli::compare;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::hub::Hub;
use crate::cli::output::{Out, escaped, table, table_text};
use clap::Args;
use confhub_proto::wire;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Show how the hub stands
///
/// Asks for the hub's health, then for its state as the token's tenant sees it.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  confhub status
  confhub status --output json | jq -e '.health == \"SERVING\"'

JSON: {\"endpoint\", \"health\", \"round_trip_ms\", \"hub_version\", \"uptime_seconds\", \"tenant\", \"subject\",
\"roles\", \"entries\", \"bytes\", \"streams\", \"limits\": {\"value_bytes\", \"entries\", \"bytes\"}, \"backends\": [{\"prefix\", \"backend\", \"error\" (null: none), \"apply_changes\"}],
\"change_source\": null or {\"kind\", \"error\" (null: none)}}. `apply_changes` is how many changes one apply
may have there; without a change source, changes that others make are found by sweeps alone.
Exit code 1 if the hub is not serving or a backend does not answer."
)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Serialize)]
struct Json<'a> {
    endpoint: &'a str,
    health: &'static str,
    round_trip_ms: f64,
    hub_version: &'a str,
    uptime_seconds: i64,
    tenant: &'a str,
    subject: &'a str,
    roles: &'a [String],
    entries: u64,
    bytes: u64,
    streams: u64,
    limits: LimitsJson,
    backends: Vec<BackendJson<'a>>,
    change_source: Option<SourceJson<'a>>,
}

#[derive(Serialize)]
struct LimitsJson {
    value_bytes: u64,
    entries: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct BackendJson<'a> {
    prefix: &'a str,
    backend: &'a str,
    error: Option<&'a str>,
    apply_changes: u32,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    kind: &'a str,
    error: Option<&'a str>,
}

impl Status {
    pub(crate) async fn run(self, out: Out<'_>) -> Result<Exit, CliError> {
        let hub = Hub::connect(&self.hub).await?;
        let health = health(&hub).await?;
        let asked = Instant::now();
        let status = compare::status(&hub).await?;
        let round_trip = asked.elapsed();
        let json = json(&hub, health, round_trip, &status);
        self.hub.output.print(out, &json, || text(&json))?;
        let well =
            health == ServingStatus::Serving && json.backends.iter().all(|backend| backend.error.is_none());
        Ok(if well { Exit::Ok } else { Exit::Failure })
    }
}

async fn health(hub: &Hub) -> Result<ServingStatus, CliError> {
    let mut client = HealthClient::new(hub.channel());
    let answer = hub.call("health", client.check(HealthCheckRequest { service: String::new() })).await?;
    Ok(answer.status())
}

fn json<'a>(
    hub: &'a Hub,
    health: ServingStatus,
    round_trip: Duration,
    status: &'a wire::StatusResponse,
) -> Json<'a> {
    let backend = |backend: &'a wire::BackendStatus| BackendJson {
        prefix: &backend.prefix,
        backend: &backend.backend,
        error: Some(backend.error.as_str()).filter(|error| !error.is_empty()),
        apply_changes: backend.apply_changes,
    };
    let source = status.change_source.as_ref().filter(|source| !source.kind.is_empty());
    let source = source.map(|source| SourceJson {
        kind: &source.kind,
        error: Some(source.error.as_str()).filter(|error| !error.is_empty()),
    });
    let limits = status.limits.unwrap_or_default();
    let limits = LimitsJson { value_bytes: limits.value_bytes, entries: limits.entries, bytes: limits.bytes };
    Json {
        endpoint: hub.endpoint(),
        health: health.as_str_name(),
        round_trip_ms: round_trip.as_secs_f64() * 1_000.0,
        hub_version: &status.hub_version,
        uptime_seconds: status.uptime.unwrap_or_default().seconds,
        tenant: &status.tenant,
        subject: &status.subject,
        roles: &status.roles,
        entries: status.entries,
        bytes: status.bytes,
        streams: status.streams,
        limits,
        backends: status.backends.iter().map(backend).collect(),
        change_source: source,
    }
}

fn occupied(json: &Json<'_>) -> String {
    let Json { entries, bytes, limits, .. } = json;
    format!("{entries} of at most {}, {bytes} bytes of at most {}", limits.entries, limits.bytes)
}

fn changes(source: Option<&SourceJson<'_>>) -> String {
    match source {
        None => "found by sweeps".to_owned(),
        Some(SourceJson { kind, error: None }) => format!("told by {}", escaped(kind)),
        Some(SourceJson { kind, error: Some(error) }) => {
            format!("found by sweeps alone; {} does not work: {}", escaped(kind), escaped(error))
        }
    }
}

fn text(json: &Json<'_>) -> String {
    let mut facts = table(["HUB", json.endpoint]);
    let (hours, minutes, seconds) =
        (json.uptime_seconds / 3_600, json.uptime_seconds / 60 % 60, json.uptime_seconds % 60);
    for (name, value) in [
        ("health", json.health.to_owned()),
        ("version", escaped(json.hub_version)),
        ("up for", format!("{hours}h {minutes:02}m {seconds:02}s")),
        ("round trip", format!("{:.2} ms", json.round_trip_ms)),
        ("tenant", json.tenant.to_owned()),
        ("you are", format!("{} ({})", escaped(json.subject), escaped(&json.roles.join(", ")))),
        ("entries", occupied(json)),
        ("open streams", json.streams.to_string()),
        ("changes by others", changes(json.change_source.as_ref())),
    ] {
        facts.add_row(vec![name.to_owned(), value]);
    }
    let mut backends = table(["PREFIX", "BACKEND", "STATE"]);
    for backend in &json.backends {
        let state = backend.error.map_or_else(|| "answers".to_owned(), escaped);
        backends.add_row(vec![backend.prefix.to_owned(), backend.backend.to_owned(), state]);
    }
    format!("{}\n{}", table_text(&facts), table_text(&backends))
}
