//! The life of a hub: bind, open, serve, drain.

mod ports;
mod stores;

pub use ports::Addresses;

use crate::admission::{Admission, Policy};
use crate::audit::{Audit, Writer};
use crate::auth::{AuthStartError, Authenticator};
use crate::backend::{Opening, Router};
use crate::clock::Clock;
use crate::config::{AuthSettings, FlagSettings, Settings, UnknownTenants};
use crate::fleet::Everywhere;
use crate::grpc::{Connections, Edge, FlagTurns, Governor, Outside, Sheets, VERSION};
use crate::http::Health;
use crate::limits::{BULK_READS, CALLS};
use crate::metrics::Metrics;
use crate::ofrep::{Ofrep, Views};
use crate::rollout;
use crate::source::{Feed, Source};
use crate::tenant::Tenants;
use crate::tls::{Acceptor, Listener, Tls, TlsError};
use confhub_proto::TenantId;
use futures_util::FutureExt as _;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Longest wait for a store to finish what is under way when the hub ends.
const CLOSE: Duration = Duration::from_secs(5);

/// Longest wait at the start for the records of who is let in. A hub without them
/// starts all the same, and refuses everybody until it has them.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(2);

/// The operators' tenant where development tokens are accepted and no other is set.
const DEV_OPERATORS: &str = "operators";

/// A hub that is bound and open, and not serving yet.
pub struct App {
    settings: Settings,
    addresses: Addresses,
    grpc: TcpListener,
    http: TcpListener,
    authenticator: Authenticator,
    edge: Arc<Edge>,
    source: Option<Box<dyn Source>>,
    /// Writes the audit log.
    recorder: Option<Writer>,
    tls: Option<Arc<Tls>>,
}

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot listen on {address} (`{setting}`): {source}{}", hint(source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A store cannot be used.
    #[error("{0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// The AWS account cannot be used.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Account(#[from] crate::aws::AccountError),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] crate::audit::OpenError),
    /// The issuer or its keys cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthStartError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The ready file cannot be written.
    #[error("cannot write the ready file `{}`: {source}", path.display())]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A server ended that should not.
    #[error("a server has ended: {0}")]
    Server(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; stop the program that has it, or choose another port (0: any free one)"
        }
        _ => "",
    }
}

