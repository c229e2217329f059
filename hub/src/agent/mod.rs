//! The agent: flags for those on the same machine that cannot show a token.
//!
//! It follows one view upstream as any client does, and serves `flagd.sync.v1` from what it
//! has: on loopback or a Unix socket, without asking who calls. While no hub can be reached
//! it goes on serving what it had. It knows no tenants and gives nothing but flags.

mod listen;
mod serve;

pub(crate) use listen::{Listen, ListenError, Listener};

use crate::flagd::{Selector, Sheet};
use confhub_client::{Client, Closed, Status};
use confhub_flags::Faults;
use confhub_proto::{ServiceName, State};
use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Most streams at a time: the programs of one machine, ten times over. Each holds a
/// document that all have in common.
const STREAMS: usize = 1_024;

/// Most different selectors in use: each has a document of its own, of up to 4 MiB.
const SELECTORS: usize = 64;

/// Longest wait for connections to end once they are told to.
const DRAIN: Duration = Duration::from_secs(5);

/// What gRPC health speaks of.
const HEALTH_SERVICES: [&str; 2] = ["", "flagd.sync.v1.FlagSyncService"];

/// What all calls share.
pub(crate) struct Agent {
    /// The service whose view is followed.
    service: Option<ServiceName>,
    /// The last state; `None`: there was none yet.
    state: watch::Sender<Option<State>>,
    sheets: Mutex<HashMap<String, Weak<Sheet>>>,
    streams: Arc<Semaphore>,
    draining: watch::Sender<bool>,
}

impl Agent {
    /// An agent that has no flags yet.
    pub(crate) fn new(service: Option<ServiceName>) -> Arc<Self> {
        Arc::new(Self {
            service,
            state: watch::Sender::new(None),
            sheets: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            draining: watch::Sender::new(false),
        })
    }

    /// Serves on `listener` what the client has that `connected` gives, until `told`; then
    /// waits until the last state is on disk, and ends what is open.
    ///
    /// # Errors
    /// Why there is no client, or why it has ended for good.
    pub(crate) async fn run<E: From<Closed>>(
        self: Arc<Self>,
        listener: Listener,
        connected: impl Future<Output = Result<Client, E>>,
        told: impl Future<Output = ()>,
    ) -> Result<(), E> {
        let (mut health, probes) = tonic_health::server::health_reporter();
        say(&health, ServingStatus::NotServing).await;
        let serving = tokio::spawn(serve::serve(Arc::clone(&self), listener, probes));
        let ended = self.live(connected, told, &health).await;
        say(&health, ServingStatus::NotServing).await;
        for service in HEALTH_SERVICES {
            // Whoever watches it would hold its connection.
            health.clear_service_status(service).await;
        }
        self.draining.send_replace(true);
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::warn!(waited_s = DRAIN.as_secs(), "connections that do not end are cut off");
        }
        ended
    }

    async fn live<E: From<Closed>>(
        &self,
        connected: impl Future<Output = Result<Client, E>>,
        told: impl Future<Output = ()>,
        health: &HealthReporter,
    ) -> Result<(), E> {
        tokio::pin!(told);
        let client = tokio::select! {
            client = connected => client?,
            () = &mut told => return Ok(()),
        };
        let ended = tokio::select! {
            reason = self.follow(&client, health) => Err(reason.into()),
            () = &mut told => Ok(()),
        };
        client.close().await;
        ended
    }

    /// Takes each state of a client, until it ends for good.
    async fn follow(&self, client: &Client, health: &HealthReporter) -> Closed {
        let (mut changes, mut status) = (client.changes(), client.watch_status());
        tracing::info!(status = %status.get(), "there are flags to serve");
        self.take(client);
        say(health, ServingStatus::Serving).await;
        loop {
            tokio::select! {
                next = changes.next() => match next {
                    Some(_) => self.take(client),
                    None => return ended(client),
                },
                Some(status) = status.next() => match &status {
                    Status::Closed { reason, .. } => return reason.clone(),
                    Status::Ready { .. } => tracing::info!("the flags are the hub's"),
                    status => tracing::warn!(%status, "the flags are the last that there were"),
                },
            }
        }
    }

    fn take(&self, client: &Client) {
        self.state.send_replace(Some(client.snapshot().iter().cloned().collect()));
    }

    /// The document of those who ask for this, which lives as long as somebody holds it.
    fn sheet(&self, selector: &Selector) -> Result<Arc<Sheet>, tonic::Status> {
        if let Some(asked) = &selector.service
            && Some(asked) != self.service.as_ref()
        {
            let own = self.service.as_ref().map_or_else(
                || "shared flags alone".to_owned(),
                |service| format!("the flags of `{service}`"),
            );
            let message = format!(
                "this agent serves {own}: run one with `--service {asked}`, or leave the service out"
            );
            return Err(tonic::Status::permission_denied(message));
        }
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sheet) = sheets.get(&selector.names).and_then(Weak::upgrade) {
            return Ok(sheet);
        }
        sheets.retain(|_, sheet| sheet.strong_count() > 0);
        if sheets.len() >= SELECTORS {
            let message =
                format!("{SELECTORS} different selectors are in use, which is the limit of an agent");
            return Err(tonic::Status::resource_exhausted(message));
        }
        let sheet = Arc::new(Sheet::new(&selector.names, Counter::default(), |bad: &[Faults]| {
            let first = bad.first().map(Faults::without_values).unwrap_or_default();
            tracing::warn!(
                error = first,
                entries = bad.len(),
                "flags are bad, and are served as they were, or not at all"
            );
        }));
        sheets.insert(selector.names.clone(), Arc::downgrade(&sheet));
        Ok(sheet)
    }
}

/// Why a client has ended.
fn ended(client: &Client) -> Closed {
    match client.status() {
        Status::Closed { reason, .. } => reason,
        _ => Closed::Runtime,
    }
}

async fn say(health: &HealthReporter, status: ServingStatus) {
    for service in HEALTH_SERVICES {
        health.set_service_status(service, status).await;
    }
}
