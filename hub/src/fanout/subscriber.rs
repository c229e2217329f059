//! One who listens: a position in a topic.

use super::frames::Frames;
use super::topic::{End, From, Pull, Topic};
use bytes::Bytes;
use confhub_proto::{Cursor, Digest, State};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A position in a topic, and the rest of the update that is being sent.
pub struct Subscriber {
    topic: Arc<Topic>,
    place: usize,
    from: From,
    sending: Option<Sending>,
    cursor: Digest,
    /// Who is woken when there is something new.
    waker: Option<Waker>,
    /// Whether the last frame led to what was the present when it was asked for.
    rests: bool,
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
        Self { topic, place, from, sending: None, cursor: Digest::default(), waker: None, rests: false }
    }

    /// The next frame. Pending means that the subscriber has all there is, and
    /// stands between two updates.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut waits = self.waits(cx);
        self.rests = false;
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
                    self.rests = waits;
                    return Poll::Ready(Next::Frame(frame));
                }
                Pull::Behind(frames, position) => {
                    self.from = Some(position);
                    self.sending = Some(Sending { frames, next: 0 });
                }
            }
        }
    }

    /// Whether nothing came after the frame that [`Subscriber::poll_next`] has just
    /// given, before it was asked: what came since has woken its waker.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.rests
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
        self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
    }

    /// Has `cx` woken when there is something new from now on. Something may have come
    /// just before.
    fn wait(&mut self, cx: &Context<'_>) {
        self.topic.wait(self.place, cx.waker());
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
        self.topic.leave(self.place);
    }
}
