//! An honest client: it reads one setting, again and again.

use confhub_benches::Result;
use confhub_benches::hub::{Caller, Hub};
use confhub_proto::wire;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;
use wire::config_service_client::ConfigServiceClient;

pub(crate) const KEY: &str = "tenant_config_a";

/// Half of what one tenant may call.
const PACE: Duration = Duration::from_millis(2);

/// Longest wait for an answer; after it the client counts as not served.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Honest {
    caller: Caller,
    client: ConfigServiceClient<Channel>,
}

/// How it fared.
pub(crate) struct Fared {
    pub(crate) p99_us: f64,
    pub(crate) calls: usize,
    /// Calls that failed, or had no answer in time.
    pub(crate) failed: usize,
}

impl Honest {
    pub(crate) async fn new(hub: &Hub) -> Result<Self> {
        let channel = hub.channel().await?;
        let caller = Caller::new(channel.clone(), &hub.token("acme")?)?;
        caller.put(KEY, "1".into()).await?;
        Ok(Self { caller, client: ConfigServiceClient::new(channel) })
    }

    /// Reads until `ends` is done.
    pub(crate) async fn reads(&self, ends: impl Future<Output = ()>) -> Fared {
        let mut beats = interval(PACE);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut client = self.client.clone();
        let (mut took, mut failed) = (Vec::new(), 0);
        tokio::pin!(ends);
        loop {
            tokio::select! {
                () = &mut ends => break,
                _ = beats.tick() => {}
            }
            let request = wire::GetRequest { key: KEY.to_owned(), ..wire::GetRequest::default() };
            let since = Instant::now();
            if !matches!(timeout(PATIENCE, client.get(self.caller.request(request))).await, Ok(Ok(_))) {
                failed += 1;
            }
            // A call that failed has taken its time as well.
            took.push(since.elapsed().as_secs_f64() * 1e6);
        }
        took.sort_unstable_by(f64::total_cmp);
        let p99_us = took.get(took.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        Fared { p99_us, calls: took.len(), failed }
    }
}
