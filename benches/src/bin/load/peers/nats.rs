//! NATS core: a subject for each key, a wildcard subscription for each stream.
//! It delivers at most once, and has neither versions nor digests; those of the
//! stamps are checked.

mod protocol;

use crate::fleet::{Fleet, Written};
use crate::ledger::{Shared, Versions};
use crate::peer::{Peer, REMEDY};
use crate::plan::{HTTP2_HEAD, Plan, Shape, Target};
use bytes::{Bytes, BytesMut};
use confhub_benches::server::{self, Server};
use confhub_benches::{Error, Result};
use confhub_proto::{Digest, Key};
use protocol::{Op, Parser};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// No acknowledgement of each message, no checks of subjects that cost.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";

/// What the server writes of where it listens (`--ports_file_dir`).
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// A running server.
pub(crate) struct Nats {
    server: Server,
    address: SocketAddr,
    shape: Shape,
    keys: Vec<Key>,
    writer: Mutex<Link>,
    _folder: TempDir,
}

/// A connection, past its greeting.
pub(crate) struct Link {
    tcp: TcpStream,
    parser: Parser,
}

impl Peer for Nats {
    type Connection = Link;

    /// It asks every client for its round trip 2 s after it has connected, and up to
    /// a fifth later: with thousands of them that is as much work as a write.
    const REST: Duration = Duration::from_millis(2_500);

    async fn start(plan: &Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = server::foreign("nats-server", REMEDY)?;
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"]).arg(folder.path());
        command.arg("--log").arg(folder.path().join("log"));
        plan.place.as_server()?;
        let started = Server::start_until(&mut command, || listens(folder.path())).await;
        plan.place.as_client()?;
        let (server, address) = started?;
        let writer = Mutex::new(Link::open(address).await?);
        let keys = plan.settings.iter().map(|setting| setting.key.clone()).collect();
        Ok(Self { server, address, shape: plan.shape, keys, writer, _folder: folder })
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn framed(&self, key: &Key, value: usize) -> usize {
        // Numbers of tenants and subscriptions are short, of whichever it is.
        let head = format!("MSG {} 1 {value}\r\n", subject(0, key.as_str()));
        (head.len() + value + 2).saturating_sub(HTTP2_HEAD)
    }

    async fn connect(&self, _fleet: &Rc<Fleet>) -> Result<Link> {
        Link::open(self.address).await
    }

    async fn open(&self, mut link: Link, number: usize, fleet: &Rc<Fleet>) -> Result<()> {
        let (mut subscribe, mut streams) = (String::new(), Vec::new());
        for (id, tenant) in self.shape.tenants_of(number).enumerate() {
            subscribe += &format!("SUB {} {id}\r\n", subject(tenant, ">"));
            streams.push(fleet.add(tenant, Versions::new(self.keys.len())));
        }
        link.flush(subscribe.as_bytes()).await?;
        fleet.current(streams.len());
        fleet.follow(follow(link, streams, Rc::clone(fleet)));
        Ok(())
    }

    async fn put(&self, target: Target, value: Bytes, times: u64) -> Result<u64> {
        let subject = subject(target.tenant, self.keys[target.slot].as_str());
        let mut message = BytesMut::from(format!("PUB {subject} {}\r\n", value.len()).as_bytes());
        message.extend_from_slice(&value);
        message.extend_from_slice(b"\r\n");
        // A publisher of NATS core hears nothing of its messages.
        let mut link = self.writer.lock().await;
        link.tcp.write_all(&message).await?;
        link.attend().await?;
        Ok(times)
    }

    async fn digests(&self, _written: &Written) -> Result<HashMap<usize, Digest>> {
        Ok(HashMap::new())
    }
}

fn subject(tenant: usize, key: &str) -> String {
    format!("t{tenant}.{key}")
}

/// Where the server listens, once it does.
fn listens(folder: &Path) -> Option<SocketAddr> {
    let files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let ports =
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "ports"))?;
    let ports: Ports = serde_json::from_slice(&std::fs::read(ports).ok()?).ok()?;
    ports.nats.first()?.strip_prefix("nats://")?.parse().ok()
}

impl Link {
    async fn open(address: SocketAddr) -> Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut link = Self { tcp, parser: Parser::default() };
        link.flush(CONNECT).await?;
        Ok(link)
    }

    /// Sends `bytes`, and waits until the server has taken them.
    async fn flush(&mut self, bytes: &[u8]) -> Result<()> {
        self.tcp.write_all(&[bytes, b"PING\r\n"].concat()).await?;
        loop {
            match self.next().await? {
                Op::Pong => return Ok(()),
                Op::Ping => self.tcp.write_all(b"PONG\r\n").await?,
                Op::Info => {}
                Op::Message { .. } => return Err("a message where there are no subscriptions".into()),
                Op::Refused(why) => return Err(format!("NATS refused: {why}").into()),
            }
        }
    }

    /// Answers what the server has asked meanwhile, without waiting for it.
    async fn attend(&mut self) -> Result<()> {
        match self.tcp.try_read_buf(self.parser.buffer()) {
            Ok(0) => return Err("NATS has closed the connection".into()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
        while let Some(op) = self.parser.next()? {
            match op {
                Op::Ping => self.tcp.write_all(b"PONG\r\n").await?,
                Op::Refused(why) => return Err(format!("NATS refused: {why}").into()),
                Op::Pong | Op::Info | Op::Message { .. } => {}
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Op> {
        loop {
            if let Some(op) = self.parser.next()? {
                return Ok(op);
            }
            if self.tcp.read_buf(self.parser.buffer()).await? == 0 {
                return Err("NATS has closed the connection".into());
            }
        }
    }
}

/// Reads messages until the connection ends.
async fn follow(mut link: Link, streams: Vec<Shared<Versions>>, fleet: Rc<Fleet>) -> Result<()> {
    loop {
        match link.next().await? {
            Op::Message { subscription, value, bytes } => {
                let stream = streams.get(subscription).ok_or_else(|| -> Error {
                    format!("a message for subscription {subscription}, which nobody has made").into()
                })?;
                let mut totals = fleet.totals.borrow_mut();
                totals.bytes += bytes.saturating_sub(HTTP2_HEAD) as u64;
                stream.borrow_mut().take(&value, None, &mut totals);
            }
            Op::Ping => link.tcp.write_all(b"PONG\r\n").await?,
            Op::Pong | Op::Info => {}
            Op::Refused(why) => return Err(format!("NATS refused: {why}").into()),
        }
    }
}
