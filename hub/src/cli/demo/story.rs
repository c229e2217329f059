//! The story, act by act. Each does something and says what came of it.

use super::figures::{Figures, milliseconds};
use super::fleet::Fleet;
use super::stage::Stage;
use super::{say, shop};
use crate::auth::Role;
use crate::cli::commands::import;
use crate::cli::error::CliError;
use crate::cli::hub::Hub;
use crate::cli::live;
use crate::cli::output::{Output, shown, table, table_text};
use confhub_client::flags::Context;
use confhub_proto::{Bytes, Entry, wire};
use std::time::Duration;
use tokio::time::Instant;

/// Writes beside the two that the story tells of, so that a median means something.
const MORE_WRITES: usize = 50;

/// Tells it.
pub(super) async fn tell(stage: &mut Stage, output: Output) -> Result<(Fleet, Figures), CliError> {
    say(output, &format!("A hub is up at {}, its data in {}.", stage.endpoint(), stage.folder().display()))?;
    let token = stage.token("acme", "demo-operator", &[Role::Writer, Role::SecretReader])?;
    let hub = Hub::connect(&stage.args(token)).await?;

    let entries = fill(&hub, output).await?;
    let fleet = connect(stage, &entries, output).await?;
    let times = change(&hub, &fleet, output).await?;
    isolation(stage, output).await?;
    let updates = restart(stage, &fleet, output).await?;
    let figures = Figures::new(fleet.0.len(), entries.len(), &times, updates);
    Ok((fleet, figures))
}

async fn fill(hub: &Hub, output: Output) -> Result<Vec<Entry>, CliError> {
    let began = Instant::now();
    let imported = import::import(hub, &shop::files()?).await?;
    let took = milliseconds(began.elapsed());
    let entries = hub.list(Vec::new()).await?;
    let secrets = entries.iter().filter(|entry| entry.is_secret()).count();
    say(
        output,
        &format!(
            "Tenant acme gets the settings and flags of the OpenTelemetry demo shop:\n  \
             {} entries, {secrets} of them secrets; {} written{} in {took:.1} ms.",
            entries.len(),
            imported.added + imported.changed,
            if imported.batches == 1 { ", all in one commit," } else { "" }
        ),
    )?;
    Ok(entries)
}

async fn connect(stage: &Stage, entries: &[Entry], output: Output) -> Result<Fleet, CliError> {
    let mut services: Vec<_> = entries.iter().filter_map(|entry| entry.service().cloned()).collect();
    services.dedup();
    let began = Instant::now();
    let fleet = Fleet::connect(stage, services).await?;
    let took = milliseconds(began.elapsed());
    say(
        output,
        &format!(
            "\n{} services connect, each with its own view, in memory after {took:.1} ms:\n",
            fleet.0.len()
        ),
    )?;
    let mut table = table(["SERVICE", "ENTRIES", "OWN", "PORT"]);
    for member in &fleet.0 {
        let state = member.client.snapshot();
        let own = entries.iter().filter(|entry| entry.service() == Some(&member.service)).count();
        let port = member.client.get("tenant_config_port");
        let port = port.map(|entry| shown(entry.value(), false)).unwrap_or_default();
        table.add_row(vec![member.service.to_string(), state.len().to_string(), own.to_string(), port]);
    }
    let text = table_text(&table).lines().map(|line| format!("  {line}\n")).collect::<String>();
    say(output, text.trim_end())?;
    Ok(fleet)
}

async fn change(hub: &Hub, fleet: &Fleet, output: Output) -> Result<Vec<Duration>, CliError> {
    let flag = present(fleet, shop::FLAG_KEY)?;
    let before = ask(fleet)?;
    let broker = present(fleet, shop::SETTING)?;
    // The import has just made both what the files say.
    let definition = String::from_utf8_lossy(flag.value());
    let definition = definition.replace("\"defaultVariant\": \"off\"", "\"defaultVariant\": \"50%\"");
    let (durable, mut times) = write(hub, fleet, shop::FLAG_KEY, &flag, definition.into()).await?;
    say(output, &format!("\nThe flag cartFailure goes from off to 50%: {}", arrival(durable, &times)))?;
    let after = ask(fleet)?;
    say(output, &format!("  Service {} asked its memory before, {before}, and after: {after}.", shop::ASKS))?;
    let (durable, moved) = write(hub, fleet, shop::SETTING, &broker, "kafka-2:9092".into()).await?;
    say(output, &format!("The setting kafka_addr becomes kafka-2:9092: {}", arrival(durable, &moved)))?;
    times.extend(moved);
    let mut more = Vec::new();
    for n in 1..MORE_WRITES {
        more.extend(write(hub, fleet, shop::SETTING, &broker, format!("kafka-2-{n}:9092").into()).await?.1);
    }
    // The last one puts back what was there.
    more.extend(write(hub, fleet, shop::SETTING, &broker, broker.value().clone()).await?.1);
    more.sort_unstable();
    say(
        output,
        &format!(
            "{MORE_WRITES} more writes, {} deliveries: median {:.2} ms, slowest {:.2} ms.",
            more.len(),
            milliseconds(more.get(more.len() / 2).copied().unwrap_or_default()),
            milliseconds(more.last().copied().unwrap_or_default()),
        ),
    )?;
    times.extend(more);
    Ok(times)
}

