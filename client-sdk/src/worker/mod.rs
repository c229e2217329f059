//! The one task of a client: it connects, resumes, applies, publishes, and
//! backs off.
//!
//! It promises that what it publishes is a state that some hub had, as a whole,
//! and that it never gives up unless the hub says that it should. It owns the
//! state, the place in the stream and the file on disk; all others hold handles
//! to what it publishes, and when the last handle is dropped it ends.

mod end;
mod moving;
mod place;
mod reports;
mod saved;
mod session;
mod tokens;

pub(crate) use place::{Good, Origin, Place};
pub(crate) use reports::{Reports, cut};
pub(crate) use saved::Saved;
pub(crate) use tokens::Tokens;

use crate::backoff::Backoff;
use crate::disk::DiskWriter;
use crate::endpoint::{Address, Endpoints, Round};
use crate::store::Store;
use crate::view::View;
use crate::{Closed, FailureKind, Status, limits};
use end::{End, Standing, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// All that the task owns.
pub(crate) struct Worker {
    pub(crate) view: View,
    pub(crate) tokens: Tokens,
    pub(crate) endpoints: Endpoints,
    pub(crate) store: Arc<Store>,
    pub(crate) place: Place,
    pub(crate) disk: Option<DiskWriter>,
    /// Until it was looked at.
    pub(crate) saved: Option<Saved>,
    pub(crate) backoff: Backoff,
    pub(crate) reports: Reports,
    pub(crate) rng: fastrand::Rng,
}

/// How a visit to one address ended.
struct Visit {
    end: End,
    /// Where it ended: the last stream may have been elsewhere than the first.
    address: Address,
    /// There was a stream: its Welcome had arrived.
    opened: bool,
    /// The stream was a success, however it ended.
    worked: bool,
}

impl Worker {
    /// Follows the hub until told to stop, by word or by dropping the last
    /// handle, or until the hub says that there is nothing to come back for.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // If the runtime goes away in the middle, those who wait must hear of it.
        let _closing = CloseOnDrop(Arc::clone(&self.store));
        let reason = tokio::select! {
            biased;
            // An error means that the last handle is gone.
            _ = stop.wait_for(|stop| *stop) => Closed::ByProgram,
            reason = self.follow() => reason,
        };
        match &reason {
            Closed::ByProgram => tracing::debug!("closed"),
            reason => tracing::error!(%reason, "closed: the state will not change any more"),
        }
        self.store.close(reason);
        if let Some(disk) = self.disk {
            disk.finish().await;
        }
    }

    /// Connects, again and again.
    async fn follow(&mut self) -> Closed {
        loop {
            if let Err(error) = self.take_saved().await {
                tracing::warn!(%error, "cannot connect");
                self.store.failed(FailureKind::Token, &error.to_string());
                sleep(self.backoff.next(&mut self.rng)).await;
                continue;
            }
            let pause = match self.endpoints.round(&mut self.rng).await {
                Round::Try(addresses) => match self.go_round(addresses).await {
                    Ok(pause) => pause,
                    Err(reason) => return reason,
                },
                Round::Wait(pause) => {
                    self.tokens.forget_kept();
                    self.left_alone();
                    // A quarter more at random, so that all those whom one hub
                    // sent away do not come back together.
                    pause.mul_f64(1.0 + self.rng.f64() / 4.0)
                }
                Round::Unresolved(reason) => {
                    self.tokens.forget_kept();
                    self.store.failed(FailureKind::Unreachable, &reason);
                    self.store.fall_back();
                    self.backoff.next(&mut self.rng)
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.tokens.replaced() => {}
            }
        }
    }

    /// Goes through addresses until one had more to say than that it cannot be
    /// reached. Returns the pause before the next round.
    async fn go_round(&mut self, addresses: Vec<Address>) -> Result<Duration, Closed> {
        let mut unreachable = None;
        for address in addresses {
            let Visit { end, address, opened, worked } = self.visit(&address).await;
            let starting = self.store.status().is_starting();
            let token_is_fixed = self.tokens.are_fixed();
            let verdict = end.verdict(Standing { starting, opened, token_is_fixed });
            if end.is_planned() {
                tracing::debug!(hub = %address, reason = %end, "the stream has ended");
            } else if !matches!(verdict, Verdict::Close(_)) {
                tracing::warn!(hub = %address, reason = %end, "no stream; reads go on from the last good state");
                unreachable = Some(end.to_string()).filter(|_| self.is_no_news(&end));
                if unreachable.is_none() {
                    self.store.failed(end.kind(), &end.to_string());
                }
            }
            let soon = worked && verdict != Verdict::MuchLater;
            match verdict {
                Verdict::Close(reason) => return Err(reason),
                Verdict::NextAddress => continue,
                Verdict::Again => {}
                Verdict::MuchLater => self.backoff.exhaust(),
                Verdict::Elsewhere(pause) => self.endpoints.leave(&address, pause),
                Verdict::NewToken => {
                    if self.tokens.refused() {
                        self.backoff.slow_down(limits::REFUSED_PAUSE);
                    }
                }
            }
            if soon {
                return Ok(self.endpoints.spread().mul_f64(self.rng.f64()));
            }
            // There will be no stream for longer than a moment, planned or not.
            self.store.failed(end.kind(), &end.to_string());
            return Ok(self.backoff.next(&mut self.rng));
        }
        if let Some(why) = unreachable.filter(|_| !self.endpoints.keeps_away()) {
            self.store.failed(FailureKind::Unreachable, &why);
        }
        self.tokens.forget_kept();
        self.store.fall_back();
        Ok(self.backoff.next(&mut self.rng))
    }

    /// Whether a hub has said that it takes no more for now, which says more than that
    /// nobody is at another address: at least until that hub was asked again.
    fn is_no_news(&self, end: &End) -> bool {
        let known = match self.store.status() {
            Status::Starting { last } => last.map(|last| last.kind),
            Status::Stale { kind, .. } => Some(kind),
            _ => None,
        };
        known == Some(FailureKind::Limited) && end.kind() == FailureKind::Unreachable
    }

    /// All hubs have sent this client away, or are not trusted for the moment.
    /// Why they are is known already, and says more.
    fn left_alone(&self) {
        if matches!(self.store.status(), Status::Ready { .. } | Status::Starting { last: None }) {
            let why = "all hubs have asked to be left alone for a moment";
            self.store.failed(FailureKind::Limited, why);
        }
    }
}

/// Closes the store when the task is gone, whatever made it go.
struct CloseOnDrop(Arc<Store>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(if std::thread::panicking() { Closed::Panicked } else { Closed::Runtime });
    }
}

#[cfg(test)]
mod tests;
