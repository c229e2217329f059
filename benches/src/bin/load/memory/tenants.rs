//! Tenants that are loaded, left and dropped.

use crate::args::Loads;
use crate::session::float;
use confhub_benches::connection::Connection;
use confhub_benches::counts::Counts;
use confhub_benches::hub::{CallPace, Caller, Hub};
use confhub_benches::messages::Messages;
use confhub_benches::{Error, Result, input};
use confhub_proto::wire;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use h2::RecvStream;
use prost::Message as _;
use serde::Serialize;
use std::cell::RefCell;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::frame::Kind;

/// How long a tenant is kept that nobody listens to.
const IDLE: Duration = Duration::from_secs(3);

/// Streams on a connection.
const STREAMS_EACH: usize = 100;

/// Tenants that are filled, or opened, at once.
const AT_ONCE: usize = 32;

/// Longest wait for tenants to be dropped.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a tenant takes, in kB beyond a hub with none.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub(super) loaded_kb: f64,
    pub(super) left_kb: f64,
    pub(super) dropped_kb: f64,
    pub(super) again_kb: f64,
}

/// Loads tenants that are in the store, leaves them, and loads them once more.
pub(super) async fn measure(loads: &Loads) -> Result<Held> {
    let place = &loads.wide.place;
    let idle = ("CONFHUB_TIMES_TENANT_IDLE", format!("{}s", IDLE.as_secs()));
    let mut hub = place.hub_with(CallPace::Lifted, &[idle]).await?;
    let tokens = (0..loads.tenants).map(|tenant| hub.token(&format!("t{tenant}")));
    let tokens: Vec<_> = tokens.collect::<Result<_>>()?;
    fill(&hub, &tokens, loads.keys).await?;
    // What it takes to have written all that is none of what it takes to have it.
    place.restart(&mut hub).await?;
    let empty_kb = hub.server.memory_kb()?;
    let each = |kb: f64| (kb - empty_kb) / float(loads.tenants);

    let tasks = RefCell::new(JoinSet::new());
    let streams = open(&hub, &tokens, &tasks).await?;
    let loaded_kb = each(hub.server.memory_kb()?);
    drop(streams);
    until(&hub, "confhub_streams").await?;
    let left_kb = each(hub.server.memory_kb()?);
    until(&hub, "confhub_tenants").await?;
    let dropped_kb = each(hub.server.memory_kb()?);
    let streams = open(&hub, &tokens, &tasks).await?;
    let again_kb = each(hub.server.memory_kb()?);
    drop(streams);
    Ok(Held { loaded_kb, left_kb, dropped_kb, again_kb })
}

async fn fill(hub: &Hub, tokens: &[String], keys: usize) -> Result<()> {
    let (channel, settings) = (hub.channel().await?, input::settings(keys)?);
    let fill = async |token: &String| Caller::new(channel.clone(), token)?.seed(&settings).await;
    let filling: Vec<_> = tokens.iter().map(fill).collect();
    stream::iter(filling).buffer_unordered(AT_ONCE).try_collect().await
}

/// Opens a stream of each tenant, and reads it until it is current.
async fn open(hub: &Hub, tokens: &[String], tasks: &RefCell<JoinSet<()>>) -> Result<Vec<RecvStream>> {
    let mut connections = Vec::new();
    for _ in 0..tokens.len().div_ceil(STREAMS_EACH) {
        connections.push(Connection::open(hub.address, tasks).await?);
    }
    let one = async |number: usize| {
        let mut connection = connections[number / STREAMS_EACH].clone();
        let mut stream = connection.subscribe(&tokens[number]).await?;
        let mut messages = Messages::default();
        loop {
            let bytes = stream.data().await.ok_or("a stream has ended")??;
            stream.flow_control().release_capacity(bytes.len())?;
            messages.push(bytes);
            for message in messages.by_ref() {
                if matches!(wire::Frame::decode(message)?.kind, Some(Kind::Heartbeat(_))) {
                    return Ok::<_, Error>(stream);
                }
            }
        }
    };
    let opening: Vec<_> = (0..tokens.len()).map(one).collect();
    stream::iter(opening).buffer_unordered(AT_ONCE).try_collect().await
}

/// Waits until a hub has none of these.
async fn until(hub: &Hub, gauge: &str) -> Result<()> {
    let since = Instant::now();
    while Counts::of(hub.http).await?.sum(gauge, &[]) > 0.0 {
        if since.elapsed() > PATIENCE {
            return Err(format!("`{gauge}` is not 0 after {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
