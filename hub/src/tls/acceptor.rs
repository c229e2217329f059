//! From an accepted connection to one that is ready to be spoken on.

use super::{Io, Tls};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Longest handshake on the HTTP port; on the gRPC port a connection has one
/// deadline for all that comes before its first call.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Lays TLS over the connections of one port, or nothing.
#[derive(Clone)]
pub struct Acceptor(Option<(Arc<Tls>, Port)>);

#[derive(Debug, Clone, Copy)]
pub(super) enum Port {
    Grpc,
    Http,
}

impl Acceptor {
    /// Of the gRPC port. `None`: plaintext.
    #[must_use]
    pub fn grpc(tls: Option<Arc<Tls>>) -> Self {
        Self(tls.map(|tls| (tls, Port::Grpc)))
    }

    /// Of the HTTP port. `None`: plaintext.
    #[must_use]
    pub fn http(tls: Option<Arc<Tls>>) -> Self {
        Self(tls.map(|tls| (tls, Port::Http)))
    }

    /// The connection. Nothing is said on it yet: its own task does that, with the
    /// first read or write, and gives up when `patience` ends.
    pub(crate) fn accept(
        &self,
        stream: TcpStream,
        patience: impl Future<Output = ()> + Send + 'static,
    ) -> Io {
        match &self.0 {
            None => Io::plain(stream),
            Some((tls, port)) => Io::secured(stream, Arc::clone(tls), *port, patience),
        }
    }
}

/// The HTTP port's listener.
pub struct Listener {
    /// The socket.
    pub listener: TcpListener,
    /// What is laid over its connections.
    pub acceptor: Acceptor,
}

impl axum::serve::Listener for Listener {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        // It waits and goes on when there is nothing left to accept with.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (self.acceptor.accept(stream, sleep(HANDSHAKE)), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
