//! Connections as they come in, counted and bounded.

use super::alarm::Alarm;
use super::breaker::Breaker;
use super::frames_meter::FramesMeter;
use super::opening::{self, Opening};
use super::pace::Pace;
use crate::config::{LimitSettings, TimeSettings};
use crate::limits::BURST_ACCEPTS;
use crate::metrics::{Metrics, RefusalLabel};
use crate::tls::{Acceptor, Io};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tokio_stream::Stream;

/// Longest wait for the connection preface of HTTP/2 (RFC 9113, 3.4), with the TLS
/// handshake before it.
const PREFACE_WAIT: Duration = Duration::from_secs(10);

/// Wait before the next try when the system has nothing left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The stream of accepted connections. Over the limit a connection is closed
/// as soon as it is accepted, so that its client tries another hub at once
/// rather than waiting in this one's backlog. Over the pace it waits there, so that
/// those who open connections leave their turn to streams that are open.
pub struct Connections {
    listener: TcpListener,
    acceptor: Acceptor,
    places: Arc<Semaphore>,
    pace: Pace,
    /// When the whole burst will be there again.
    rested: Instant,
    /// Whether the next one has its turn already.
    turn: bool,
    metrics: Arc<Metrics>,
    draining: watch::Receiver<bool>,
    /// Most streams of one.
    streams: usize,
    /// How long one without a call is kept.
    idle: Duration,
    /// While no more are accepted.
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the trouble has been told.
    told: bool,
}

impl Connections {
    /// Accepts as many connections at a time as `limits` say. Those that have said
    /// nothing yet are closed when `draining` turns true.
    #[must_use]
    pub fn new(
        listener: TcpListener,
        acceptor: Acceptor,
        limits: &LimitSettings,
        times: &TimeSettings,
        metrics: Arc<Metrics>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        Self {
            listener,
            acceptor,
            places,
            pace: Pace::new(BURST_ACCEPTS, limits.accepts_per_second),
            rested: Instant::now(),
            turn: false,
            metrics,
            draining,
            streams: limits.streams_per_connection,
            idle: times.connection_idle,
            pause: None,
            told: false,
        }
    }

    /// Says once what is wrong, until it has been right again.
    fn tell(&mut self, trouble: impl std::fmt::Display) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%trouble, "cannot take more connections");
        }
    }

    /// Takes the turn of the next one, or says how long until it is.
    fn take_turn(&mut self) -> Result<(), Duration> {
        self.pace.take(&mut self.rested, Instant::now())?;
        self.turn = true;
        Ok(())
    }

    fn connection(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.tell("the limit on connections (`limits.connections`) is reached");
            return None;
        };
        self.told = false;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        self.metrics.connections.inc();
        let now = Instant::now();
        let deadline = now + PREFACE_WAIT;
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
            meter: FramesMeter::new(self.streams),
            has_written: false,
            opening: Some(Opening::default()),
            idle: self.idle,
            next_look: now,
            alarm: Alarm::new(now),
            told: None,
            peer,
            breaker: Breaker::to(peer),
            metrics: Arc::clone(&self.metrics),
            _place: place,
        })
    }
}

impl Stream for Connections {
    type Item = Connection;

