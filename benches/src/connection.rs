//! A connection of subscribers: HTTP/2 and nothing above it, so that the one
//! that measures uses less of the machine than what is measured.

use crate::Result;
use crate::messages::{self, Messages};
use bytes::{BufMut as _, Bytes, BytesMut};
use confhub_proto::wire;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use prost::Message;
use std::cell::RefCell;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a stream, and a connection, may bring before it is read, in bytes: more
/// than the largest update times the streams of a connection, so that a sender
/// waits for the socket and never for a window, as with clients of today.
const WINDOWS: (u32, u32) = (1024 * 1024, 32 * 1024 * 1024);

/// One connection; a clone is the same one.
#[derive(Debug, Clone)]
pub struct Connection {
    send: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Connection {
    /// Connects; `tasks` keeps the connection alive.
    ///
    /// # Errors
    /// If the hub does not answer.
    pub async fn open(address: SocketAddr, tasks: &RefCell<JoinSet<()>>) -> Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let (connection, driving) = Self::over(tcp, WINDOWS).await?;
        tasks.borrow_mut().spawn_local(driving);
        Ok(connection)
    }

    /// A connection over a socket, with windows of its own for a stream and for the
    /// whole; it lives while what is returned beside it is polled.
    ///
    /// # Errors
    /// If the other side does not speak HTTP/2.
    pub async fn over(
        tcp: TcpStream,
        windows: (u32, u32),
    ) -> Result<(Self, impl Future<Output = ()> + use<>)> {
        tcp.set_nodelay(true)?;
        let address = tcp.peer_addr()?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(windows.0)
            .initial_connection_window_size(windows.1)
            .handshake(tcp)
            .await?;
        // How it ends shows in its streams.
        Ok((Self { send, address }, async move { drop(connection.await) }))
    }

    /// Opens a stream of all shared entries of the token's tenant.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn subscribe(&mut self, token: &str) -> Result<RecvStream> {
        self.subscribe_from(token, &[]).await
    }

    /// The same from a cursor; empty: from nothing.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn subscribe_from(&mut self, token: &str, cursor: &[u8]) -> Result<RecvStream> {
        let cursor = cursor.to_vec();
        let message = framed(&wire::SubscribeRequest { cursor, ..wire::SubscribeRequest::default() });
        let (_, body) = self.call(wire::SUBSCRIBE_PATH, Some(token), message, true).await?;
        Ok(body)
    }

    /// Opens a call of gRPC: sends a first message, which may be the last, and
    /// waits for the head of the answer.
    ///
    /// # Errors
    /// If the other side refuses.
    pub async fn call(
        &mut self,
        path: &str,
        token: Option<&str>,
        message: Bytes,
        last: bool,
    ) -> Result<(SendStream<Bytes>, RecvStream)> {
        let mut request = http::Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send = self.send.clone().ready().await?;
        let (response, mut body) = self.send.send_request(request.body(())?, false)?;
        body.send_data(message, last)?;
        let response = response.await?;
        refusal(response.headers())?;
        Ok((body, response.into_body()))
    }

    /// A call with one message to and fro.
    ///
    /// # Errors
    /// If the other side refuses, or answers with less than a message.
    pub async fn unary(&mut self, path: &str, message: Bytes) -> Result<Bytes> {
        let (_, mut body) = self.call(path, None, message, true).await?;
        let mut messages = Messages::default();
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            messages.push(bytes);
        }
        if let Some(trailers) = body.trailers().await? {
            refusal(&trailers)?;
        }
        Ok(messages.next().ok_or("an answer without a message")?)
    }
}

/// What gRPC says of a call that failed.
fn refusal(headers: &http::HeaderMap) -> Result<()> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => {
            Err(format!("a call was refused: status {status:?}, {:?}", headers.get("grpc-message")).into())
        }
        _ => Ok(()),
    }
}

/// A message with the prefix of gRPC.
#[must_use]
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + messages::PREFIX);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}
