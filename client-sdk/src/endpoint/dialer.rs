//! The network, as an argument.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

/// Resolves names and opens connections. The client reaches the network
/// through this alone, so that a test or a simulation can bring its own.
pub trait Dialer: Send + Sync + 'static {
    /// An open connection. TLS, if the endpoint asks for it, is laid over it.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a connection. The client bounds how long that may take.
    ///
    /// # Errors
    /// If there is none; the client tries another address.
    fn dial(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// All addresses of a name (or of an IP address). By default the system's
    /// resolver is asked.
    ///
    /// # Errors
    /// If the name cannot be resolved now.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        async move { Ok(lookup_host((host, port)).await?.collect()) }
    }
}

/// TCP, as the system does it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDialer;

impl Dialer for TcpDialer {
    type Io = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        // What is sent is small and wanted at once: requests, window updates.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A connection behind a pointer.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// [`Dialer`] behind a pointer.
pub(crate) trait DynDialer: Send + Sync {
    fn dyn_dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>>;
    fn dyn_resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

impl<D: Dialer> DynDialer for D {
    fn dyn_dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        guarded(async move { Ok(Box::new(self.dial(address).await?) as Box<dyn Io>) })
    }

    fn dyn_resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        guarded(async move { self.resolve(host, port).await })
    }
}

/// A panic in the program's own dialer is a network that does not work: it must
/// not end the worker.
fn guarded<'a, T: 'a>(work: impl Future<Output = io::Result<T>> + Send + 'a) -> BoxFuture<'a, io::Result<T>> {
    let work = AssertUnwindSafe(work).catch_unwind();
    work.map(|done| done.unwrap_or_else(|_| Err(io::Error::other("the dialer panicked")))).boxed()
}
