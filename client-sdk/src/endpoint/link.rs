//! What is known of a connection from its bytes alone: whether it is still
//! there, and when something last arrived on it.

use super::dialer::Io;
use futures_util::task::AtomicWaker;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// One connection, as everybody sees it who has a stream on it.
#[derive(Debug)]
pub(super) struct Link {
    began: Instant,
    /// When something last arrived, in milliseconds after it began.
    heard_ms: AtomicU64,
    /// It was given up here, whatever the far end thinks.
    broken: AtomicBool,
    /// There is no connection any more, or none came about.
    gone: AtomicBool,
    reader: AtomicWaker,
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        })
    }

    /// How long nothing has arrived.
    pub(super) fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(heard)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Ends the connection: all its streams hear of it at once.
    pub(super) fn cut(&self) {
        self.broken.store(true, Ordering::Release);
        self.set_gone();
        self.reader.wake();
    }

    fn heard(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now, Ordering::Relaxed);
    }
}

/// The bytes of a connection. HTTP/2 drops them when it has no more use for them,
/// whatever the reason.
pub(super) struct Tracked {
    io: Box<dyn Io>,
    link: Arc<Link>,
}

impl Tracked {
    pub(super) fn new(io: Box<dyn Io>, link: Arc<Link>) -> Self {
        Self { io, link }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.link.set_gone();
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Before the look, so that no cut goes unnoticed.
        self.link.reader.register(cx.waker());
        if self.link.broken.load(Ordering::Acquire) {
            let reason = "nothing had arrived on it for several heartbeats";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, reason)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.link.heard();
        }
        polled
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
