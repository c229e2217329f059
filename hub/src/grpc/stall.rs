//! Ends what a stalled reader holds.
//!
//! A body is asked for its next frame when the one before could be sent. One whose
//! reader has stopped reading is never asked, and so can notice neither that its token
//! has expired nor that it has been waiting for minutes. The [`Watch`] looks from
//! outside: every open body has a place in it, and one that waits for its reader for
//! too long, or past its expiry, is ended. A stream then gets its status, which needs no
//! window. Any other body lies in HTTP/2's own buffers as far as it was handed over, so
//! its connection is broken. What is not seen here is the last frame of such an answer,
//! which stays there when the body has ended; the place of the call is given back then.

use super::body::{expired, goodbye, trailers};
use super::breaker::Breaker;
use super::call::Place;
use super::outgoing::Source;
use crate::admission::{Admission, Refused};
use crate::auth::{Identity, refused_status};
use crate::fanout::GroupWaker;
use crate::limits::STALLED;
use bytes::Bytes;
use confhub_proto::{retry, wire};
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use slab::Slab;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, interval, sleep_until};
use tonic::{Code, Status};

/// How often the watch looks: no body outlives its expiry by more than two looks.
const LOOK: Duration = Duration::from_millis(400);

/// How long a reader may take for the last frame of a body that was cut off. Nothing
/// follows that frame, so it is no hurry; and other streams of the connection, which
/// may be other tenants', would be broken with it.
const WITHDRAWN: Duration = Duration::from_secs(10);

/// When one that had stopped reading may come back: it has something else to do first.
const BREATH: Duration = Duration::from_secs(1);

/// Shortest time between two walks over all bodies that changes of who is let in cause.
const GATHER: Duration = Duration::from_millis(200);

/// All open bodies of a hub.
#[derive(Default)]
pub struct Watch {
    bodies: Mutex<Slab<Entry>>,
    /// How often the watch has looked around: its clock, since every frame asks it.
    looks: AtomicU64,
}

struct Entry {
    expires: Instant,
    stream: bool,
    /// Whose body it is; `None`: it is not cut off.
    identity: Option<Identity>,
    reading: Arc<Reading>,
    breaker: Breaker,
}

/// What a body and the watch know of each other.
#[derive(Default)]
pub(super) struct Reading {
    /// Since which look, plus one, a frame of the body waits for its reader; 0: none does.
    standing: AtomicU64,
    /// Why the body has to end, whatever it still has.
    over: OnceLock<Over>,
    body: AtomicWaker,
}

/// Why a body has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Its reader's right to it was withdrawn.
    Refused(Refused),
    /// Its reader's token has expired.
    Expired,
    /// Its reader has stopped reading.
    Stalled,
}

impl Over {
    fn status(self) -> Status {
        match self {
            Self::Refused(refused) => refused_status(refused),
            Self::Expired => expired(),
            Self::Stalled => {
                let waited_s = STALLED.as_secs();
                let message =
                    format!("the stream was not read for {waited_s} s: connect again from where you are");
                retry::later(Code::ResourceExhausted, message, BREATH)
            }
        }
    }
}

impl Reading {
    fn end(&self, over: Over) {
        if self.over.set(over).is_ok() {
            self.body.wake();
        }
    }

    /// Why the body has to end, if it has.
    pub(super) fn over(&self) -> Option<Over> {
        self.over.get().copied()
    }
}

/// A body that is watched until it is dropped. It lies at the front: see [`Live`].
///
/// [`Live`]: super::body::Live
#[repr(C)]
pub(super) struct Watched<B> {
    /// `None`: the reader has no right to it any more.
    body: Option<B>,
    expires: Instant,
    parting: Parting,
    reading: Arc<Reading>,
    /// Who is woken when it has to end.
    waker: Option<Waker>,
    watch: Arc<Watch>,
    place: usize,
    /// What the call may take up for as long as its answer is not read.
    place_of_call: Option<Place>,
}

/// What a reader still gets whose right was withdrawn.
enum Parting {
    /// The status, and before it a goodbye if it is a stream of frames and there was a
    /// right to withdraw.
    Nothing { stream: bool },
    /// The status: the goodbye was said, or nobody would understand it.
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
    pub(super) reading: Arc<Reading>,
    /// What breaks its connection.
    pub(super) breaker: Breaker,
    /// It reads a stream, which ends by itself.
    pub(super) stream: bool,
    /// It is a stream on which one says goodbye.
    pub(super) goodbye: bool,
}