/// What the flag comes to in a service that asks for it, as its code does.
fn ask(fleet: &Fleet) -> Result<String, CliError> {
    let service = fleet.0.iter().find(|member| member.service.as_str() == shop::ASKS);
    let service = service.ok_or_else(|| CliError::Failed(format!("there is no service {}", shop::ASKS)))?;
    let details = service.client.flags().float_details(shop::FLAG, -1.0, &Context::of("user-42"));
    match details.error {
        Some(error) => Err(CliError::Failed(format!("the flag {}: {error}", shop::FLAG))),
        None => Ok(format!("{} ({})", details.value, details.variant.as_deref().unwrap_or_default())),
    }
}

/// Writes and waits until every service has applied it. Returns when the write
/// was acknowledged as durable, and when each service had it, the fastest first.
async fn write(
    hub: &Hub,
    fleet: &Fleet,
    key: &'static str,
    like: &Entry,
    value: Bytes,
) -> Result<(Duration, Vec<Duration>), CliError> {
    let arrivals = fleet.expect(key, &value);
    let content = wire::Content { value, content_type: like.content_type().to_owned(), secret: false };
    let request = wire::PutRequest { key: key.to_owned(), content: Some(content), ..Default::default() };
    let sent = Instant::now();
    hub.call("put", hub.admin().put(request)).await?;
    let acknowledged = sent.elapsed();
    Ok((acknowledged, arrivals.since(sent).await?))
}

fn arrival(durable: Duration, times: &[Duration]) -> String {
    let at = |time: Option<&Duration>| milliseconds(time.copied().unwrap_or_default());
    format!(
        "acknowledged as durable after {:.2} ms,\n  applied in {} services, the first {:.2} ms and the last {:.2} ms after it was sent.",
        milliseconds(durable),
        times.len(),
        at(times.first()),
        at(times.last())
    )
}

fn present(fleet: &Fleet, key: &str) -> Result<std::sync::Arc<Entry>, CliError> {
    let entry = fleet.0.first().and_then(|member| member.client.get(key));
    entry.ok_or_else(|| CliError::Missing { keys: vec![key.to_owned()] })
}

async fn isolation(stage: &Stage, output: Output) -> Result<(), CliError> {
    let args = stage.args(stage.token("globex", "demo-visitor", &[Role::Reader])?);
    let other = live::connect(&args, None, &[], |_| {}).await?;
    let seen = other.snapshot().len();
    other.close().await;
    if seen != 0 {
        return Err(CliError::Failed(format!("the tenant globex sees {seen} entries and should see none")));
    }
    say(output, "\nAnother tenant, globex, listens to the same hub: it sees 0 entries.")
}

async fn restart(stage: &mut Stage, fleet: &Fleet, output: Output) -> Result<u64, CliError> {
    let updates = || fleet.0.iter().map(|member| member.client.stats().updates).sum::<u64>();
    let reconnects: Vec<_> = fleet.0.iter().map(|member| member.client.stats().reconnects).collect();
    let before = updates();
    let began = Instant::now();
    stage.restart().await?;
    let up = milliseconds(began.elapsed());
    fleet.reconnected(&reconnects).await?;
    let back = milliseconds(began.elapsed());
    let again = updates() - before;
    say(
        output,
        &format!(
            "The hub restarts in {up:.0} ms; all {} services are back after {back:.0} ms,\n  \
             and their cursors still match: {again} updates were sent again.",
            fleet.0.len()
        ),
    )?;
    Ok(again)
}
