//! What goes out on one call: a body, as fast as its reader takes it.
//!
//! HTTP/2 is given no more than it may send. So whatever a reader does not take stays
//! where all readers share it; and a status, which needs no window (RFC 9113, 5.2.1),
//! can still be sent to one that has stopped reading.

use super::body::Live;
use super::driver::Marked;
use super::stall::Watched;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A stream of frames that many share.
pub(super) type Stream = Outgoing<Watched<Live>>;

/// A body that may have to end while its reader does not read.
pub(super) trait Endable {
    /// Ends it with its status, if it has to end: nothing but that comes any more.
    fn give_up(&mut self) -> bool {
        false
    }
}

impl Endable for tonic::body::Body {}

/// A body on its way to its reader.
pub(super) struct Outgoing<B> {
    send: SendStream<Bytes>,
    /// What waits for the reader.
    held: Option<Bytes>,
    body: B,
}

impl<B: Body<Data = Bytes> + Endable + Unpin> Outgoing<B> {
    pub(super) fn new(send: SendStream<Bytes>, body: B) -> Self {
        Self { send, held: None, body }
    }

    /// Hands over what can be; ready when nothing is left to do. `cx` is woken when the
    /// body has more, and `news` when HTTP/2 has something to say of the stream.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, news: &Marked) -> Poll<()> {
        // Between two of its wakes HTTP/2 has nothing to say.
        let is_new = news.take();
        self.poll_with(cx, &mut Context::from_waker(news.waker()), is_new)
    }

    /// The same where both wake one.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| {
            let waker = cx.waker().clone();
            self.poll_with(cx, &mut Context::from_waker(&waker), true)
        })
        .await;
    }

    fn poll_with(&mut self, cx: &mut Context<'_>, news: &mut Context<'_>, is_new: bool) -> Poll<()> {
        if is_new && self.send.poll_reset(news).is_ready() {
            return Poll::Ready(());
        }
        loop {
            match self.poll_send(news) {
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
                Ok(data) => self.held = Some(data).filter(|data| !data.is_empty()),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = self.send.send_trailers(trailers);
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// Hands over what is held, as far as the windows go.
    fn poll_send(&mut self, news: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Some(held) = &mut self.held {
            self.send.reserve_capacity(held.len());
            let room = self.send.capacity();
            if room == 0 {
                match ready!(self.send.poll_capacity(news)) {
                    Some(more) => more?,
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                };
                continue;
            }
            let part = held.split_to(room.min(held.len()));
            if held.is_empty() {
                self.held = None;
            }
            self.send.send_data(part, false)?;
        }
        Poll::Ready(Ok(()))
    }
}
