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

use super::body::{expired, goodbye, trailers};
use super::call::Place;
use super::peer::Peer;
use crate::admission::{Admission, Refused};
use crate::auth::{Identity, refused_status};
use crate::limits::STALLED;
use axum::body::Body;
use bytes::Bytes;
use confhub_proto::wire;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use slab::Slab;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, interval, sleep_until};
use tonic::Status;

/// How often the watch looks: no body outlives its expiry by more than two looks.
const LOOK: Duration = Duration::from_millis(400);

/// How long a reader may take for the last frame of a body that was cut off. Nothing
/// follows that frame, so it is no hurry; and other streams of the connection, which
/// may be other tenants', would be broken with it.
const WITHDRAWN: Duration = Duration::from_secs(10);

/// Shortest time between two walks over all bodies that changes of who is let in cause.
const GATHER: Duration = Duration::from_millis(200);

/// All open bodies of a hub.
pub struct Watch {
    bodies: Mutex<Slab<Entry>>,
    began: Instant,
}

struct Entry {
    expires: Instant,
    /// Whose body it is; `None`: it is not cut off.
    identity: Option<Identity>,
    cut: Arc<Cut>,
    standing: Arc<Standing>,
    breaker: Breaker,
}

/// Since when a body waits for its reader, in milliseconds after the watch began
/// and plus one; 0: it does not. Without a lock, since every frame passes here.
struct Standing(AtomicU64);

/// Where a body learns that its reader's right to it was withdrawn.
#[derive(Default)]
pub(super) struct Cut {
    refused: OnceLock<Refused>,
    body: AtomicWaker,
}

impl Cut {
    fn set(&self, refused: Refused) {
        if self.refused.set(refused).is_ok() {
            self.body.wake();
        }
    }

    /// Why the right was withdrawn, if it was.
    pub(super) fn get(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// The same, and `cx` is woken when it is.
    fn poll(&self, cx: &Context<'_>) -> Option<Refused> {
        self.body.register(cx.waker());
        self.get()
    }
}

/// A body that is watched until it is dropped.
pub(super) struct Watched {
    body: Body,
    expires: Instant,
    parting: Parting,
    cut: Arc<Cut>,
    watch: Arc<Watch>,
    place: usize,
    standing: Arc<Standing>,
    /// What the call may take up for as long as its answer is not read.
    place_of_call: Option<Place>,
}

/// Breaks one connection.
#[derive(Clone, Default)]
pub(super) struct Breaker(Arc<State>);

#[derive(Default)]
struct State {
    broken: AtomicBool,
    reader: Mutex<Option<Waker>>,
    peer: Peer,
    address: Option<SocketAddr>,
}

/// What a reader still gets whose right was withdrawn.
enum Parting {
    /// The status, and before it a goodbye if it is a stream of frames.
    Nothing { stream: bool },
    /// The status.
    Goodbye,
    /// No more.
    Status,
}

/// What is known of a body before it is watched.
pub(super) struct Reader {
    /// Who reads it; `None`: it is not cut off, whatever becomes of its reader.
    pub(super) identity: Option<Identity>,
    /// When its right to read ends.
    pub(super) expires: Instant,
    /// Where the body learns that it has ended before.
    pub(super) cut: Arc<Cut>,
    /// What breaks its connection.
    pub(super) breaker: Breaker,
    /// It reads a stream of frames, on which one says goodbye.
    pub(super) stream: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { bodies: Mutex::default(), began: Instant::now() }
    }
}

impl Watch {
    /// Watches a body, of which its reader must not get more once its right ends.
    #[must_use]
    pub(super) fn over(
        self: &Arc<Self>,
        body: Body,
        reader: Reader,
        admission: &Admission,
        place_of_call: Option<Place>,
    ) -> Watched {
        let standing = Arc::new(Standing(AtomicU64::new(self.millis())));
        let Reader { identity, expires, cut, breaker, stream } = reader;
        let checked = identity.clone();
        let entry =
            Entry { expires, identity, cut: Arc::clone(&cut), standing: Arc::clone(&standing), breaker };
        let place = self.lock().insert(entry);
        // Once more, now that it is among those that every change is held against:
        // one that came since the call was let in would pass it by otherwise.
        if let Some(Err(refused)) = checked.map(|identity| admission.check(&identity)) {
            cut.set(refused);
        }
        let parting = Parting::Nothing { stream };
        Watched { body, expires, parting, cut, watch: Arc::clone(self), place, standing, place_of_call }
    }