    /// Never ends.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if !self.turn
                && let Err(wait) = self.take_turn()
            {
                self.pause = Some(Box::pin(sleep(wait)));
                continue;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, peer)) => {
                    self.turn = false;
                    if let Some(connection) = self.connection(stream, peer) {
                        return Poll::Ready(Some(connection));
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
    meter: FramesMeter,
    has_written: bool,
    /// What it has begun with; `None`: that is written.
    opening: Option<Opening>,
    /// How long it is kept without a call.
    idle: Duration,
    /// When to look whether the peer does its part, while there is nothing to read.
    next_look: Instant,
    alarm: Alarm,
    /// Who the breaker wakes.
    told: Option<Waker>,
    peer: SocketAddr,
    breaker: Breaker,
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
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
        }
        let come = &buffer.filled()[before..];
        if self.silence.is_some() && !opening::is_preface(come) {
            self.greet(cx)?;
        }
        if let Err(kind) = self.meter.read(come) {
            buffer.set_filled(before);
            return Poll::Ready(Err(self.give_up(kind)));
        }
        if self.meter.take_reset() {
            self.breaker.peer().has_reset();
        }
        if self.silence.is_some() && self.meter.has_spoken() {
            self.silence = None;
        }
        if read.is_pending()
            && self.silence.is_none()
            && let Some(opening) = &mut self.opening
        {
            opening.pause(cx);
        }
        match read {
            Poll::Pending if self.silence.is_none() => self.look(cx).map(Err),
            read => read,
        }
    }
}

impl Connection {
    fn wrote(&mut self, bytes: usize) {
        self.has_written = true;
        self.meter.wrote(bytes);
    }

    /// Says what is held to a peer that may be waiting for it, or that has to learn by it
    /// that it speaks something else than HTTP/2.
    fn greet(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        match opening.poll_write_held(cx, Pin::new(&mut self.stream)) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes what is still held of the beginning.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(opening) = &mut self.opening {
            ready!(opening.poll_write_held(cx, Pin::new(&mut self.stream)))?;
            self.opening = None;
        }
        Poll::Ready(Ok(()))
    }

    /// What breaks it.
    pub(super) fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    /// Whether the connection may go on. Asked on every way to the socket: one
    /// whose peer has stopped reading waits in a write, not in a read.
    fn check(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let is_told = self.told.as_ref().is_some_and(|told| told.will_wake(cx.waker()));
        let is_broken = if is_told { self.breaker.is_tripped() } else { self.breaker.is_broken(cx) };
        if !is_told {
            self.told = Some(cx.waker().clone());
        }
        if is_broken { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Looks, for as long as there is nothing to read, whether the peer sends what it
    /// has begun and whether it has calls; ready when it is given up.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let now = Instant::now();
        let due = self.meter.due();
        let next = |look: Instant| due.map_or(look, |due| due.min(look));
        // Calls that come and go only put off the next look.
        if next(self.next_look) <= now {
            if due.is_some_and(|due| due <= now) {
                return Poll::Ready(self.give_up("slow-frame"));
            }
            let left = self.breaker.peer().left(self.idle);
            if left.is_zero() {
                return Poll::Ready(self.give_up("idle"));
            }
            self.next_look = now + left;
        }
        self.alarm.set(next(self.next_look), now, cx);
        Poll::Pending
    }

    /// Counts why the connection is broken, and breaks it.
    fn give_up(&self, kind: &'static str) -> io::Error {
        self.metrics.broken.get_or_create(&RefusalLabel { reason: kind }).inc();
        if kind == "idle" {
            tracing::debug!(peer = %self.peer, "closed a connection without a call");
        } else {
            tracing::warn!(peer = %self.peer, kind, "broke a connection: its peer does what no client needs to");
        }
        io::ErrorKind::TimedOut.into()
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.opening.is_some() {
            return self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)]);
        }
        self.check(cx)?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let connection = &mut *self;
        let stream = Pin::new(&mut connection.stream);
        let written = match &mut connection.opening {
            None => ready!(stream.poll_write_vectored(cx, slices))?,
            Some(opening) => match opening.hold(slices) {
                Some(held) => held,
                None => {
                    let written = ready!(opening.poll_write_with(cx, stream, slices))?;
                    connection.opening = None;
                    written
                }
            },
        };
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    /// HTTP/2 asks when it is set up: told no, it gathers frames of up to a kilobyte
    /// in its buffer, where it would make a write of each from 256 bytes on. From then
    /// on it asks before each write, and one of two parts is made at once.
    fn is_write_vectored(&self) -> bool {
        self.has_written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if self.opening.as_ref().is_some_and(|opening| !opening.is_over()) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
