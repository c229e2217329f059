//! A client that shares no code with ours: HTTP/2 from the `h2` crate, gRPC's
//! framing and protobuf's encoding by hand, from their public definitions.
//!
//! It is small on purpose: what it cannot say is not needed by any promise.

use super::soon;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection and a token. Dropping it closes the connection.
pub struct Raw {
    sender: SendRequest<Bytes>,
    token: String,
    connection: JoinHandle<()>,
}

impl Raw {
    pub async fn connect(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, token: token.to_owned(), connection }
    }

    /// Calls `method` (`confhub.v1.Service/Method`) with one message.
    pub async fn call(&self, method: &str, message: &[u8]) -> Answer {
        self.send(method, framed(message)).await
    }

    /// Calls `method` with exactly this body, whatever it is.
    pub async fn send(&self, method: &str, body: Vec<u8>) -> Answer {
        let (response, mut sending) = self.begin(method).await;
        // A call that is refused may be reset before its body is read.
        let _ = sending.send_data(body.into(), true);
        let (head, body) = soon("the head of an answer", response).await.unwrap().into_parts();
        assert_eq!(head.status, 200, "gRPC's own errors come with HTTP 200");
        Answer { headers: head.headers, body, unread: Vec::new() }
    }

    /// Calls whatever this says, with one message: its address and headers are
    /// the test's own, beside those without which nothing is a gRPC call.
    pub async fn ask(&self, request: request::Builder, message: &[u8]) -> (StatusCode, Answer) {
        let request = request.method(Method::POST).header("te", "trailers");
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let mut sender = soon("the connection", self.sender.clone().ready()).await.unwrap();
        let (response, mut sending) = sender.send_request(request, false).unwrap();
        let _ = sending.send_data(framed(message).into(), true);
        let (head, body) = soon("the head of an answer", response).await.unwrap().into_parts();
        (head.status, Answer { headers: head.headers, body, unread: Vec::new() })
    }

    /// Begins a call; its body is still to come.
    pub async fn begin(&self, method: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://hub/{method}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", self.token))
            .body(())
            .unwrap();
        let mut sender = soon("the connection", self.sender.clone().ready()).await.unwrap();
        sender.send_request(request, false).unwrap()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What comes back.
pub struct Answer {
    pub headers: HeaderMap,
    body: RecvStream,
    unread: Vec<u8>,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// `grpc-status`, as it was written.
    pub status: String,
    /// `grpc-message`, as it was written.
    pub message: String,
}

impl Answer {
    /// The next message with its prefix, as it came; `None`: there is no more.
    pub async fn framed(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((_, rest)) = self.unread.split_first_chunk::<5>() {
                let length = self.unread[1..5].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
                if rest.len() >= length {
                    let rest = self.unread.split_off(5 + length);
                    return Some(std::mem::replace(&mut self.unread, rest));
                }
            }
            match soon("bytes of a message", self.body.data()).await {
                Some(Ok(bytes)) => {
                    let _ = self.body.flow_control().release_capacity(bytes.len());
                    self.unread.extend_from_slice(&bytes);
                }
                // Refused before the body was read: the status came already.
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return None,
                Some(Err(error)) => panic!("the stream broke: {error}"),
                None => {
                    assert!(self.unread.is_empty(), "half a message: {:02x?}", self.unread);
                    return None;
                }
            }
        }
    }

    /// The next message without its prefix.
    pub async fn message(&mut self) -> Vec<u8> {
        self.framed().await.expect("one more message")[5..].to_vec()
    }

    /// Reads to the end, and says how the call ended.
    pub async fn outcome(mut self) -> Outcome {
        while self.framed().await.is_some() {}
        // A refusal has everything in its headers and no trailers.
        let trailers = match self.headers.contains_key("grpc-status") {
            true => self.headers,
            false => soon("the trailers", self.body.trailers()).await.unwrap().expect("trailers"),
        };
        let text = |name| trailers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap());
        Outcome { status: text("grpc-status").to_owned(), message: text("grpc-message").to_owned() }
    }

    pub fn content_type(&self) -> &str {
        self.headers[header::CONTENT_TYPE].to_str().unwrap()
    }
}

/// A message with gRPC's prefix: not compressed, and its length.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A varint: seven bits a byte, the lowest first.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A field of a number.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field of bytes, text or a message.
pub fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint((field << 3) | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message, in the order in which they were written.
pub fn fields(mut message: &[u8]) -> Vec<(u64, Value)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message);
        let value = match tag & 7 {
            0 => Value::Number(take_varint(&mut message)),
            2 => {
                let length = usize::try_from(take_varint(&mut message)).unwrap();
                let (value, rest) = message.split_at(length);
                message = rest;
                Value::Bytes(value.to_vec())
            }
            other => panic!("wire type {other}, which confhub.v1 does not use"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

/// The last value of a field of bytes; empty if there is none.
pub fn field(message: &[u8], field: u64) -> Vec<u8> {
    let found = fields(message).into_iter().rev().find(|(number, _)| *number == field);
    match found {
        Some((_, Value::Bytes(bytes))) => bytes,
        Some((_, Value::Number(number))) => panic!("field {field} is the number {number}"),
        None => Vec::new(),
    }
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}
