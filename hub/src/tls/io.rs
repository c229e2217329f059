//! A connection, plain or secured.
//!
//! A secured one goes through its handshake in whatever reads and writes come
//! first. One that fails is not cut at once: its peer is told, and given a moment
//! to hear it, since a socket that is closed with bytes unread takes back what it
//! has said.

use super::Tls;
use super::acceptor::Port;
use super::failure::{self, PLAINTEXT};
use crate::metrics::RefusalLabel;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::{FallibleAccept, TlsStream};

/// First byte of every TLS connection (RFC 8446, 5.1: a record of type handshake).
const HANDSHAKE_RECORD: u8 = 22;

/// What a peer that fails may still send before it is cut, in bytes: what a client
/// has sent ahead before it hears.
const LAST_WORDS: usize = 64 * 1024;

/// What HTTP/2 in plaintext is told on a port with TLS: empty SETTINGS, and GOAWAY
/// with `INADEQUATE_SECURITY` and a word for people (RFC 9113, 6.5, 6.8 and 7).
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x2a\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port speaks TLS: use https://";

/// The same for HTTP/1.1.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 35\r\nconnection: close\r\n\r\nthis port speaks TLS: use https://\n";

type Patience = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection, plain or secured.
pub struct Io(Kind);

enum Kind {
    Plain(TcpStream),
    Secured(Box<Secured>),
}

/// A connection with TLS, and how far it is.
struct Secured {
    state: State,
    tls: Arc<Tls>,
    /// Ends when the handshake has taken too long.
    patience: Option<Patience>,
}

enum State {
    /// Nothing has come yet.
    Silent {
        stream: TcpStream,
        port: Port,
    },
    Handshake(FallibleAccept<TcpStream>),
    Open(TlsStream<TcpStream>),
    /// The peer is told that it has failed.
    Failing {
        stream: TcpStream,
        words: &'static [u8],
        left: usize,
        error: io::Error,
    },
    Failed(io::ErrorKind),
}

impl Io {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self(Kind::Plain(stream))
    }

    pub(super) fn secured(
        stream: TcpStream,
        tls: Arc<Tls>,
        port: Port,
        patience: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let state = State::Silent { stream, port };
        Self(Kind::Secured(Box::new(Secured { state, tls, patience: Some(Box::pin(patience)) })))
    }
}

impl Secured {
    /// The open stream, once there is one.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        while !matches!(self.state, State::Open(_)) {
            if self.poll_step(cx)?.is_pending() {
                let late =
                    self.patience.as_mut().is_none_or(|patience| patience.as_mut().poll(cx).is_ready());
                if !late {
                    return Poll::Pending;
                }
                return Poll::Ready(Err(self.give_up()));
            }
        }
        match &mut self.state {
            State::Open(stream) => {
                self.patience = None;
                Poll::Ready(Ok(Pin::new(stream)))
            }
            // The loop above has ended.
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// One state further, or an error at the end of it.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Silent { stream, .. } => {
                let mut first = [0];
                let peeked = ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut first)));
                self.begin(peeked.map(|bytes| (bytes > 0).then_some(first[0])))
            }
            State::Handshake(accept) => {
                let accepted = ready!(Pin::new(accept).poll(cx));
                match accepted {
                    Ok(stream) => self.state = State::Open(stream),
                    Err((error, stream)) => self.fail(stream, b"", error),
                }
                Poll::Ready(Ok(()))
            }
            State::Open(_) => Poll::Ready(Ok(())),
            State::Failing { stream, words, left, .. } => {
                ready!(poll_farewell(stream, words, left, cx));
                let kind =
                    match std::mem::replace(&mut self.state, State::Failed(io::ErrorKind::ConnectionAborted))
                    {
                        State::Failing { error, .. } => return Poll::Ready(Err(error)),
                        _ => io::ErrorKind::ConnectionAborted,
                    };
                Poll::Ready(Err(kind.into()))
            }
            State::Failed(kind) => Poll::Ready(Err((*kind).into())),
        }
    }

    /// By the first byte it is TLS or not.
    fn begin(&mut self, first: io::Result<Option<u8>>) -> Poll<io::Result<()>> {
        let closed = State::Failed(io::ErrorKind::ConnectionAborted);
        let State::Silent { stream, port } = std::mem::replace(&mut self.state, closed) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match first {
            Ok(Some(HANDSHAKE_RECORD)) => {
                let pair = self.tls.current();
                let config = match port {
                    Port::Grpc => &pair.grpc,
                    Port::Http => &pair.http,
                };
                let accept = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
                self.state = State::Handshake(accept);
            }
            Ok(Some(_)) => {
                let words = match port {
                    Port::Grpc => GOAWAY,
                    Port::Http => BAD_REQUEST,
                };
                self.count(PLAINTEXT);
                let error = io::Error::new(io::ErrorKind::InvalidData, "plaintext on a port with TLS");
                self.state = State::Failing { stream, words, left: LAST_WORDS, error };
            }
            // Whoever looks whether the port is open connects and leaves.
            Ok(None) => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn fail(&mut self, stream: TcpStream, words: &'static [u8], error: io::Error) {
        let reason = failure::reason(&error);
        tracing::debug!(%error, reason, "a TLS handshake failed");
        self.count(reason);
        self.state = State::Failing { stream, words, left: LAST_WORDS, error };
    }

    /// Time is up: for a handshake, or for a peer that has been told.
    fn give_up(&mut self) -> io::Error {
        let kind = io::ErrorKind::TimedOut;
        if matches!(self.state, State::Silent { .. } | State::Handshake(_)) {
            self.count(failure::TIMEOUT);
        }
        self.state = State::Failed(kind);
        kind.into()
    }

    fn count(&self, reason: &'static str) {
        self.tls.metrics().tls.handshake_failures.get_or_create(&RefusalLabel { reason }).inc();
    }
}

/// Says the last words, then reads what is still coming until the peer has closed.
fn poll_farewell(
    stream: &mut TcpStream,
    words: &mut &'static [u8],
    left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while !words.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, words)) {
            Ok(written @ 1..) => *words = words.get(written..).unwrap_or_default(),
            _ => return Poll::Ready(()),
        }
    }
    let _ = ready!(Pin::new(&mut *stream).poll_shutdown(cx));
    let mut scratch = [0; 4_096];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() && *left > 0 => {
                *left = left.saturating_sub(buffer.filled().len());
            }
            _ => return Poll::Ready(()),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Secured(secured) => ready!(secured.poll_open(cx))?.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Secured(secured) => ready!(secured.poll_open(cx))?.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Kind::Secured(secured) => ready!(secured.poll_open(cx))?.poll_write_vectored(cx, slices),
        }
    }

    /// Both kinds take many parts at once.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Secured(secured) => ready!(secured.poll_open(cx))?.poll_flush(cx),
        }
    }

    /// Without a handshake there is nothing to say goodbye to.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Secured(secured) => match &mut secured.state {
                State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
                _ => Poll::Ready(Ok(())),
            },
        }
    }
}
