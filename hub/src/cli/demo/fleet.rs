//! The services: one SDK client each.

use super::stage::{PATIENCE, Stage};
use crate::auth::Role;
use crate::cli::error::CliError;
use crate::cli::live;
use confhub_client::Client;
use confhub_proto::{Bytes, Prefix, ServiceName};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

/// All services of the shop.
pub(super) struct Fleet(pub(super) Vec<Member>);

/// One service.
pub(super) struct Member {
    /// Its name.
    pub(super) service: ServiceName,
    /// Its client.
    pub(super) client: Client,
}

impl Fleet {
    /// Connects them all at once.
    pub(super) async fn connect(stage: &Stage, services: Vec<ServiceName>) -> Result<Self, CliError> {
        let mut connecting = JoinSet::new();
        for service in services {
            let args = stage.args(stage.token("acme", service.as_str(), &[Role::Reader])?);
            connecting.spawn(async move {
                let client = live::connect(&args, Some(&service), &[] as &[Prefix], |_| {}).await?;
                Ok::<_, CliError>(Member { service, client })
            });
        }
        let mut members = Vec::new();
        while let Some(connected) = connecting.join_next().await {
            members.push(connected.map_err(lost)??);
        }
        members.sort_by(|a, b| a.service.cmp(&b.service));
        Ok(Self(members))
    }

    /// Starts to wait in every service until `key` has `value` there. What it
    /// returns is when each one had.
    pub(super) fn expect(&self, key: &'static str, value: &Bytes) -> Arrivals {
        let mut waiting = JoinSet::new();
        for member in &self.0 {
            let (client, value) = (member.client.clone(), value.clone());
            // Made here, so that it exists before the write.
            let mut changes = client.changes();
            waiting.spawn(async move {
                while client.get(key).is_none_or(|entry| *entry.value() != value) {
                    changes.next().await.ok_or_else(|| live::ended(&client))?;
                }
                Ok(Instant::now())
            });
        }
        Arrivals { key, waiting }
    }

    /// Waits until every service has a hub again that confirms its state.
    pub(super) async fn reconnected(&self, before: &[u64]) -> Result<(), CliError> {
        for (member, before) in self.0.iter().zip(before) {
            // A client that finds its hub again at once was never anything but
            // ready, so its status alone does not tell.
            let again = async {
                let mut looks = interval(Duration::from_millis(5));
                while !member.client.status().is_ready() || member.client.stats().reconnects <= *before {
                    looks.tick().await;
                }
            };
            let again = timeout(PATIENCE, again).await;
            again.map_err(|_| late(&format!("service {} has no hub again", member.service)))?;
        }
        Ok(())
    }

    /// Ends all clients.
    pub(super) async fn close(self) {
        for member in self.0 {
            member.client.close().await;
        }
    }
}

/// Services that wait for one value.
pub(super) struct Arrivals {
    key: &'static str,
    waiting: JoinSet<Result<Instant, CliError>>,
}

impl Arrivals {
    /// How long after `sent` each had it, the fastest first.
    pub(super) async fn since(mut self, sent: Instant) -> Result<Vec<Duration>, CliError> {
        let mut times = Vec::new();
        let all = async {
            while let Some(arrived) = self.waiting.join_next().await {
                times.push(arrived.map_err(lost)??.duration_since(sent));
            }
            Ok::<_, CliError>(())
        };
        timeout(PATIENCE, all)
            .await
            .map_err(|_| late(&format!("`{}` has not arrived everywhere", self.key)))??;
        times.sort_unstable();
        Ok(times)
    }
}

fn late(what: &str) -> CliError {
    CliError::Failed(format!("{what} after {} s", PATIENCE.as_secs()))
}

fn lost(error: tokio::task::JoinError) -> CliError {
    CliError::Failed(format!("a service of the demo has ended: {error}"))
}
