//! How a client begins: with the state on disk if there is one, then the hub;
//! whichever is there first lets the program go on.

use crate::backoff::Backoff;
use crate::credentials::Credentials;
use crate::disk::{self, DiskWriter};
use crate::endpoint::Endpoints;
use crate::store::{Changed, Lease, Store};
use crate::view::View;
use crate::worker::{Good, Place, Worker};
use crate::{Client, Closed, Error, Status};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// A checked description of a client.
pub(crate) struct Plan {
    pub(crate) endpoints: Endpoints,
    pub(crate) shown_endpoints: String,
    pub(crate) credentials: Credentials,
    pub(crate) view: View,
    pub(crate) disk: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) fallback_after: Duration,
    pub(crate) max_state_bytes: usize,
    pub(crate) rng: fastrand::Rng,
}

/// Starts the worker and waits for a first state.
pub(crate) async fn start(plan: Plan) -> Result<Client, Error> {
    let began = Instant::now();
    let store = Arc::new(Store::new());
    let mut place = Place { max_bytes: plan.max_state_bytes, ..Place::default() };
    let good = match &plan.disk {
        Some(path) => load(path, &plan).await,
        None => None,
    };
    let from_disk = good.is_some();
    if let Some(Good { origin, state, .. }) = good {
        // Not visible to anyone yet: the status says that we are starting.
        store.publish(Arc::clone(&state), &Changed { keys: Vec::new(), reset: true });
        place = Place { cursor: Some(state.digest()), state, origin: Some(origin), ..place };
    }
    let (stop, stopped) = watch::channel(false);
    let lease = Arc::new(Lease { store: Arc::clone(&store), stop });
    let worker = Worker {
        disk: plan.disk.map(|path| DiskWriter::start(path, plan.view.clone(), Arc::clone(&store))),
        view: plan.view,
        credentials: plan.credentials,
        endpoints: plan.endpoints,
        store,
        place,
        backoff: Backoff::new(),
        rng: plan.rng,
        next_token: None,
        renew_token: false,
    };
    tokio::spawn(worker.run(stopped));
    let patience =
        if from_disk { plan.fallback_after.min(plan.connect_timeout) } else { plan.connect_timeout };
    match timeout_at(began + patience, first_state(&lease.store)).await {
        Ok(outcome) => outcome?,
        Err(_) if from_disk => fall_back(&lease.store)?,
        Err(_) => {
            let last = lease.store.last_failure().map(|last| (*last).clone());
            return Err(Error::Timeout {
                after: plan.connect_timeout,
                endpoints: plan.shown_endpoints,
                last: last.unwrap_or_else(|| "it has not ended yet".to_owned()),
            });
        }
    }
    Ok(Client::new(lease))
}

/// The state on disk, if it is this client's. Why it is not is logged here.
async fn load(path: &Path, plan: &Plan) -> Option<Good> {
    // Without a token nobody knows whose state may be read.
    let token = match timeout(plan.fallback_after, plan.credentials.token(false)).await {
        Ok(Ok(token)) => token,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), %error, "not using the state on disk");
            return None;
        }
        Err(_) => {
            tracing::warn!(path = %path.display(), error = "no token in time", "not using the state on disk");
            return None;
        }
    };
    let (file, view, max_bytes) = (path.to_owned(), plan.view.clone(), plan.max_state_bytes);
    let loaded = tokio::task::spawn_blocking(move || disk::load(&file, &view, &token, max_bytes));
    match loaded.await {
        Ok(Ok(good)) => good,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), %error, "not using the state on disk");
            None
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "not using the state on disk");
            None
        }
    }
}

async fn first_state(store: &Store) -> Result<(), Closed> {
    let mut status = store.watch_status();
    let there = status.wait_for(|status| *status != Status::Starting).await;
    match &*there.map_err(|_| Closed::Runtime)? {
        Status::Closed { reason } => Err(reason.clone()),
        _ => Ok(()),
    }
}

/// Goes on with the state from disk, unless the hub was faster after all.
fn fall_back(store: &Store) -> Result<(), Closed> {
    let last = store.last_failure();
    let reason = last.map_or_else(|| "the hub has not answered yet".into(), |last| last.as_str().into());
    store.change_status(|status| match status {
        Status::Starting => {
            tracing::warn!(%reason, "no hub: starting from the last good state on disk");
            Some(Status::Stale { since: Instant::now(), reason, from_disk: true })
        }
        _ => None,
    });
    match store.status() {
        Status::Closed { reason } => Err(reason),
        _ => Ok(()),
    }
}
