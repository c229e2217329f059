//! A connection of subscribers: HTTP/2 and nothing above it, so that the one
//! that measures uses less of the machine than what is measured.

use crate::Result;
use bytes::{BufMut as _, Bytes, BytesMut};
use confhub_proto::wire;
use h2::RecvStream;
use h2::client::SendRequest;
use prost::Message as _;
use std::cell::RefCell;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection.
#[derive(Debug)]
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
        tcp.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(tcp).await?;
        // How it ends shows in its streams.
        tasks.borrow_mut().spawn_local(async move { drop(connection.await) });
        Ok(Self { send: send.ready().await?, address })
    }

    /// Opens a stream of all shared entries of the token's tenant.
    ///
    /// # Errors
    /// If the hub refuses.
    pub async fn subscribe(&mut self, token: &str) -> Result<RecvStream> {
        let request = http::Request::post(format!("http://{}{}", self.address, wire::SUBSCRIBE_PATH))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())?;
        self.send = self.send.clone().ready().await?;
        let (response, mut body) = self.send.send_request(request, false)?;
        body.send_data(framed(&wire::SubscribeRequest::default()), true)?;
        let response = response.await?;
        if let Some(status) = response.headers().get("grpc-status") {
            let message = response.headers().get("grpc-message");
            return Err(format!("the hub refused a stream: status {status:?}, {message:?}").into());
        }
        Ok(response.into_body())
    }
}

/// A message with the prefix of gRPC.
fn framed(message: &wire::SubscribeRequest) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}
