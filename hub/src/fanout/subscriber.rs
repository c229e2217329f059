//! One who listens: a position in a topic.

use super::frames::Frames;
use super::topic::{End, From, Pull, Topic};
use bytes::Bytes;
use confhub_proto::{Cursor, Digest, State};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A position in a topic, and the rest of the update that is being sent.
pub struct Subscriber {
    topic: Arc<Topic>,
    place: usize,
    from: From,
    sending: Option<Sending>,
    cursor: Digest,
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
        Self { topic, place, from, sending: None, cursor: Digest::default() }
    }

    /// The next frame. Pending means that the subscriber has all there is, and
    /// stands between two updates.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(frame) = self.sending.as_mut().and_then(Sending::next) {
                return Poll::Ready(Next::Frame(frame));
            }
            self.sending = None;
            match self.topic.pull(self.place, self.from, cx.waker()) {
                Pull::Current(cursor) => {
                    self.cursor = cursor;
                    return Poll::Pending;
                }
                Pull::Ended(end) => return Poll::Ready(Next::End(end)),
                Pull::Behind(difference, position) => {
                    self.from = Some(position);
                    self.sending = Some(Sending { frames: difference.frames(), next: 0 });
                }
            }
        }
    }

    /// The present state, if it is another than the last one that was given. For
    /// those within the hub: nothing is encoded.
    pub fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<State, End>> {
        match self.topic.pull(self.place, self.from, cx.waker()) {
            Pull::Current(_) => Poll::Pending,
            Pull::Ended(end) => Poll::Ready(Err(end)),
            Pull::Behind(_, position) => {
                self.from = Some(position);
                // It may be a later one by now; then the next call gives it once more.
                Poll::Ready(Ok(self.topic.state()))
            }
        }
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
