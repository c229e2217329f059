//! Where hubs are.
//!
//! An endpoint is a URL whose name may stand for many addresses. Each round of
//! attempts resolves all names anew and goes through all their addresses in
//! random order, so that clients spread over the hubs there are now. A hub that
//! said goodbye is left alone for as long as it asked.

mod channel;
mod connections;
mod dialer;
#[cfg(feature = "oauth2")]
mod issuer;
mod link;
#[cfg(feature = "tls")]
mod secure;
#[cfg(not(feature = "tls"))]
#[path = "insecure.rs"]
mod secure;
mod tls;
mod url;
mod words;

pub(crate) use channel::open_any;
pub(crate) use connections::{Connection, Connections, Sharing, Windows};
pub(crate) use dialer::DynDialer;
pub use dialer::{Dialer, TcpDialer};
#[cfg(feature = "oauth2")]
pub use issuer::Issuer;
pub(crate) use tls::{Pem, Tls};
pub(crate) use url::Endpoint;
pub(crate) use words::chain;
pub use words::explain;

use crate::limits;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// One address of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) socket: SocketAddr,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.endpoint, self.socket)
    }
}

/// What there is to try.
#[derive(Debug)]
pub(crate) enum Round {
    /// These, in this order.
    Try(Vec<Address>),
    /// Nothing until then: all addresses asked to be left alone.
    Wait(Duration),
    /// No name has an address.
    Unresolved(String),
}

/// All endpoints of one client, and of those that share connections with it.
#[derive(Clone)]
pub(crate) struct Endpoints {
    shared: Arc<Shared>,
    /// Addresses to leave alone until then. Emptied of what has passed with
    /// each round, and only ever filled with addresses of the last round.
    away: HashMap<SocketAddr, Instant>,
}

struct Shared {
    all: Vec<Arc<Endpoint>>,
    connections: Arc<Connections>,
    /// What the names stood for at that time.
    names: Mutex<Option<(Instant, Names)>>,
}

/// All addresses, each endpoint's once, and why some names have none.
type Names = (Vec<Address>, Vec<String>);

impl Endpoints {
    pub(crate) fn new(
        all: Vec<Endpoint>,
        dialer: Arc<dyn DynDialer>,
        sharing: Sharing,
        rng: fastrand::Rng,
    ) -> Self {
        let connections = Connections::new(sharing, dialer, rng);
        let shared =
            Shared { all: all.into_iter().map(Arc::new).collect(), connections, names: Mutex::default() };
        Self { shared: Arc::new(shared), away: HashMap::new() }
    }

    /// The connections to them.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.shared.connections
    }

    /// What dials them.
    pub(crate) fn dialer(&self) -> Arc<dyn DynDialer> {
        Arc::clone(&self.shared.connections.dialer)
    }

    /// A place for a stream on a connection to `address`.
    pub(crate) async fn connect(&self, address: &Address) -> Result<Connection, String> {
        self.shared.connections.connect(address).await
    }

    /// Within what time after a stream the next one is opened, at random.
    pub(crate) fn spread(&self) -> Duration {
        self.shared.connections.sharing.spread
    }

    /// Keeps away from an address for a while.
    pub(crate) fn leave(&mut self, address: &Address, pause: Duration) {
        self.away.insert(address.socket, Instant::now() + pause.min(limits::AWAY));
    }

    /// Whether any address is kept away from.
    pub(crate) fn keeps_away(&self) -> bool {
        self.away.values().any(|until| *until > Instant::now())
    }

    /// Resolves all names and says what to try.
    pub(crate) async fn round(&mut self, rng: &mut fastrand::Rng) -> Round {
        let (addresses, failures) = self.shared.names().await;
        if addresses.is_empty() {
            return Round::Unresolved(failures.join("; "));
        }
        let now = Instant::now();
        self.away.retain(|_, until| *until > now);
        let until = |address: &Address| self.away.get(&address.socket).copied();
        let (away, mut here): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| until(address).is_some());
        rng.shuffle(&mut here);
        self.shared.connections.prefer_open(&mut here);
        match away.iter().filter_map(until).min() {
            Some(first) if here.is_empty() => Round::Wait(first - now),
            _ => Round::Try(here),
        }
    }
}

impl Shared {
    /// What the names stand for now: asked once, however many want to know.
    async fn names(&self) -> Names {
        let mut names = self.names.lock().await;
        if let Some((at, known)) = &*names
            && at.elapsed() < self.connections.sharing.names_for
        {
            return known.clone();
        }
        let resolved = self.resolve().await;
        *names = Some((Instant::now(), resolved.clone()));
        resolved
    }

    async fn resolve(&self) -> Names {
        let dialer = &self.connections.dialer;
        let resolved = join_all(self.all.iter().map(|endpoint| async move {
            let found =
                timeout(limits::RESOLVE_TIMEOUT, dialer.dyn_resolve(endpoint.host(), endpoint.port()));
            match found.await {
                Ok(Ok(sockets)) => Ok((endpoint, sockets)),
                Ok(Err(error)) => Err(format!("cannot resolve `{}`: {error}", endpoint.host())),
                Err(_) => {
                    Err(format!("cannot resolve `{}` within {:?}", endpoint.host(), limits::RESOLVE_TIMEOUT))
                }
            }
        }))
        .await;
        let (mut addresses, mut failures) = (Vec::new(), Vec::new());
        for result in resolved {
            match result {
                Ok((endpoint, mut sockets)) => {
                    sockets.sort_unstable();
                    sockets.dedup();
                    sockets.retain(|socket| endpoint.may_dial(*socket));
                    sockets.truncate(limits::ADDRESSES_PER_NAME);
                    if sockets.is_empty() {
                        failures.push(format!("`{}` has no address that may be used", endpoint.host()));
                    }
                    let address = |socket| Address { endpoint: Arc::clone(endpoint), socket };
                    addresses.extend(sockets.into_iter().map(address));
                }
                Err(failure) => failures.push(failure),
            }
        }
        (addresses, failures)
    }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoints")
            .field("all", &self.shared.all)
            .field("away", &self.away)
            .finish_non_exhaustive()
    }
}
