//! Ends what a stalled reader holds.
//!
//! HTTP/2 asks a body for its next frame only when the one before could be sent.
//! A body whose reader has stopped reading is never asked, and so can notice
//! neither that its token has expired nor that it has been waiting for minutes.
//! The [`Watch`] looks from outside: every open body has a place in it, and one
//! that waits for its reader for too long, or past its expiry, has its connection
//! broken. (There is no gentler way: a status would wait behind the frame.)

use crate::limits::STALLED;
use slab::Slab;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How often the watch looks: no body outlives its expiry by more.
const LOOK: Duration = Duration::from_millis(500);

/// All open bodies of a hub.
#[derive(Default)]
pub struct Watch {
    bodies: Mutex<Slab<Body>>,
}

struct Body {
    expires: Instant,
    /// Since when it waits for its reader.
    handed_over: Option<Instant>,
    breaker: Breaker,
}

/// A body's place in the watch, which it leaves when this is dropped.
pub struct Watched {
    watch: Arc<Watch>,
    place: usize,
}

/// Breaks one connection.
#[derive(Clone, Default)]
pub struct Breaker(Arc<State>);

#[derive(Default)]
struct State {
    broken: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Watch {
    /// Watches a body until its place is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, expires: Instant, breaker: Breaker) -> Watched {
        let place = self.lock().insert(Body { expires, handed_over: None, breaker });
        Watched { watch: Arc::clone(self), place }
    }

    /// Looks around for as long as it is polled.
    pub async fn keep(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        loop {
            let now = looks.tick().await;
            let stalled: Vec<_> = {
                let bodies = self.lock();
                let stalled = bodies.iter().filter(|(_, body)| body.is_stalled(now));
                stalled.map(|(_, body)| body.breaker.clone()).collect()
            };
            for breaker in stalled {
                tracing::info!("broke a connection: a stream on it was not read");
                breaker.trip();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Body>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    fn is_stalled(&self, now: Instant) -> bool {
        self.handed_over.is_some_and(|since| now >= self.expires || now.duration_since(since) > STALLED)
    }
}

impl Watched {
    /// A frame was handed over: the body waits for its reader.
    pub fn handed_over(&self) {
        self.set(Some(Instant::now()));
    }

    /// The body was asked for more and has nothing: the reader waits for it.
    pub fn idle(&self) {
        self.set(None);
    }

    fn set(&self, handed_over: Option<Instant>) {
        if let Some(body) = self.watch.lock().get_mut(self.place) {
            body.handed_over = handed_over;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.lock().try_remove(self.place);
    }
}

impl Breaker {
    /// Breaks the connection.
    fn trip(&self) {
        self.0.broken.store(true, Ordering::SeqCst);
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
