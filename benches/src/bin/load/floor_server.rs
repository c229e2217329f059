//! The least that a fan-out can cost: one task per connection that writes bytes
//! which are framed already.
//!
//! It has no identity, no state, no flow control of its own and no HTTP/2. A
//! real hub cannot reach it; what matters is how far it stays away.

use bytes::Bytes;
use confhub_benches::{Result, server};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Frames that wait for a connection; a further one waits with the writer.
const QUEUE: usize = 1_024;

/// Where the floor listens.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    /// For subscribers: each sends the number of its tenants and their numbers.
    pub(crate) subscribers: SocketAddr,
    /// For the writer: it sends the number of a tenant, and a frame.
    pub(crate) writer: SocketAddr,
}

/// Who listens to a tenant: the task of a connection, and how many frames it
/// gets of each write.
type Listeners = Vec<(mpsc::Sender<Bytes>, usize)>;

/// The listeners of each tenant.
type Tenants = Arc<Mutex<Vec<Listeners>>>;

/// Serves until the process that started it ends.
pub(crate) fn serve(frame_bytes: usize, ready_file: &Path) -> Result<()> {
    server::end_with_parent();
    server::runtime()?.block_on(async {
        let subscribers = TcpListener::bind("127.0.0.1:0").await?;
        let writer = TcpListener::bind("127.0.0.1:0").await?;
        let ready = Ready { subscribers: subscribers.local_addr()?, writer: writer.local_addr()? };
        std::fs::write(ready_file, serde_json::to_vec(&ready)?)?;
        let tenants = Tenants::default();
        tokio::spawn(take_writes(writer, Arc::clone(&tenants), frame_bytes));
        loop {
            let (stream, _) = subscribers.accept().await?;
            tokio::spawn(attend(stream, Arc::clone(&tenants)));
        }
    })
}

/// Registers a subscriber and writes what comes for it.
async fn attend(mut stream: TcpStream, tenants: Tenants) -> Result<()> {
    stream.set_nodelay(true)?;
    let count = stream.read_u32().await?;
    let (sender, mut frames) = mpsc::channel(QUEUE);
    for _ in 0..count {
        let tenant = usize::try_from(stream.read_u32().await?)?;
        let mut tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() <= tenant {
            tenants.resize(tenant + 1, Vec::new());
        }
        let listeners = &mut tenants[tenant];
        match listeners.iter_mut().find(|(known, _)| known.same_channel(&sender)) {
            Some((_, frames)) => *frames += 1,
            None => listeners.push((sender.clone(), 1)),
        }
    }
    drop(sender);
    stream.write_u8(1).await?;
    while let Some(bytes) = frames.recv().await {
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

/// Hands each write to those who listen.
async fn take_writes(listener: TcpListener, tenants: Tenants, frame_bytes: usize) -> Result<()> {
    let (mut writer, _) = listener.accept().await?;
    writer.set_nodelay(true)?;
    let mut frame = vec![0; frame_bytes];
    loop {
        let tenant = usize::try_from(writer.read_u32().await?)?;
        writer.read_exact(&mut frame).await?;
        let listeners = {
            let tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants.get(tenant).cloned().unwrap_or_default()
        };
        let mut repeated = (0, Bytes::new());
        for (listener, frames) in listeners {
            if repeated.0 != frames {
                repeated = (frames, frame.repeat(frames).into());
            }
            // One that has gone is not missed.
            let _ = listener.send(repeated.1.clone()).await;
        }
    }
}
