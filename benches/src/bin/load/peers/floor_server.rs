//! The least that a fan-out can cost: one task per connection that writes bytes
//! which are framed already, on a runtime of one thread, where a wake-up is a
//! push to a queue. Frames that a connection finds together, for several streams
//! or of several writes, go out in one write.
//!
//! It has no identity, no state, no flow control of its own and no HTTP/2. A
//! real hub cannot reach it; what matters is how far it stays away.

use bytes::{BufMut as _, Bytes, BytesMut};
use confhub_benches::{Result, server};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Frames that wait for a connection; a further one waits with the writer.
const QUEUE: usize = 1_024;

/// What stands in front of a frame on the wire: its length without these 4 bytes.
pub(crate) const LENGTH: usize = 4;

/// The number of the tenant, which follows.
pub(crate) const TENANT: usize = 4;

/// Longest frame, in bytes: a larger length is a mistake.
const LONGEST: usize = 1024 * 1024;

/// Where the floor listens.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    /// For subscribers: each sends the number of its tenants and their numbers.
    pub(crate) subscribers: SocketAddr,
    /// For the writer: it sends frames, and hears nothing.
    pub(crate) writer: SocketAddr,
}

/// Who listens to a tenant: the task of a connection, and how many frames it
/// gets of each write.
type Listeners = Vec<(mpsc::Sender<Bytes>, usize)>;

/// The listeners of each tenant.
type Tenants = Arc<Mutex<Vec<Listeners>>>;

/// Serves until the process that started it ends.
pub(crate) fn serve(ready_file: &Path) -> Result<()> {
    server::end_with_parent();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let subscribers = listen()?;
        let writer = TcpListener::bind("127.0.0.1:0").await?;
        let ready = Ready { subscribers: subscribers.local_addr()?, writer: writer.local_addr()? };
        std::fs::write(ready_file, serde_json::to_vec(&ready)?)?;
        let tenants = Tenants::default();
        tokio::spawn(take_writes(writer, Arc::clone(&tenants)));
        loop {
            let (stream, _) = subscribers.accept().await?;
            tokio::spawn(attend(stream, Arc::clone(&tenants)));
        }
    })
}

/// A port for subscribers, where as many may wait at once as at a hub's.
fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(confhub::limits::ACCEPT_QUEUE)?)
}

/// Registers a subscriber and writes what comes for it.
async fn attend(mut stream: TcpStream, tenants: Tenants) -> Result<()> {
    stream.set_nodelay(true)?;
    // That it is connected.
    stream.write_u8(1).await?;
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
        let Ok(next) = frames.try_recv() else {
            stream.write_all(&bytes).await?;
            continue;
        };
        let mut joined = BytesMut::from(bytes);
        joined.extend_from_slice(&next);
        while let Ok(next) = frames.try_recv() {
            joined.extend_from_slice(&next);
        }
        stream.write_all(&joined).await?;
    }
    Ok(())
}

/// Hands each write to those who listen.
async fn take_writes(listener: TcpListener, tenants: Tenants) -> Result<()> {
    let (mut writer, _) = listener.accept().await?;
    writer.set_nodelay(true)?;
    loop {
        let length = usize::try_from(writer.read_u32().await?)?;
        if !(TENANT..=LONGEST).contains(&length) {
            return Err(format!("a frame of {length} bytes").into());
        }
        let mut frame = BytesMut::with_capacity(LENGTH + length);
        frame.put_u32(u32::try_from(length)?);
        frame.resize(LENGTH + length, 0);
        writer.read_exact(&mut frame[LENGTH..]).await?;
        let tenant = frame.get(LENGTH..LENGTH + TENANT).and_then(|number| number.try_into().ok());
        let tenant = usize::try_from(u32::from_be_bytes(tenant.unwrap_or_default()))?;
        let frame = frame.freeze();
        let listeners = {
            let tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants.get(tenant).cloned().unwrap_or_default()
        };
        let mut repeated = (1, frame.clone());
        for (listener, frames) in listeners {
            if repeated.0 != frames {
                repeated = (frames, frame.repeat(frames).into());
            }
            // One that has gone is not missed.
            let _ = listener.send(repeated.1.clone()).await;
        }
    }
}
