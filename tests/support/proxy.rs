//! A network between client and hub that can fail in silence.

use super::soon;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections to a hub. Those that are open can be silenced: nothing
/// arrives any more, in either direction, and nobody is told.
pub struct Proxy {
    pub address: SocketAddr,
    /// Connections up to this number are silent.
    silenced: Arc<watch::Sender<u64>>,
    accepted: watch::Receiver<u64>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silenced = Arc::new(watch::Sender::new(0));
        let (count, accepted) = watch::channel(0);
        let silencer = Arc::clone(&silenced);
        let running = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                let Ok(server) = TcpStream::connect(hub).await else { continue };
                count.send_modify(|count| *count += 1);
                let number = *count.borrow();
                let (client, server) = (client.into_split(), server.into_split());
                tokio::spawn(forward(number, client.0, server.1, silencer.subscribe()));
                tokio::spawn(forward(number, server.0, client.1, silencer.subscribe()));
            }
        });
        Self { address, silenced, accepted, running }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Silences all connections there are now; new ones are forwarded.
    pub fn silence(&self) {
        self.silenced.send_replace(*self.accepted.borrow());
    }

    /// Waits until this many connections have been made.
    pub async fn until_connections(&mut self, count: u64) {
        soon("a connection", self.accepted.wait_for(|accepted| *accepted >= count)).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn forward(
    number: u64,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silenced: watch::Receiver<u64>,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = tokio::select! {
            biased;
            // An error means that the proxy is gone, and its connections with it.
            silent = silenced.wait_for(|silenced| *silenced >= number) => match silent {
                Ok(_) => 0,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => match read {
                Ok(1..) => read.unwrap_or_default(),
                _ => return,
            },
        };
        if read == 0 {
            // Holding both ends keeps either side from hearing that it ended.
            let _ = silenced.wait_for(|_| false).await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
