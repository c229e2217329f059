//! Ends what a stalled reader holds.
//!
//! HTTP/2 asks a body for its next frame only when the one before could be sent.
//! A body whose reader has stopped reading is never asked, and so can notice
//! neither that its token has expired nor that it has been waiting for minutes.
//! The [`Watch`] looks from outside: every open body has a place in it, and one
//! that waits for its reader for too long, or past its expiry, has its connection
//! broken. (There is no gentler way: a status would wait behind the frame.) What is
//! not seen here is the last frame of an answer, which HTTP/2 keeps by itself when
//! the body has ended; the place of the call is given back then.

use super::call::Place;
use super::peer::Peer;
use crate::limits::STALLED;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use slab::Slab;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How often the watch looks: no body outlives its expiry by more than two looks.
const LOOK: Duration = Duration::from_millis(400);

/// All open bodies of a hub.
pub struct Watch {
    bodies: Mutex<Slab<Entry>>,
    began: Instant,
}

struct Entry {
    expires: Instant,
    standing: Arc<Standing>,
    breaker: Breaker,
}

/// Since when a body waits for its reader, in milliseconds after the watch began
/// and plus one; 0: it does not. Without a lock, since every frame passes here.
struct Standing(AtomicU64);

/// A body that is watched until it is dropped.
pub(super) struct Watched {
    body: Body,
    watch: Arc<Watch>,
    place: usize,
    standing: Arc<Standing>,
    /// What the call may take up for as long as its answer is not read.
    _place: Option<Place>,
}

/// Breaks one connection.
#[derive(Clone, Default)]
pub struct Breaker(Arc<State>);

#[derive(Default)]
struct State {
    broken: AtomicBool,
    reader: Mutex<Option<Waker>>,
    peer: Peer,
}

impl Default for Watch {
    fn default() -> Self {
        Self { bodies: Mutex::default(), began: Instant::now() }
    }
}

impl Watch {
    /// Watches a body, whose reader must not get more of it after `expires`.
    #[must_use]
    pub(super) fn over(
        self: &Arc<Self>,
        body: Body,
        expires: Instant,
        breaker: Breaker,
        place_of_call: Option<Place>,
    ) -> Watched {
        let standing = Arc::new(Standing(AtomicU64::new(self.millis())));
        let entry = Entry { expires, standing: Arc::clone(&standing), breaker };
        let place = self.lock().insert(entry);
        Watched { body, watch: Arc::clone(self), place, standing, _place: place_of_call }
    }

    /// Looks around for as long as it is polled.
    pub async fn keep(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        loop {
            let now = looks.tick().await;
            let stalled: Vec<_> = {
                let bodies = self.lock();
                let stalled = bodies.iter().filter(|(_, entry)| self.is_stalled(entry, now));
                stalled.map(|(_, entry)| entry.breaker.clone()).collect()
            };
            for breaker in stalled {
                breaker.trip("an answer on it was not read");
            }
        }
    }

    fn is_stalled(&self, entry: &Entry, now: Instant) -> bool {
        let standing = entry.standing.0.load(Ordering::Relaxed);
        let stands_ms = self.millis().saturating_sub(standing);
        // A frame that is under way when the token expires gets a moment.
        let expired = now >= entry.expires && stands_ms > u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
        standing != 0 && (expired || u128::from(stands_ms) > STALLED.as_millis())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // What is handed over has to be read; what is not there yet is not the reader's fault.
        let standing = if polled.is_ready() { self.watch.millis() } else { 0 };
        self.standing.0.store(standing, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.lock().try_remove(self.place);
    }
}

impl Breaker {
    /// What is known of the peer.
    pub(super) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Whether the connection is broken, or about to be.
    pub(super) fn is_tripped(&self) -> bool {
        self.0.broken.load(Ordering::SeqCst)
    }

    /// Breaks the connection, once.
    pub(super) fn trip(&self, why: &'static str) {
        if self.0.broken.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::info!("broke a connection: {why}");
        let reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the connection is broken; if not, its reader is woken when it is.
    pub(super) fn is_broken(&self, cx: &Context<'_>) -> bool {
        let mut reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *reader {
            Some(known) => known.clone_from(cx.waker()),
            None => *reader = Some(cx.waker().clone()),
        }
        drop(reader);
        self.0.broken.load(Ordering::SeqCst)
    }
}