impl App {
    /// Binds the ports, then opens the store and the keys.
    ///
    /// # Errors
    /// If one of them cannot be had; nothing is left behind then.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        #[cfg(feature = "aws")]
        let account = stores::open_account(&settings).await?;
        Self::start_in(
            settings,
            clock,
            #[cfg(feature = "aws")]
            account,
        )
        .await
    }

    /// The same in an AWS account of the caller's own.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_in(
        settings: Settings,
        clock: Clock,
        #[cfg(feature = "aws")] account: Option<crate::aws::Account>,
    ) -> Result<Self, StartError> {
        // Ports first: they tell at once that a hub is running here already.
        let grpc = ports::bind(settings.listen, "listen")?;
        let http = ports::bind(settings.http, "http")?;
        let addresses = Addresses { grpc: grpc.local_addr()?, http: http.local_addr()? };
        if let Some(path) = &settings.ready_file {
            ports::forget_ready_file(path)?;
        }
        let feed = Feed::default();
        let metrics = Arc::new(Metrics::new(VERSION));
        let tls = Tls::open(&settings.tls, clock.clone(), Arc::clone(&metrics)).await?;
        if tls.is_none() {
            ports::warn_of_plaintext(addresses);
        }
        let router = stores::open_backends(&Opening {
            settings: &settings,
            clock: &clock,
            feed: &feed,
            metrics: &metrics,
            #[cfg(feature = "aws")]
            account: account.as_ref(),
        })
        .await?;
        for backend in router.backends() {
            metrics.expect_backend(backend.kind());
        }
        let authenticator = Authenticator::open(&settings.auth, &settings.data_dir, clock.clone()).await?;
        #[cfg(feature = "aws")]
        let source = crate::source::sqs::open(&settings, account.as_ref(), &feed, &metrics, &clock);
        #[cfg(not(feature = "aws"))]
        let source: Option<Box<dyn Source>> = None;
        let own_hints = router.backends().iter().all(|backend| backend.nature().announces);
        metrics.source.up.set(i64::from(source.is_none() && own_hints));
        let (limits, times) = (settings.limits.clone(), settings.times.clone());
        let drift = Box::new(stores::drift_cause(source.as_ref().map(|source| source.health())));
        let tenants = Tenants::new(router.clone(), limits, times, clock.clone(), Arc::clone(&metrics), drift);
        let admission = admission(&settings, &router, &clock, &metrics);
        feed.connect(admission.before(tenants.clone()));
        let (audit, recorder) = Audit::open(&settings.audit, clock.clone(), Arc::clone(&metrics))?;
        let writes = Arc::default();
        let (fleet, rollouts) = rollouts(&admission, &tenants, &router, &clock, &writes);
        let edge = Edge {
            tenants,
            router,
            fleet,
            rollouts,
            limits: settings.limits.clone(),
            times: settings.times.clone(),
            clock,
            admission,
            without_service: settings.auth.without_service,
            operators: operators(&settings.auth),
            audit,
            metrics,
            started: Instant::now(),
            calls: Arc::new(Semaphore::new(CALLS)),
            bulk_reads: Arc::new(Semaphore::new(BULK_READS)),
            governor: Governor::new(&settings.limits),
            sheets: Sheets::default(),
            watch: Arc::default(),
            writes,
            flag_turns: FlagTurns::default(),
            source: source.as_ref().map(|source| (source.kind(), source.health())),
        };
        let edge = Arc::new(edge);
        Ok(Self { settings, addresses, grpc, http, authenticator, edge, source, recorder, tls })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown`, then drains within the deadline of the settings.
    ///
    /// # Errors
    /// If a server ends by itself, or the ready file cannot be written.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let Self { settings, addresses, grpc, http, authenticator, edge, source, recorder, tls } = self;
        let (tenants, backends) = (edge.tenants.clone(), edge.router.clone());
        let writes = Arc::clone(&edge.writes);
        let health = Arc::new(health(&edge, &source, &authenticator));
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let (stop, stopped) = watch::channel(Stage::Serving);
        let (drain, draining) = watch::channel(false);
        let mut sources: JoinSet<_> = source.map(|source| source.run(draining.clone())).into_iter().collect();
        let acceptor = Acceptor::grpc(tls.clone());
        let connections = Connections::new(
            grpc,
            acceptor,
            &settings.limits,
            &settings.times,
            edge.metrics.clone(),
            draining,
        );

        let (audit, admission) = (edge.audit.clone(), edge.admission.clone());
        let http = Listener { listener: http, acceptor: Acceptor::http(tls.clone()) };
        let mut background = in_background(&edge, &authenticator, recorder, tls);
        let ofrep = ofrep(&edge, &authenticator, &settings.flags, &mut background);
        if !admission.ready(ADMISSION_PATIENCE).await {
            tracing::warn!("who is let in could not be read yet: nobody is until it is");
        }
        let (mut calls, mut probes) = (JoinSet::new(), JoinSet::new());
        let routes = Routes::new(health_service);
        let draining = reached(stopped.clone(), Stage::Draining);
        calls.spawn(crate::grpc::serve(edge, authenticator, routes, connections, draining));
        let drained = reached(stopped, Stage::Drained);
        let most = settings.limits.http_connections;
        probes.spawn(crate::http::serve(http, Arc::clone(&health), ofrep, most, drained).map(Ok));

        set_serving(&reporter, ServingStatus::Serving).await;
        health.ready.store(true, Ordering::SeqCst);
        tracing::info!(grpc = %addresses.grpc, http = %addresses.http, version = VERSION, "ready");
        let unwritten = settings.ready_file.and_then(|path| ports::write_ready_file(&path, addresses).err());
        let ended = tokio::select! {
            () = std::future::ready(()), if unwritten.is_some() => None,
            () = shutdown => None,
            ended = calls.join_next() => ended,
            ended = probes.join_next() => ended,
            // They never end by themselves, and a hub without them only looks well.
            ended = background.join_next() => ended.map(|ended| ended.map(Ok)),
            Some(ended) = sources.join_next() => Some(ended.map(Ok)),
        };

        health.ready.store(false, Ordering::SeqCst);
        say_no(reporter).await;
        tenants.drain();
        drain.send_replace(true);
        stop.send_replace(Stage::Draining);
        let drained = async {
            while calls.join_next().await.is_some() {}
            // Until here `/readyz` says no, and `/metrics` tells how far the drain is.
            stop.send_replace(Stage::Drained);
            while probes.join_next().await.is_some() {}
        };
        if timeout(settings.times.drain, drained).await.is_err() {
            let deadline_ms = u64::try_from(settings.times.drain.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(deadline_ms, "the deadline has passed: closing what is still open");
        }
        // Until here a revocation ends what is still open.
        admission.drain();
        close(sources, &writes, &backends).await;
        // After the last write: that is on record too.
        audit.flush(CLOSE).await;
        background.abort_all();
        match ended {
            None => unwritten.map_or(Ok(()), Err),
            Some(Ok(Ok(()))) => Err(io::Error::other("without an error").into()),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(panicked)) => Err(io::Error::other(panicked).into()),
        }
    }
}

/// What the HTTP port tells of.
fn health(edge: &Edge, source: &Option<Box<dyn Source>>, authenticator: &Authenticator) -> Health {
    Health {
        ready: AtomicBool::new(false),
        answered: AtomicBool::new(false),
        metrics: Arc::clone(&edge.metrics),
        tenants: edge.tenants.clone(),
        backends: edge.router.clone(),
        admission: edge.admission.clone(),
        source: source.as_ref().map(|source| source.health()),
        dev_jwks: authenticator.dev_jwks(),
    }
}

/// What answers those who ask for flags over HTTP, and forgets what nobody asks for.
fn ofrep(
    edge: &Arc<Edge>,
    authenticator: &Authenticator,
    settings: &FlagSettings,
    background: &mut JoinSet<()>,
) -> axum::Router {
    let views = Arc::new(Views::new(settings.hash));
    background.spawn(Arc::clone(&views).keep());
    let outside = Outside::new(Arc::clone(edge), authenticator.clone());
    Ofrep::new(outside, views).routes(&settings.cors_origins)
}

/// Starts what runs for as long as the hub does.
fn in_background(
    edge: &Arc<Edge>,
    authenticator: &Authenticator,
    recorder: Option<Writer>,
    tls: Option<Arc<Tls>>,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    if let Some(recorder) = recorder {
        background.spawn(recorder.run());
    }
    background.spawn(authenticator.clone().refresh_keys());
    background.spawn(Arc::clone(&edge.watch).keep(edge.admission.clone()));
    background.spawn(edge.admission.clone().keep());
    background.spawn(edge.fleet.clone().keep());
    background.spawn(edge.rollouts.clone().keep());
    if let Some(tls) = tls {
        background.spawn(tls.follow());
    }
    // Nobody may ask for a tenant for long: what is wrong is said at once.
    background.spawn(say_what_is_wrong(edge.router.clone()));
    background
}

/// Will know who is let in, by the records in the store.
fn admission(settings: &Settings, router: &Router, clock: &Clock, metrics: &Arc<Metrics>) -> Admission {
    let policy = Policy {
        admit_unknown: settings.auth.unknown_tenants == UnknownTenants::Admit,
        operators: operators(&settings.auth),
    };
    let (limits, times) = (settings.limits.clone(), settings.times.clone());
    Admission::new(router.keeper_of_records(), policy, limits, times, clock.clone(), Arc::clone(metrics))
}

/// Looks at each store once, and says which does not answer. Never ends, as all that
/// runs in the background.
async fn say_what_is_wrong(backends: Router) {
    for backend in backends.backends() {
        if let Err(error) = backend.check().await {
            tracing::warn!(%error, "a store does not answer: the hub is not ready until it has");
        }
    }
    std::future::pending().await
}

/// Will know what instances have applied, and drive rollouts by that.
fn rollouts(
    admission: &Admission,
    tenants: &Tenants,
    router: &Router,
    clock: &Clock,
    writes: &Arc<RwLock<()>>,
) -> (Everywhere, rollout::Driver) {
    let fleet = Everywhere::new(admission.clone(), tenants.clone(), clock.clone());
    let driver = rollout::Driver::new(rollout::Parts {
        book: rollout::Book::new(admission.clone()),
        tenants: tenants.clone(),
        fleet: fleet.clone(),
        router: router.clone(),
        clock: clock.clone(),
        writes: Arc::clone(writes),
    });
    (fleet, driver)
}

/// Ends what is behind the ports: first what brings changes, then what is being
/// written, then the stores.
async fn close(mut sources: JoinSet<()>, writes: &RwLock<()>, backends: &Router) {
    let ended = async { while sources.join_next().await.is_some() {} };
    if timeout(CLOSE, ended).await.is_err() {
        tracing::error!("the change source does not end");
    }
    // Each holds it for as long as it is under way, though its caller may have left.
    if timeout(CLOSE, writes.write()).await.is_err() {
        tracing::error!("a write is still under way: it may be made or not");
    }
    for backend in backends.backends() {
        if timeout(CLOSE, backend.close()).await.is_err() {
            tracing::error!(backend = backend.kind(), "the store does not let go: its disk hangs");
        }
    }
}

/// The tenant whose operators rule over all others.
fn operators(auth: &AuthSettings) -> Option<TenantId> {
    let default = || (!auth.has_issuer()).then(|| TenantId::new(DEV_OPERATORS).ok()).flatten();
    auth.operators.clone().or_else(default)
}

/// How far a hub has come on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Drained,
}

async fn reached(mut stage: watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|stage| *stage >= wanted).await;
}

/// What gRPC health speaks of: the process as a whole and each of its services.
const HEALTH_SERVICES: [&str; 7] = [
    "",
    "confhub.v1.ConfigService",
    "confhub.v1.AdminService",
    "confhub.v1.AccessService",
    "confhub.v1.FleetService",
    "confhub.v1.RolloutService",
    "flagd.sync.v1.FlagSyncService",
];

async fn set_serving(reporter: &HealthReporter, status: ServingStatus) {
    for service in HEALTH_SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Tells whoever watches the health, and ends the watches: one that is open
/// would hold its connection, and so the hub, until the deadline.
async fn say_no(mut reporter: HealthReporter) {
    set_serving(&reporter, ServingStatus::NotServing).await;
    for service in HEALTH_SERVICES {
        reporter.clear_service_status(service).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::system_clock;

    #[tokio::test]
    async fn a_ready_file_is_of_this_run_and_the_hub_ends_in_order_if_it_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        std::fs::write(&ready, "of an earlier run").unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let settings =
            Settings { listen: any, http: any, data_dir: folder.path().to_owned(), ..Settings::default() };
        let with =
            |ready: &std::path::Path| Settings { ready_file: Some(ready.to_owned()), ..settings.clone() };
        let app = App::start(with(&ready), system_clock()).await.unwrap();
        assert!(!ready.exists());
        app.run(std::future::ready(())).await.unwrap();
        for _ in 0..2 {
            let app = App::start(with(&folder.path().join("no/such/folder")), system_clock()).await.unwrap();
            let error = app.run(std::future::pending()).await.unwrap_err();
            assert!(matches!(error, StartError::ReadyFile { .. }), "{error}");
        }
    }
}
