//! How a client begins: with the state on disk if there is one, then the hub;
//! whichever is there first lets the program go on.

use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::credentials::Credentials;
use crate::disk::DiskWriter;
use crate::endpoint::Endpoints;
use crate::store::{Lease, Store};
use crate::view::View;
use crate::worker::{Place, Reports, Saved, Tokens, Worker};
use crate::{Client, Error, Status};
use confhub_flags::HashVersion;
use confhub_proto::TenantId;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

/// A checked description of a client.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) endpoints: Endpoints,
    pub(crate) shown_endpoints: String,
    pub(crate) credentials: Credentials,
    pub(crate) view: View,
    pub(crate) disk: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) fallback_after: Duration,
    pub(crate) max_state_bytes: usize,
    /// Whose client it has to be; `None`: whoever's the token is.
    pub(crate) tenant: Option<TenantId>,
    /// What the states of all clients may take together.
    pub(crate) budget: Arc<Budget>,
    /// Which evaluators of flags give a user the same bucket.
    pub(crate) flag_hash: HashVersion,
    pub(crate) rng: fastrand::Rng,
}

/// As long as anyone waits for a start; a clock cannot count much further.
const LONGEST_START: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Starts the worker and waits for a first state. Meanwhile `tell` hears how attempts end.
pub(crate) async fn start(plan: Plan, mut tell: impl FnMut(&Status)) -> Result<Client, Error> {
    let deadline = Instant::now() + plan.connect_timeout.min(LONGEST_START);
    let store = Arc::new(Store::new(plan.view.prefixes.clone(), plan.budget.share(), plan.flag_hash));
    // From before the first attempt.
    let mut status = store.watch_status();
    let (stop, stopped) = watch::channel(false);
    let (found, on_disk) = oneshot::channel();
    let writer = |path: &PathBuf| DiskWriter::start(path.clone(), plan.view.clone(), Arc::clone(&store));
    let worker = Worker {
        disk: plan.disk.as_ref().map(writer),
        saved: plan.disk.map(|path| Saved { path, found }),
        view: plan.view,
        tokens: Tokens::new(plan.credentials),
        endpoints: plan.endpoints,
        store: Arc::clone(&store),
        place: Place { max_bytes: plan.max_state_bytes, expected: plan.tenant, ..Place::default() },
        backoff: Backoff::new(),
        reports: Reports::new(),
        rng: plan.rng,
    };
    tokio::spawn(worker.run(stopped));
    let lease = Arc::new(Lease { store: Arc::clone(&store), stop });
    let patience = async {
        match on_disk.await {
            Ok(()) => sleep(plan.fallback_after).await,
            // There is none to fall back to.
            Err(_) => pending().await,
        }
    };
    let first = async {
        tokio::select! {
            () = first_state(&store) => return,
            () = patience => store.fall_back(),
        }
        first_state(&store).await;
    };
    let telling = async {
        // The store has the sender, so there is no error.
        while status.changed().await.is_ok() {
            // A copy: what `tell` does must not happen under a lock.
            let status = status.borrow_and_update().clone();
            if status.is_starting() {
                tell(&status);
            }
        }
        pending().await
    };
    let first = async {
        tokio::select! {
            () = first => {}
            () = telling => {}
        }
    };
    if timeout_at(deadline, first).await.is_err() {
        store.fall_back();
    }
    match store.status() {
        Status::Starting { last } => Err(Error::Timeout {
            after: plan.connect_timeout,
            endpoints: plan.shown_endpoints,
            kind: last.as_ref().map(|last| last.kind),
            last: last.map_or_else(|| "it has not ended yet".to_owned(), |last| last.reason.to_string()),
        }),
        Status::Closed { reason } => Err(reason.into()),
        _ => Ok(Client::new(lease)),
    }
}

/// Waits until there is a state, or there will never be one.
async fn first_state(store: &Store) {
    // The store has the sender, so there is no error.
    let _ = store.watch_status().wait_for(|status| !status.is_starting()).await;
}
