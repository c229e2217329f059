//! Hubs on an account, each in a process of its own.

use crate::account::Account;
use crate::args::Place;
use confhub::auth::DevIssuer;
use confhub_benches::counts::Counts;
use confhub_benches::server::Server;
use confhub_benches::{Result, hub};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

/// Longest wait for a hub to receive changes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the hubs of an account have the one key that signs the clients' tokens.
/// They keep nothing else there.
pub(crate) struct Hubs {
    folder: TempDir,
    program: PathBuf,
    started: usize,
}

/// A hub; dropping it kills the process.
pub(crate) struct Hub {
    pub(crate) server: Server,
    pub(crate) grpc: SocketAddr,
    http: SocketAddr,
}

#[derive(Deserialize)]
struct Ready {
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Hubs {
    pub(crate) fn new(place: &Place) -> Result<Self> {
        let program = place.hub.clone().map_or_else(std::env::current_exe, Ok)?;
        let folder = tempfile::tempdir()?;
        DevIssuer::open_or_create(folder.path())?;
        Ok(Self { folder, program, started: 0 })
    }

    /// Starts a hub with further settings, by their variables, and waits until
    /// changes by others reach it.
    pub(crate) async fn start(&mut self, account: &Account, settings: &[(&str, &str)]) -> Result<Hub> {
        self.started += 1;
        let ready_file = self.folder.path().join(format!("ready-{}.json", self.started));
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--profile", "aws", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(self.folder.path())
            .arg("--ready-file")
            .arg(&ready_file)
            .envs(account.variables())
            .env("CONFHUB_LOG_FILTER", "warn")
            .envs(settings.iter().copied());
        let (server, ready) = Server::start::<Ready>(&mut command, &ready_file).await?;
        let hub = Hub { server, grpc: ready.grpc, http: ready.http };
        let since = Instant::now();
        while hub.counts().await?.sum("confhub_source_up", &[]) < 1.0 {
            if since.elapsed() > PATIENCE {
                return Err("the hub receives no changes; what it said is above".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(hub)
    }

    /// A token that all of them accept.
    pub(crate) fn token(&self, tenant: &str) -> Result<String> {
        hub::token(self.folder.path(), tenant)
    }
}

impl Hub {
    /// What it has counted so far.
    pub(crate) async fn counts(&self) -> Result<Counts> {
        Counts::of(self.http).await
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        channel(self.grpc).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }
}

/// A connection to a hub.
pub(crate) async fn channel(grpc: SocketAddr) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{grpc}"))?.tcp_nodelay(true).connect().await?)
}
