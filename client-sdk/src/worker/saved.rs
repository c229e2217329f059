//! The state on disk: taken before the first stream, so that the hub sends only
//! what has changed since, and shown if the hub does not answer.

use super::{Good, Place, Worker};
use crate::credentials::TokenError;
use crate::disk;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// A file that may have a state for this client.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    /// Told that it has.
    pub(crate) found: oneshot::Sender<()>,
}

impl Worker {
    /// Takes the state on disk, if it is this client's. Why it is not is logged
    /// here. An error means that it could not be looked at yet: without a token
    /// nobody knows whose state may be read, nor whose to ask for.
    pub(super) async fn take_saved(&mut self) -> Result<(), TokenError> {
        if self.saved.is_none() {
            return Ok(());
        }
        let token = self.tokens.take().await?;
        self.tokens.keep(token.clone());
        let Some(Saved { path, found }) = self.saved.take() else { return Ok(()) };
        let (file, view, max_bytes) = (path.clone(), self.view.clone(), self.place.max_bytes);
        let loaded = spawn_blocking(move || disk::load(&file, &view, &token, max_bytes));
        match loaded.await {
            Ok(Ok(Some(good))) if self.place.admits(&good.origin) => {
                if self.resume_from(good) {
                    // An error means that nobody waits for a first state any more.
                    let _ = found.send(());
                }
            }
            Ok(Ok(Some(_))) => {
                tracing::error!(path = %path.display(), "not using the state on disk: it is another tenant's");
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "not using the state on disk");
            }
            Err(error) => tracing::error!(path = %path.display(), %error, "not using the state on disk"),
        }
        Ok(())
    }

    /// False: there is no memory for it.
    fn resume_from(&mut self, Good { origin, state, hub_time, .. }: Good) -> bool {
        if let Err(error) = self.store.set_saved(Arc::clone(&state), hub_time) {
            tracing::warn!(%error, "not using the state on disk");
            return false;
        }
        self.place.cursor = Some(state.digest());
        self.place.origin = Some(origin);
        self.place.state = state;
        true
    }

    /// The hub says that the state on disk is another's. False: the program has
    /// it already.
    pub(super) fn forget_saved(&mut self) -> bool {
        let forgotten = self.store.forget_saved();
        if forgotten {
            let Place { max_bytes, expected, .. } = std::mem::take(&mut self.place);
            self.place = Place { max_bytes, expected, ..Place::default() };
        }
        forgotten
    }
}
