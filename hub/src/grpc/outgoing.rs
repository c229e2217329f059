//! What goes out on one call: a body, as fast as its reader takes it.
//!
//! HTTP/2 is given no more than it may send. So whatever a reader does not take stays
//! where all readers share it; and a status, which needs no window (RFC 9113, 5.2.1),
//! can still be sent to one that has stopped reading.

use super::body::Live;
use super::marks::{Mark, News};
use super::stall::Watched;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A stream of frames that many share.
pub(super) type Stream = Outgoing<Watched<Live>>;

/// A body, and what it may say of itself beside its frames.
pub(super) trait Source: Body<Data = Bytes> {
    /// Whether there is no more behind the frame that it has just given, and which was
    /// sent: it need not be asked again until it wakes.
    fn rests(&mut self) -> bool {
        false
    }

    /// Ends it with its status, if it has to end while its reader does not read:
    /// nothing but that comes any more.
    fn give_up(&mut self) -> bool {
        false
    }
}

impl Source for tonic::body::Body {}

/// A body on its way to its reader.
pub(super) struct Outgoing<B> {
    send: SendStream<Bytes>,
    /// What waits for the reader.
    held: Option<Bytes>,
    body: B,
}

impl<B: Source + Unpin> Outgoing<B> {
    pub(super) fn new(send: SendStream<Bytes>, body: B) -> Self {
        Self { send, held: None, body }
    }

    /// Hands over what can be; ready when nothing is left to do. `cx` is woken when the
    /// body has more, and `news` is set when HTTP/2 has something to say of the stream.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, news: &News, mark: Mark) -> Poll<()> {
        let heard = &mut Context::from_waker(news.waker());
        // Between two of its news HTTP/2 has nothing to say.
        if mark.has_news && self.send.poll_reset(heard).is_ready() {
            return Poll::Ready(());
        }
        // News of room are of use to what waits for it.
        if !mark.is_due && self.held.is_none() {
            return Poll::Pending;
        }
        let polled = self.poll_with(cx, heard);
        // What it says of the room that it has just been asked for is no news; but it
        // has to be told again whom to tell.
        if polled.is_pending() && news.take() && self.send.poll_reset(heard).is_ready() {
            return Poll::Ready(());
        }
        polled
    }

    /// The same where both wake one.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| {
            let waker = cx.waker().clone();
            let news = &mut Context::from_waker(&waker);
            if self.send.poll_reset(news).is_ready() { Poll::Ready(()) } else { self.poll_with(cx, news) }
        })
        .await;
    }

    fn poll_with(&mut self, cx: &mut Context<'_>, news: &mut Context<'_>) -> Poll<()> {
        let mut gave = false;
        loop {
            match self.poll_send(news) {
                Poll::Ready(Ok(())) if gave && self.body.rests() => return Poll::Pending,
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
                    self.held = Some(data).filter(|data| !data.is_empty());
                    gave = true;
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
