//! A connection of HTTP/2: what is set for all of them, and the look whether anyone is
//! still there.

use super::alarm::Alarm;
use super::breaker::Breaker;
use super::connection::Connection;
use super::driver::{Answering, Transport};
use bytes::Bytes;
use h2::server::{self, Handshake, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How often the hub asks whether anyone is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long it waits for the answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that were reset by their caller before the hub had taken them up, or by the
/// hub for a mistake in them, before HTTP/2 ends the connection: what the library
/// takes by default, said here since rapid resets are refused by it (CVE-2023-44487).
/// What it does not see, resets of calls already taken up, the meter of frames does.
const PENDING_RESETS: usize = 64;
const MISTAKEN_CALLS: usize = 1_024;

/// Largest headers of one call, in bytes: a token and what proxies add.
const HEADER_BYTES: u32 = 16 * 1024;

/// What a caller may send ahead on a call, and on all of a connection, in bytes: the
/// largest request is somewhat larger than the first and comes in several parts.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// What HTTP/2 may hold of one answer, in bytes. It is bounded by the reader's window
/// too; but readers open theirs as wide as they like, and may then stop reading.
const SEND_BYTES: usize = 64 * 1024;

/// A connection, and what answers its calls.
pub(super) struct Http2<F> {
    state: State,
    answer: F,
    draining: bool,
    breaker: Breaker,
}

enum State {
    Handshake(Box<Handshake<Connection, Bytes>>),
    Open(Box<server::Connection<Connection, Bytes>>, Keepalive),
}

impl<F> Http2<F>
where
    F: FnMut(Request<RecvStream>, SendResponse<Bytes>) -> Answering,
{
    /// Speaks HTTP/2 with at most so many calls at a time, each of which `answer` answers.
    pub(super) fn new(connection: Connection, streams: usize, answer: F) -> Self {
        let breaker = connection.breaker();
        let handshake = builder(streams).handshake(connection);
        Self { state: State::Handshake(Box::new(handshake)), answer, draining: false, breaker }
    }
}

/// What is set for a connection with at most so many calls at a time.
pub(super) fn builder(streams: usize) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(MISTAKEN_CALLS))
        .max_send_buffer_size(SEND_BYTES);
    builder
}

impl<F> Transport for Http2<F>
where
    F: FnMut(Request<RecvStream>, SendResponse<Bytes>) -> Answering,
{
    type Output = Result<(), h2::Error>;

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut dyn FnMut(Answering),
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.state {
                State::Handshake(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    if self.draining {
                        connection.graceful_shutdown();
                    }
                    let keepalive = Keepalive::new(connection.ping_pong());
                    self.state = State::Open(Box::new(connection), keepalive);
                }
                State::Open(connection, keepalive) => {
                    if keepalive.poll(cx).is_ready() {
                        return Poll::Ready(Err(h2::Reason::CANCEL.into()));
                    }
                    match ready!(connection.poll_accept(cx)) {
                        None => return Poll::Ready(Ok(())),
                        Some(call) => {
                            let (request, respond) = call?;
                            begin((self.answer)(request, respond));
                        }
                    }
                }
            }
        }
    }

    fn take_reset(&mut self) -> bool {
        // The library resets calls by itself too, for mistakes of the peer that nobody else
        // sees: that may wait for the next ping.
        let has_asked = match &mut self.state {
            State::Open(_, keepalive) => std::mem::take(&mut keepalive.has_asked),
            State::Handshake(_) => false,
        };
        self.breaker.peer().take_reset() || has_asked
    }

    fn drain(&mut self) {
        self.draining = true;
        if let State::Open(connection, _) = &mut self.state {
            connection.graceful_shutdown();
        }
    }
}

/// Asks from time to time whether anyone is there.
struct Keepalive {
    /// When to ask next, or until when there has to be an answer.
    at: Instant,
    is_asked: bool,
    /// Whether it has asked since somebody wanted to know.
    has_asked: bool,
    alarm: Alarm,
    ping_pong: Option<PingPong>,
}

impl Keepalive {
    fn new(ping_pong: Option<PingPong>) -> Self {
        let now = Instant::now();
        Self { at: now + KEEPALIVE, is_asked: false, has_asked: false, alarm: Alarm::new(now), ping_pong }
    }

    /// Ready when nobody has answered.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.is_asked {
            let Some(ping_pong) = &mut self.ping_pong else { return Poll::Pending };
            match ping_pong.poll_pong(cx) {
                Poll::Ready(Ok(_)) => {
                    self.is_asked = false;
                    self.at = now + KEEPALIVE;
                }
                // The connection is about to say so itself.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending if self.at <= now => return Poll::Ready(()),
                Poll::Pending => {}
            }
        } else if self.at <= now {
            let Some(ping_pong) = &mut self.ping_pong else { return Poll::Pending };
            if ping_pong.send_ping(Ping::opaque()).is_err() {
                return Poll::Pending;
            }
            (self.is_asked, self.has_asked) = (true, true);
            self.at = now + KEEPALIVE_TIMEOUT;
            // It has to be asked for the answer, so that it wakes for it.
            return self.poll(cx);
        }
        self.alarm.set(self.at, now, cx);
        Poll::Pending
    }
}
