//! A peer that writes HTTP/2 byte by byte, right or wrong (RFC 9113, 4.1).

use super::soon;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// `ENHANCE_YOUR_CALM` (RFC 9113, 7): the peer asks for too much.
pub const CALM: u32 = 11;

/// What came from the hub before it closed the connection.
#[derive(Debug, Default)]
pub struct Answers {
    /// Why it says that it goes away.
    pub goaway: Option<u32>,
    /// Blocks of headers whose beginning is `:status: 431`, new to the table.
    pub too_large: usize,
}

/// `:status: 431` as HPACK has it when it is new (RFC 7541, 6.2.1): number 8 of the
/// table, and three figures in Huffman's code.
const TOO_LARGE: [u8; 5] = [0x48, 0x83, 0x69, 0x90, 0xff];

/// A connection, whose answers are read and, but for [`Answers`], thrown away.
pub struct Frames {
    writer: OwnedWriteHalf,
    closed: JoinHandle<Answers>,
}

impl Frames {
    /// Connects, with the preface and empty settings.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut frames = Self::silent(address).await;
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        assert!(frames.write(&preface).await);
        frames
    }

    /// Connects, and says nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        let (reader, writer) = TcpStream::connect(address).await.unwrap().into_split();
        Self { writer, closed: tokio::spawn(answers(reader)) }
    }

    /// Writes bytes; whether the hub still takes them.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).await.is_ok()
    }

    /// Writes the frames of `next` until the hub has closed the connection, and says
    /// how many it took.
    pub async fn flood(&mut self, most: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> u32 {
        for i in 0..most {
            if !self.write(&next(i)).await {
                return i;
            }
            if i % 64 == 0 && self.is_closed() {
                return i;
            }
            tokio::task::consume_budget().await;
        }
        most
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_finished()
    }

    /// Waits until the hub has closed the connection.
    pub async fn until_closed(&mut self) -> Answers {
        soon("the hub to close the connection", &mut self.closed).await.unwrap()
    }

    /// Says that no more will come, and waits until the hub has closed the connection.
    pub async fn finish(&mut self) -> Answers {
        let _ = self.writer.shutdown().await;
        self.until_closed().await
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.closed.abort();
    }
}

async fn answers(mut reader: OwnedReadHalf) -> Answers {
    let mut answers = Answers::default();
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        match head[3] {
            GOAWAY => answers.goaway = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            HEADERS if payload.starts_with(&TOO_LARGE) => answers.too_large += 1,
            _ => {}
        }
    }
    answers
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, uncompressed (RFC 7541, 6.2.2), and so many bytes more.
pub fn headers(path: &str, token: &str, filler: usize) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let filler = "x".repeat(filler);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "hub"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("authorization", &authorization),
        ("x-filler", &filler),
    ];
    fields.into_iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// A string of HPACK (RFC 7541, 5.1 and 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(u8::try_from(text.len()).unwrap());
    } else {
        bytes.push(127);
        bytes.extend(super::raw::varint(text.len() as u64 - 127));
    }
    [&bytes, text.as_bytes()].concat()
}