    /// Looks around for as long as it is polled.
    pub async fn keep(self: Arc<Self>, admission: Admission) {
        let mut looks = interval(LOOK);
        let mut changes = admission.changes();
        let mut next = Instant::now();
        loop {
            let now = tokio::select! {
                now = looks.tick() => now,
                // The sender lives as long as `admission` does. Changes that follow each
                // other closely are held against all bodies together.
                () = async { sleep_until(next).await; drop(changes.changed().await) } => {
                    self.hold_against(&admission);
                    next = Instant::now() + GATHER;
                    continue;
                }
            };
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

    /// Cuts off all who are not let in any more. With 100,000 open bodies it takes
    /// some ten milliseconds, a few times a day and at most a few times a second.
    fn hold_against(&self, admission: &Admission) {
        let cut: Vec<_> = {
            let bodies = self.lock();
            let held = bodies.iter().filter_map(|(_, entry)| {
                let refused = admission.check(entry.identity.as_ref()?).err()?;
                Some((Arc::clone(&entry.cut), refused))
            });
            held.collect()
        };
        for (cut, refused) in cut {
            cut.set(refused);
        }
    }

    fn is_stalled(&self, entry: &Entry, now: Instant) -> bool {
        let standing = entry.standing.0.load(Ordering::Relaxed);
        let stands_ms = self.millis().saturating_sub(standing);
        // A frame that is under way when the token expires gets a moment.
        let withdrawn = entry.cut.get().is_some() && u128::from(stands_ms) > WITHDRAWN.as_millis();
        let expired = now >= entry.expires && stands_ms > u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
        standing != 0 && (expired || withdrawn || u128::from(stands_ms) > STALLED.as_millis())
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
        let polled = match self.cut.poll(cx) {
            Some(refused) => Poll::Ready(self.part(&refused_status(refused))),
            // A stream of frames says goodbye ahead, and ends by itself.
            None if self.has_expired() => Poll::Ready(self.part(&expired())),
            None => Pin::new(&mut self.body).poll_frame(cx),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(place)) = (&polled, &self.place_of_call)
            && frame.is_trailers()
        {
            place.excuse();
        }
        // What is handed over has to be read; what is not there yet is not the reader's fault.
        let standing = if polled.is_ready() { self.watch.millis() } else { 0 };
        self.standing.0.store(standing, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.cut.get().is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut.get().is_none() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl Watched {
    fn has_expired(&self) -> bool {
        matches!(self.parting, Parting::Nothing { stream: false } | Parting::Status)
            && Instant::now() >= self.expires
    }

    /// What comes in the place of the body.
    fn part(&mut self, status: &Status) -> Option<Result<Frame<Bytes>, axum::Error>> {
        // Its place in a topic, and what else it holds, is free at once.
        self.body = Body::empty();
        match self.parting {
            Parting::Nothing { stream: true } => {
                self.parting = Parting::Goodbye;
                let goodbye = goodbye(wire::goodbye::Reason::Revoked, Duration::ZERO);
                Some(Ok(Frame::data(goodbye)))
            }
            Parting::Nothing { stream: false } | Parting::Goodbye => {
                self.parting = Parting::Status;
                Some(trailers(status).map_err(axum::Error::new))
            }
            Parting::Status => None,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.lock().try_remove(self.place);
    }
}

impl Breaker {
    /// Breaks the connection to this peer.
    pub(super) fn to(peer: SocketAddr) -> Self {
        Self(Arc::new(State { address: Some(peer), ..State::default() }))
    }

    /// The address of the peer.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

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
