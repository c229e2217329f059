//! One who listens: a position in a topic.

use super::frames::Frames;
use super::topic::{End, From, Pull, Topic};
use super::waiting::{GroupWaker, Place};
use bytes::Bytes;
use confhub_proto::{Cursor, Digest, State};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A position in a topic, and the rest of the update that is being sent.
///
/// What a step touches lies at the front: with ten thousand streams, each line of the
/// processor's cache that a delivery needs has to be fetched from memory.
#[repr(C)]
pub struct Subscriber {
    topic: Arc<Topic>,
    from: From,
    sending: Option<Sending>,
    place: Place,
    cursor: Digest,
    /// Who is woken when there is something new, if that is not a group.
    waker: Option<Waker>,
}

struct Sending {
    frames: Arc<Frames>,
    next: usize,
}

/// What a subscriber gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A frame, ready to be written.
    Frame(Bytes),
    /// The end.
    End(End),
}

impl Subscriber {
    /// Follows `topic` from `cursor`, or from nothing if the topic does not
    /// know it.
    #[must_use]
    pub fn new(topic: Arc<Topic>, cursor: Option<Cursor>) -> Self {
        let (place, from) = topic.join(cursor);
        Self { topic, from, sending: None, place, cursor: Digest::default(), waker: None }
    }

    /// Has its group woken from now on when there is something new, with this bit; no
    /// other subscriber may have the bit in that group. What came before was told to
    /// nobody: it has to be asked once more after this.
    pub fn join_group(&mut self, waker: Arc<dyn GroupWaker>, bit: u64) {
        let place = self.topic.join_group(waker, bit);
        self.topic.leave(&std::mem::replace(&mut self.place, place));
        self.waker = None;
    }

    /// Whether it is a member of a group that has sent all that it had.
    #[must_use]
    pub fn can_step(&self) -> bool {
        self.from.is_some() && self.sending.is_none() && self.place.is_member()
    }

    /// The frame that leads to the present, if it is the only one. For those that
    /// [can take](Subscriber::can_step) it, which are woken when there is more.
    pub fn step(&mut self) -> Option<Bytes> {
        let (frame, position) = self.topic.step(self.from)?;
        self.from = Some(position);
        Some(frame)
    }

    /// The next frame. Pending means that the subscriber has all there is, and
    /// stands between two updates.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut waits = self.waits(cx);
        loop {
            if let Some(frame) = self.sending.as_mut().and_then(Sending::next) {
                return Poll::Ready(Next::Frame(frame));
            }
            self.sending = None;
            match self.topic.pull(self.from) {
                Pull::Current(cursor) => {
                    self.cursor = cursor;
                    if waits {
                        return Poll::Pending;
                    }
                    self.wait(cx);
                    waits = true;
                }
                Pull::Ended(end) => return Poll::Ready(Next::End(end)),
                Pull::Step(frame, position) => {
                    self.from = Some(position);
                    return Poll::Ready(Next::Frame(frame));
                }
                Pull::Behind(frames, position) => {
                    self.from = Some(position);
                    self.sending = Some(Sending { frames, next: 0 });
                }
            }
        }
    }

    /// The present state, if it is another than the last one that was given. For
    /// those within the hub: nothing is encoded.
    pub fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        let mut waits = self.waits(cx);
        loop {
            match self.topic.pull_state(self.from) {
                Err(end) => return Poll::Ready(Err(end)),
                Ok(Some((state, position))) => {
                    self.from = Some(position);
                    return Poll::Ready(Ok(state));
                }
                Ok(None) if waits => return Poll::Pending,
                Ok(None) => {
                    self.wait(cx);
                    waits = true;
                }
            }
        }
    }

    /// Whether `cx` is known to be woken when there is something new.
    fn waits(&self, cx: &Context<'_>) -> bool {
        // The same one nearly always: a stream stays where it is polled.
        self.place.is_member() || self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
    }

    /// Has `cx` woken when there is something new from now on. Something may have come
    /// just before.
    fn wait(&mut self, cx: &Context<'_>) {
        self.topic.wait(&self.place, cx.waker());
        self.waker = Some(cx.waker().clone());
    }

    /// The digest of the state that the subscriber has, as of the last
    /// [`Subscriber::poll_next`] that was pending.
    #[must_use]
    pub fn cursor(&self) -> Digest {
        self.cursor
    }
}

impl Sending {
    fn next(&mut self) -> Option<Bytes> {
        let frame = self.frames.get(self.next)?;
        self.next += 1;
        Some(frame)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.topic.leave(&self.place);
    }
}
