//! A peer that writes HTTP/2 byte by byte (RFC 9113, 4.1).

use confhub_benches::Result;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Frames that are written at once.
const BATCH: u32 = 64;

/// How a connection ended.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) at: Instant,
    /// What the last GOAWAY gave as its reason (RFC 9113, 7), if there was one.
    pub(crate) code: Option<u32>,
}

/// A connection, whose answers are read and thrown away.
pub(crate) struct Peer {
    writer: OwnedWriteHalf,
    end: JoinHandle<End>,
}

impl Peer {
    /// Connects, with the preface and empty settings.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        writer.write_all(&preface).await?;
        Ok(Self { writer, end: tokio::spawn(end(reader)) })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.end.is_finished()
    }

    /// Writes bytes; whether the hub took them before `until`.
    pub(crate) async fn write(&mut self, bytes: &[u8], until: Instant) -> bool {
        matches!(timeout_at(until, self.writer.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Writes at most `most` frames of `next` until the hub has closed the connection
    /// or it is time; how many the system took.
    pub(crate) async fn flood(&mut self, most: u32, until: Instant, next: impl Fn(u32) -> Vec<u8>) -> u32 {
        let mut sent = 0;
        while sent < most && !self.is_closed() && Instant::now() < until {
            let batch: Vec<u8> = (sent..sent + BATCH).flat_map(&next).collect();
            if !self.write(&batch, until).await {
                break;
            }
            sent += BATCH;
        }
        sent
    }

    /// How the hub has closed the connection, if it does by then.
    pub(crate) async fn ended(&mut self, until: Instant) -> Option<End> {
        timeout_at(until, &mut self.end).await.ok()?.ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end.abort();
    }
}

async fn end(mut reader: OwnedReadHalf) -> End {
    let mut code = None;
    let mut payload = Vec::new();
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, ..] = head;
        payload.resize(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c), 0);
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        if let (GOAWAY, Some(bytes)) = (kind, payload.get(4..8).and_then(|bytes| bytes.try_into().ok())) {
            code = Some(u32::from_be_bytes(bytes));
        }
    }
    End { at: Instant::now(), code }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, uncompressed (RFC 7541, 6.2.2).
pub(crate) fn headers(path: &str, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "hub"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("authorization", &authorization),
    ];
    fields.into_iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// A string of HPACK (RFC 7541, 5.1 and 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = text.len();
    if left < 127 {
        bytes.extend(u8::try_from(left));
    } else {
        bytes.push(127);
        left -= 127;
        while left >= 128 {
            bytes.extend(u8::try_from(left % 128 + 128));
            left /= 128;
        }
        bytes.extend(u8::try_from(left));
    }
    bytes.extend(text.bytes());
    bytes
}
