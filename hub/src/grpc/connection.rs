//! Connections as they come in, counted and bounded.

use super::stall::Breaker;
use crate::metrics::Metrics;
use crate::tls::{Acceptor, Io};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// Longest wait for the connection preface of HTTP/2 (RFC 9113, 3.4), with the TLS
/// handshake before it.
const PREFACE_WAIT: Duration = Duration::from_secs(10);

/// Bytes of that preface.
const PREFACE_BYTES: usize = 24;

/// Wait before the next try when the system has nothing left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The stream of accepted connections. Over the limit a connection is closed
/// as soon as it is accepted, so that its client tries another hub at once
/// rather than waiting in this one's backlog.
pub struct Connections {
    listener: TcpListener,
    acceptor: Acceptor,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    draining: watch::Receiver<bool>,
    /// While there is no way to accept more.
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the trouble has been told.
    told: bool,
}

impl Connections {
    /// Accepts up to `limit` connections at a time. Those that have said nothing
    /// yet are closed when `draining` turns true.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        acceptor: Acceptor,
        limit: usize,
        metrics: Arc<Metrics>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limit));
        Self { listener, acceptor, places, metrics, draining, pause: None, told: false }
    }

    /// Says once what is wrong, until it has been right again.
    fn tell(&mut self, trouble: impl std::fmt::Display) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%trouble, "cannot take more connections");
        }
    }

    fn connection(&mut self, stream: TcpStream) -> Option<Connection> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.tell("the limit on connections (`limits.connections`) is reached");
            return None;
        };
        self.told = false;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        self.metrics.connections.inc();
        let deadline = Instant::now() + PREFACE_WAIT;
        let silence = || {
            let mut draining = self.draining.clone();
            async move {
                let told = draining.wait_for(|draining| *draining);
                let _ = timeout_at(deadline, told).await;
            }
        };
        Some(Connection {
            stream: self.acceptor.accept(stream, silence()),
            silence: Some(Box::pin(silence())),
            spoken: 0,
            breaker: Breaker::default(),
            metrics: Arc::clone(&self.metrics),
            _place: place,
        })
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => {
                    if let Some(connection) = self.connection(stream) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) if is_one_peers(&error) => {}
                Err(error) => {
                    // No file descriptors, most likely: there will be some again.
                    self.tell(error);
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// Whether an error of `accept` is about the connection, not about this process.
fn is_one_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One connection, which gives its place back when it is closed.
pub struct Connection {
    stream: Io,
    /// Ends when a peer has been silent for too long; `None` once it has spoken.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Bytes that the peer has sent while this was counted.
    spoken: usize,
    breaker: Breaker,
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = Breaker;

    fn connect_info(&self) -> Breaker {
        self.breaker.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(silence) = &mut self.silence {
            let ended = read.is_pending() && silence.as_mut().poll(cx).is_ready();
            if ended {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.spoken += buffer.filled().len() - before;
            if self.spoken >= PREFACE_BYTES {
                self.silence = None;
            }
        }
        read
    }
}

impl Connection {
    /// Whether the connection may go on. Asked on every way to the socket: one
    /// whose peer has stopped reading waits in a write, not in a read.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.breaker.is_broken(cx) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
