//! What goes out on one call: a body, as fast as its reader takes it.
//!
//! HTTP/2 is given no more than it may send. So whatever a reader does not take stays
//! where all readers share it; and a status, which needs no window (RFC 9113, 5.2.1),
//! can still be sent to one that has stopped reading.

use super::body::Live;
use super::marks::Mark;
use super::stall::Watched;
use crate::fanout::GroupWaker;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// A stream of frames that many share.
pub(super) type Stream = Outgoing<Watched<Live>>;

/// A body, and what it may say of itself beside its frames.
pub(super) trait Source: Body<Data = Bytes> {
    /// Has the group woken with this bit, instead of whoever asks for a frame, when its
    /// topic has something new.
    fn join_group(&mut self, _: Arc<dyn GroupWaker>, _: u64) {}

    /// Whether it waits for nothing but its topic, but for what wakes it by itself.
    fn can_step(&self) -> bool {
        false
    }

    /// The one frame of its topic that it lacks, if that is all and it can take it.
    fn step(&mut self) -> Option<Bytes> {
        None
    }

    /// The step that it took last, or a part of it, begins to wait for its reader.
    fn stands(&mut self) {}

    /// Ends it with its status, if it has to end while its reader does not read:
    /// nothing but that comes any more.
    fn give_up(&mut self) -> bool {
        false
    }
}

impl Source for tonic::body::Body {}

/// A body on its way to its reader. What a step touches lies at the front, as far as two
/// lines of the processor's cache reach.
#[repr(C, align(64))]
pub(super) struct Outgoing<B> {
    send: SendStream<Bytes>,
    /// What waits for the reader. It is rare that something does, and then it is large.
    held: Option<Box<Bytes>>,
    body: B,
}

impl<B: Source + Unpin> Outgoing<B> {
    pub(super) fn new(send: SendStream<Bytes>, body: B) -> Self {
        Self { send, held: None, body }
    }

    /// Has the group woken with this bit when there is something new, which is
    /// [marked](Mark::has_step) then. It has to be [polled](Outgoing::poll) once as due
    /// after this.
    pub(super) fn join_group(&mut self, group: Arc<dyn GroupWaker>, bit: u64) {
        self.body.join_group(group, bit);
    }

    /// Hands over what can be; ready when nothing is left to do. It has to be due unless
    /// it [can take a step](Outgoing::can_step). `cx` is woken when there is more to do,
    /// though not when the call [was reset](Outgoing::was_reset).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mark: Mark) -> Poll<()> {
        let step = if mark.is_due { None } else { self.body.step() };
        match step {
            None => self.poll_all(cx),
            Some(frame) => match self.poll_send(frame, cx) {
                Poll::Ready(Err(_)) => Poll::Ready(()),
                // Its topic, or its reader, wakes it when there is more to do.
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Whether its caller has reset the call, of one that rests: one that waits for its
    /// reader learns it by itself.
    ///
    /// HTTP/2 could be told to wake it; but it would do so whenever it is given a frame.
    pub(super) fn was_reset(&mut self) -> bool {
        self.held.is_none() && self.send.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The same where one waker is for all.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| {
            if self.send.poll_reset(cx).is_ready() { Poll::Ready(()) } else { self.poll_all(cx) }
        })
        .await;
    }

    /// Whether it waits for nothing but what its topic has.
    pub(super) fn can_step(&self) -> bool {
        self.held.is_none() && self.body.can_step()
    }

    /// Hands over all that the body has.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_held(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending if self.body.give_up() => self.held = None,
                Poll::Pending => return Poll::Pending,
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    self.send.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                None => {
                    // The reader may be gone; then nobody is to be told.
                    let _ = self.send.send_data(Bytes::new(), true);
                    return Poll::Ready(());
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    if let Poll::Ready(Err(_)) = self.poll_send(data, cx) {
                        return Poll::Ready(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = self.send.send_trailers(trailers);
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// Hands over a frame as far as the windows go, and holds the rest.
    fn poll_send(&mut self, mut frame: Bytes, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let polled = poll_part(&mut self.send, &mut frame, cx);
        if polled.is_pending() {
            self.held = Some(Box::new(frame));
            self.body.stands();
        }
        polled
    }

    /// The same with what is held.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(held) = &mut self.held else { return Poll::Ready(Ok(())) };
        ready!(poll_part(&mut self.send, held, cx))?;
        self.held = None;
        Poll::Ready(Ok(()))
    }
}

/// Hands over of `frame` what the windows have room for, until it is empty.
fn poll_part(
    send: &mut SendStream<Bytes>,
    frame: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while !frame.is_empty() {
        send.reserve_capacity(frame.len());
        let room = send.capacity();
        if room == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(more) => more?,
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            };
            continue;
        }
        send.send_data(frame.split_to(room.min(frame.len())), false)?;
    }
    Poll::Ready(Ok(()))
}
