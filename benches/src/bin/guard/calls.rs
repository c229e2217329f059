//! What a unary call costs a hub whose token it knows, and one whose token is
//! always new.

use confhub_benches::hub::{Caller, Hub};
use confhub_benches::latency::Latencies;
use confhub_benches::{Result, input};
use confhub_proto::wire;
use serde::Serialize;
use std::iter::repeat_n;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;

/// For how long the tokens are good: longer than any run.
const TTL: Duration = Duration::from_secs(3_600);

/// Figures of one round of calls, in microseconds a call.
#[derive(Serialize)]
pub(crate) struct CallRound {
    /// CPU time of the hub's process, with one token.
    pub(crate) known_cpu_us: f64,
    /// The same with always another token.
    pub(crate) new_cpu_us: f64,
    /// There and back, with one token.
    pub(crate) known_p50_us: f64,
    /// The same with always another token.
    pub(crate) new_p50_us: f64,
}

/// Calls `Get` so often with one token and with as many tokens. Both windows have
/// a tenant of their own, whose burst of calls is whole.
pub(crate) async fn round(hub: &Hub, number: u32, calls: usize) -> Result<CallRound> {
    let channel = hub.channel().await?;
    let known = prepare(hub, &channel, &format!("known-{number}"), 1).await?;
    let new = prepare(hub, &channel, &format!("new-{number}"), calls).await?;
    let known = repeat_n(known.first().ok_or("no token was made")?, calls);
    // Who comes first changes, so that neither gains from what warms up.
    let (known, new) = if number.is_multiple_of(2) {
        let known = window(hub, &channel, known).await?;
        (known, window(hub, &channel, new.iter()).await?)
    } else {
        let new = window(hub, &channel, new.iter()).await?;
        (window(hub, &channel, known).await?, new)
    };
    Ok(CallRound { known_cpu_us: known.0, new_cpu_us: new.0, known_p50_us: known.1, new_p50_us: new.1 })
}

/// An entry to read, and tokens to read it with, none of which the hub has seen.
async fn prepare(hub: &Hub, channel: &Channel, tenant: &str, tokens: usize) -> Result<Vec<Caller>> {
    let writer = Caller::new(channel.clone(), &hub.token(tenant)?)?;
    writer.seed(&input::settings(1)?).await?;
    let subjects = (0..tokens).map(|number| format!("subject-{number}"));
    let tokens = hub.tokens(tenant, subjects, SystemTime::now(), TTL)?;
    tokens.iter().map(|token| Caller::new(channel.clone(), token)).collect()
}

/// CPU time of the hub a call, and the median time there and back.
async fn window<'a>(
    hub: &Hub,
    channel: &Channel,
    callers: impl ExactSizeIterator<Item = &'a Caller>,
) -> Result<(f64, f64)> {
    let mut config = ConfigServiceClient::new(channel.clone());
    let key = input::settings(1)?.first().ok_or("there are no settings")?.key.to_string();
    let mut latencies = Latencies::new()?;
    let (calls, before) = (u32::try_from(callers.len())?, hub.server.cpu_time()?);
    for caller in callers {
        let request = caller.request(wire::GetRequest { key: key.clone(), service: String::new() });
        let called = Instant::now();
        config.get(request).await?;
        latencies.record(called.elapsed());
    }
    let cpu = hub.server.cpu_time()? - before;
    Ok((cpu.as_secs_f64() * 1e6 / f64::from(calls), latencies.millis(50.0) * 1e3))
}
