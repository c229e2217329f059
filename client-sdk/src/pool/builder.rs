//! From what a program asks for to a pool.

use super::table::Rules;
use super::tokens::{Issue, issue, issue_shared};
use super::{Pool, Settings, TenantTokens};
use crate::budget::Budget;
use crate::endpoint::{Sharing, Windows};
use crate::{Builder, Client, ConfigError, SharedTokens, TenantId, limits};
use std::path::PathBuf;
use std::time::Duration;

/// Describes a pool. An endpoint and a source of tokens are needed, all else has
/// a default.
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    client: Builder,
    tokens: Option<Issue>,
    max_connections: usize,
    streams_per_connection: usize,
    max_tenants: Option<usize>,
    max_bytes: usize,
    idle: Duration,
    remember: Duration,
    disk_folder: Option<PathBuf>,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        let client = Client::builder()
            .connect_timeout(limits::POOL_CONNECT_TIMEOUT)
            .max_state_bytes(limits::POOL_STATE_BYTES);
        Self {
            client,
            tokens: None,
            max_connections: limits::POOL_CONNECTIONS,
            streams_per_connection: limits::POOL_STREAMS,
            max_tenants: None,
            max_bytes: limits::POOL_BYTES,
            idle: limits::POOL_IDLE,
            remember: limits::POOL_REMEMBER,
            disk_folder: None,
        }
    }
}

impl PoolBuilder {
    /// A hub, or a name that stands for many: see [`Builder::endpoint`].
    pub fn endpoint(self, url: impl Into<String>) -> Self {
        self.client(|client| client.endpoint(url))
    }

    /// The service whose entries are seen beside the shared ones: see
    /// [`Builder::service`].
    pub fn service(self, service: impl Into<String>) -> Self {
        self.client(|client| client.service(service))
    }

    /// Narrows the view to keys that start with this: see [`Builder::prefix`].
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.client(|client| client.prefix(prefix))
    }

    /// Sets what all clients of the pool have in common, as one would for a
    /// single one; but its token is [`tokens`](Self::tokens)'s, and its file is in
    /// [`disk_folder`](Self::disk_folder).
    ///
    /// Two defaults differ: a request waits for its tenant's first state for 5 s
    /// ([`Builder::connect_timeout`]), and a state has at most 64 MiB
    /// ([`Builder::max_state_bytes`]).
    pub fn client(mut self, set: impl FnOnce(Builder) -> Builder) -> Self {
        self.client = set(self.client);
        self
    }

    /// What gives each tenant's token.
    pub fn tokens(mut self, tokens: impl TenantTokens) -> Self {
        self.tokens = Some(issue(tokens));
        self
    }

    /// Which source has each tenant's token, in place of [`tokens`](Self::tokens): a
    /// file or a command per tenant, or one that other clients have too. It is called
    /// each time that a tenant is opened, and should not block.
    pub fn shared_tokens(
        mut self,
        tokens: impl Fn(&TenantId) -> SharedTokens + Send + Sync + 'static,
    ) -> Self {
        self.tokens = Some(issue_shared(tokens));
        self
    }

    /// Most connections at a time, up to 1,024. Default: 10.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit;
        self
    }

    /// Most streams on one connection, up to 1,024, which is what hubs take.
    /// Default: 128, which is what load balancers of AWS take. A tenant needs one
    /// stream, and a second one for the moment in which it moves to a new token.
    pub fn streams_per_connection(mut self, limit: usize) -> Self {
        self.streams_per_connection = limit;
        self
    }

    /// Most tenants at a time; no more than there are places on all connections.
    /// Default: 1,000, or as many as those places.
    pub fn max_tenants(mut self, limit: usize) -> Self {
        self.max_tenants = Some(limit);
        self
    }

    /// Most bytes of all states together, as hubs count them. Tenants that are not
    /// in use are let go when nine tenths are taken; an update that leads beyond
    /// all of it is not applied, and the client's status says so. Default: 1 GiB.
    pub fn max_bytes(mut self, limit: usize) -> Self {
        self.max_bytes = limit;
        self
    }

    /// How long a tenant is kept that nobody uses. Default: 10 minutes.
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// How long the failure to open a tenant is the answer to all who ask for it,
    /// before there is another attempt. Default: 5 s.
    pub fn remember_failures(mut self, time: Duration) -> Self {
        self.remember = time;
        self
    }

    /// Keeps each tenant's last good state in a file of this folder, so that
    /// tenants can be opened while no hub can be reached, and get only what has
    /// changed when they come back. The folder must exist and belong to one pool.
    /// Files are removed by [`Pool::remove`] alone.
    pub fn disk_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.disk_folder = Some(folder.into());
        self
    }

    /// Makes the pool, which lives on the tokio runtime on which this is called.
    /// Nothing is connected before a tenant is needed.
    ///
    /// # Errors
    /// If the builder was told something impossible.
    pub fn build(self) -> Result<Pool, ConfigError> {
        self.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let sharing = Sharing {
            connections: self.max_connections,
            streams: self.streams_per_connection,
            linger: limits::POOL_LINGER,
            names_for: limits::POOL_NAMES_FOR,
            spread: limits::POOL_SPREAD,
            windows: Windows {
                stream: limits::POOL_WINDOW_BYTES,
                connection: limits::POOL_CONNECTION_WINDOW_BYTES,
            },
        };
        let max_tenants = self.max_tenants.unwrap_or_else(|| limits::POOL_TENANTS.min(self.places()));
        let issue = self.tokens.ok_or(ConfigError::NoToken)?;
        // In the place of the tokens, which are each tenant's own.
        let mut plan = self.client.token("").plan(sharing)?;
        if let Some(path) = plan.disk {
            let reason = "is one client's: a pool has a folder, see `.disk_folder`";
            return Err(ConfigError::Disk { path, reason });
        }
        plan.budget = Budget::new(self.max_bytes);
        let rules =
            Rules { max_tenants, idle: self.idle, remember: self.remember, budget: plan.budget.clone() };
        Ok(Pool::start(Settings { plan, issue, disk_folder: self.disk_folder, runtime }, rules))
    }

    /// Streams that there can be at a time.
    fn places(&self) -> usize {
        self.max_connections.saturating_mul(self.streams_per_connection)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let max_tenants = self.max_tenants.unwrap_or(1);
        for (name, zero) in [
            ("max_connections", self.max_connections == 0),
            ("streams_per_connection", self.streams_per_connection == 0),
            ("max_tenants", max_tenants == 0),
            ("max_bytes", self.max_bytes == 0),
            ("idle", self.idle.is_zero()),
            ("remember_failures", self.remember.is_zero()),
        ] {
            if zero {
                return Err(ConfigError::Zero(name));
            }
        }
        for (what, actual, limit) in [
            ("connections of a pool", self.max_connections, limits::POOL_CONNECTIONS_MOST),
            ("streams on one connection", self.streams_per_connection, limits::POOL_STREAMS_MOST),
            ("tenants, with the places that there are on all connections", max_tenants, self.places()),
        ] {
            if actual > limit {
                return Err(ConfigError::TooMany { what, actual, limit });
            }
        }
        match &self.disk_folder {
            Some(path) if !path.is_dir() => Err(ConfigError::Disk {
                path: path.clone(),
                reason: "is no folder; a pool needs one that exists",
            }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("client", &self.client)
            .field("max_connections", &self.max_connections)
            .field("streams_per_connection", &self.streams_per_connection)
            .field("max_tenants", &self.max_tenants)
            .finish_non_exhaustive()
    }
}