impl Watch {
    /// Watches a body, of which its reader must not get more once its right ends.
    #[must_use]
    pub(super) fn over<B>(
        self: &Arc<Self>,
        body: B,
        reader: Reader,
        admission: &Admission,
        place_of_call: Option<Place>,
    ) -> Watched<B> {
        let Reader { identity, expires, reading, breaker, stream, goodbye } = reader;
        reading.standing.store(self.now(), Ordering::Relaxed);
        let checked = identity.clone();
        let entry = Entry { expires, stream, identity, reading: Arc::clone(&reading), breaker };
        let place = self.lock().insert(entry);
        // Once more, now that it is among those that every change is held against:
        // one that came since the call was let in would pass it by otherwise.
        if let Some(Err(refused)) = checked.map(|identity| admission.check(&identity)) {
            reading.end(Over::Refused(refused));
        }
        Watched {
            body: Some(body),
            expires,
            parting: if stream && !goodbye { Parting::Goodbye } else { Parting::Nothing { stream } },
            reading,
            waker: None,
            watch: Arc::clone(self),
            place,
            place_of_call,
        }
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
            self.looks.fetch_add(1, Ordering::Relaxed);
            self.end_what_has_to_end(now);
        }
    }

    fn end_what_has_to_end(&self, now: Instant) {
        let over: Vec<_> = {
            let bodies = self.lock();
            let over = bodies.iter().filter_map(|(_, entry)| {
                let over = self.has_to_end(entry, now)?;
                let ended = entry.stream.then(|| Arc::clone(&entry.reading)).ok_or(entry.breaker.clone());
                Some((over, ended))
            });
            over.collect()
        };
        for (over, ended) in over {
            match ended {
                Ok(reading) => reading.end(over),
                Err(breaker) => breaker.trip("an answer on it was not read"),
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
                Some((Arc::clone(&entry.reading), refused))
            });
            held.collect()
        };
        for (reading, refused) in cut {
            reading.end(Over::Refused(refused));
        }
    }

    /// Why a body has to end that waits for its reader, if it does.
    fn has_to_end(&self, entry: &Entry, now: Instant) -> Option<Over> {
        let since = entry.reading.standing.load(Ordering::Relaxed);
        if since == 0 {
            return None;
        }
        // The first look comes at once; only what lies between two is known to have passed.
        let looks = u32::try_from(self.now().saturating_sub(since)).unwrap_or(u32::MAX);
        let stands = LOOK.saturating_mul(looks.saturating_sub(1));
        match entry.reading.over() {
            Some(over) if stands >= WITHDRAWN => Some(over),
            // A frame that is under way when the token expires gets a moment.
            _ if now >= entry.expires && stands >= LOOK => Some(Over::Expired),
            _ if stands >= STALLED => Some(Over::Stalled),
            _ => None,
        }
    }

    /// The time by its own clock, which is never 0.
    fn now(&self) -> u64 {
        self.looks.load(Ordering::Relaxed) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = match self.poll_over(cx) {
            Some(over) => Poll::Ready(self.part(over).map(Ok)),
            // A stream of frames says goodbye ahead, and ends by itself.
            None if self.has_expired() => Poll::Ready(self.part(Over::Expired).map(Ok)),
            None => match &mut self.body {
                Some(body) => Pin::new(body).poll_frame(cx),
                None => Poll::Ready(None),
            },
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(place)) = (&polled, &self.place_of_call)
            && frame.is_trailers()
        {
            place.excuse();
        }
        // What is handed over has to be read; what is not there yet is not the reader's fault.
        let standing = if polled.is_ready() { self.watch.now() } else { 0 };
        self.reading.standing.store(standing, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.reading.over().is_none() && self.body.as_ref().is_some_and(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) if self.reading.over().is_none() => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl<B> Watched<B> {
    fn has_expired(&self) -> bool {
        matches!(self.parting, Parting::Nothing { stream: false } | Parting::Status)
            && Instant::now() >= self.expires
    }

    /// Why the body has to end, if it has; if not, `cx` is woken when it has.
    fn poll_over(&mut self, cx: &Context<'_>) -> Option<Over> {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.reading.body.register(cx.waker());
        }
        self.reading.over()
    }

    /// What comes in the place of the body.
    fn part(&mut self, over: Over) -> Option<Frame<Bytes>> {
        // Its place in a topic, and what else it holds, is free at once.
        self.body = None;
        match (&self.parting, over) {
            (Parting::Nothing { stream: true }, Over::Refused(_)) => {
                self.parting = Parting::Goodbye;
                Some(Frame::data(goodbye(wire::goodbye::Reason::Revoked, Duration::ZERO)))
            }
            (Parting::Nothing { .. } | Parting::Goodbye, _) => {
                self.parting = Parting::Status;
                Some(trailers(&over.status()))
            }
            (Parting::Status, _) => None,
        }
    }
}

impl<B: Source + Unpin> Source for Watched<B> {
    fn join_group(&mut self, group: Arc<dyn GroupWaker>, bit: u64) {
        if let Some(body) = &mut self.body {
            body.join_group(group, bit);
        }
    }

    fn can_step(&self) -> bool {
        // What ends it wakes it by itself.
        self.body.as_ref().is_some_and(B::can_step)
    }

    fn step(&mut self) -> Option<Bytes> {
        self.body.as_mut().and_then(B::step)
    }

    fn stands(&mut self) {
        self.reading.standing.store(self.watch.now(), Ordering::Relaxed);
    }

    fn give_up(&mut self) -> bool {
        // It is woken for this by what ended it.
        let over = self.reading.over().is_some();
        if over {
            // A goodbye needs a window.
            self.body = None;
            self.parting = Parting::Goodbye;
        }
        over
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.watch.lock().try_remove(self.place);
    }
}

#[cfg(test)]
mod tests;
