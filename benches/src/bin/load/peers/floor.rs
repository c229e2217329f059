//! The floor, from outside.

use super::floor_server::{LENGTH, Ready, TENANT};
use crate::fleet::{Fleet, Written};
use crate::ledger::{Shared, Versions};
use crate::peer::Peer;
use crate::plan::{HTTP2_HEAD, Plan, Shape, Target};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use confhub_benches::Result;
use confhub_benches::server::Server;
use confhub_proto::{Digest, Key};
use std::collections::HashMap;
use std::process::Command;
use std::rc::Rc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// A running floor.
pub(crate) struct Floor {
    server: Server,
    ready: Ready,
    shape: Shape,
    keys: usize,
    /// Frames of different writes must not mix.
    writer: Mutex<TcpStream>,
    _folder: TempDir,
}

/// The streams of one tenant on a connection: they get the same bytes, so that
/// each frame belongs to the next one in turn.
struct Turn {
    streams: Vec<Shared<Versions>>,
    next: usize,
}

impl Peer for Floor {
    type Connection = TcpStream;

    async fn start(plan: &Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ready_file = folder.path().join("ready.json");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor-server").arg("--ready-file").arg(&ready_file);
        plan.place.as_server()?;
        let started = Server::start::<Ready>(&mut command, &ready_file).await;
        plan.place.as_client()?;
        let (server, ready) = started?;
        let writer = TcpStream::connect(ready.writer).await?;
        writer.set_nodelay(true)?;
        let (shape, keys) = (plan.shape, plan.settings.len());
        Ok(Self { server, ready, shape, keys, writer: Mutex::new(writer), _folder: folder })
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn framed(&self, _key: &Key, value: usize) -> usize {
        (LENGTH + TENANT + value).saturating_sub(HTTP2_HEAD)
    }

    async fn connect(&self, _fleet: &Rc<Fleet>) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.ready.subscribers).await?;
        stream.set_nodelay(true)?;
        stream.read_u8().await?;
        Ok(stream)
    }

    async fn open(&self, mut stream: TcpStream, number: usize, fleet: &Rc<Fleet>) -> Result<()> {
        let mut hello = u32::try_from(self.shape.streams_each)?.to_be_bytes().to_vec();
        let mut turns = HashMap::<usize, Turn>::new();
        for tenant in self.shape.tenants_of(number) {
            hello.extend(u32::try_from(tenant)?.to_be_bytes());
            let turn = turns.entry(tenant).or_insert_with(|| Turn { streams: Vec::new(), next: 0 });
            turn.streams.push(fleet.add(tenant, Versions::new(self.keys)));
        }
        stream.write_all(&hello).await?;
        stream.read_u8().await?;
        fleet.current(self.shape.streams_each);
        fleet.follow(follow(stream, turns, Rc::clone(fleet)));
        Ok(())
    }

    async fn put(&self, target: Target, value: Bytes, times: u64) -> Result<u64> {
        let mut frame = BytesMut::with_capacity(LENGTH + TENANT + value.len());
        frame.put_u32(u32::try_from(TENANT + value.len())?);
        frame.put_u32(u32::try_from(target.tenant)?);
        frame.extend_from_slice(&value);
        self.writer.lock().await.write_all(&frame).await?;
        Ok(times)
    }

    async fn digests(&self, _written: &Written) -> Result<HashMap<usize, Digest>> {
        Ok(HashMap::new())
    }
}

/// Reads frames until the connection ends.
async fn follow(mut stream: TcpStream, mut turns: HashMap<usize, Turn>, fleet: Rc<Fleet>) -> Result<()> {
    let mut held = BytesMut::new();
    while stream.read_buf(&mut held).await? > 0 {
        let mut totals = fleet.totals.borrow_mut();
        while let Some((tenant, value)) = frame(&mut held) {
            let turn = turns.get_mut(&tenant).ok_or("a frame of another tenant")?;
            totals.bytes += (LENGTH + TENANT + value.len()).saturating_sub(HTTP2_HEAD) as u64;
            turn.streams[turn.next].borrow_mut().take(&value, None, &mut totals);
            turn.next = (turn.next + 1) % turn.streams.len();
        }
    }
    Ok(())
}

/// The next whole frame: its tenant and its value.
fn frame(held: &mut BytesMut) -> Option<(usize, BytesMut)> {
    let length = held.get(..LENGTH).map(|mut length| length.get_u32())?;
    let end = LENGTH + usize::try_from(length).ok()?;
    if held.len() < end {
        return None;
    }
    let mut frame = held.split_to(end);
    frame.advance(LENGTH);
    let tenant = frame.try_get_u32().ok()?;
    Some((usize::try_from(tenant).ok()?, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let bytes: &[u8] = b"\0\0\0\x06\0\0\0\x07ab\0\0\0\x04\0\0\0\x08";
        for size in 1..=bytes.len() {
            let (mut held, mut whole) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(size) {
                held.extend_from_slice(part);
                whole.extend(std::iter::from_fn(|| frame(&mut held)));
            }
            assert_eq!(whole, [(7, BytesMut::from("ab")), (8, BytesMut::new())], "{size}");
        }
    }
}
