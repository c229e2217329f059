//! Where a hub listens, and how it says so.

use super::StartError;
use crate::limits::ACCEPT_QUEUE;
use serde::Serialize;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::{TcpListener, TcpSocket};

/// Where a hub listens. The ready file holds it as JSON.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Addresses {
    /// The gRPC port.
    pub grpc: SocketAddr,
    /// The HTTP port.
    pub http: SocketAddr,
}

/// Says at every start that tokens and values can be read on the way.
pub(super) fn warn_of_plaintext(addresses: Addresses) {
    for (setting, address) in [("listen", addresses.grpc), ("http", addresses.http)] {
        if !address.ip().is_loopback() {
            tracing::warn!(
                setting, %address,
                "PLAINTEXT beyond this machine (`plaintext = true`): whoever is on the way reads and changes what \
                 passes, tokens too, unless something else encrypts; `tls.certificate` and `tls.key` switch TLS on"
            );
        }
    }
}

pub(super) fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    listen(address).map_err(|source| StartError::Bind { address, setting, source })
}

/// What `TcpListener::bind` does, with a longer queue.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Elsewhere it would let others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE)
}

/// Removes the file of an earlier run: its addresses are no longer ours.
pub(super) fn forget_ready_file(path: &Path) -> Result<(), StartError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StartError::ReadyFile { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Writes the file whole or not at all: whoever waits for it reads it at once.
pub(super) fn write_ready_file(path: &Path, addresses: Addresses) -> Result<(), StartError> {
    let write = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        serde_json::to_writer(&mut file, &addresses)?;
        writeln!(file)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| StartError::ReadyFile { path: path.to_owned(), source })
}
