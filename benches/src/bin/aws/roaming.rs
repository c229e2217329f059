//! The network of a client whose hub can be told to be out of reach.

use confhub_client::Dialer;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Which hubs a client reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The one that it belongs to.
    Home,
    /// None yet: a connection takes until this changes.
    Nobody,
    /// All that live.
    Anybody,
}

/// Dials the hubs within reach.
pub(crate) struct Roaming {
    pub(crate) home: SocketAddr,
    pub(crate) reach: watch::Receiver<Reach>,
}

impl Dialer for Roaming {
    type Io = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut reach = self.reach.clone();
        let reach = reach.wait_for(|reach| *reach != Reach::Nobody).await;
        if reach.map_or(Reach::Anybody, |reach| *reach) == Reach::Home && address != self.home {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
