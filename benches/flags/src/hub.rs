//! A client of ours with the flags, so that it can be asked through OpenFeature's API as
//! theirs is. What it listens to says one thing and no more.

use crate::{FLAGS, Result, definition};
use confhub_client::{Client, Dialer};
use confhub_flags::{FLAG_TYPE, FlagName};
use confhub_proto::wire::{self, frame::Kind};
use confhub_proto::{Content, Entry, State, Update, frame, limits};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::DuplexStream;
use tokio_stream::StreamExt as _;
use tonic::server::ServerStreamingService;
use tonic::{Request, Response, Status};

/// A connected client.
pub async fn client() -> Result<Client> {
    let mut state = State::default();
    for flag in FLAGS {
        let text = definition(flag).to_string();
        let content = Content::new(text.into(), FLAG_TYPE, false, limits::VALUE_BYTES)?;
        state.put(Arc::new(Entry::new(
            FlagName::new(flag)?.key().clone(),
            None,
            content,
            1,
            SystemTime::UNIX_EPOCH,
        )));
    }
    // The token of the tenant `acme`, as far as a client looks at it.
    let token = "e30.eyJjdXN0b206dGVuYW50SWQiOiJhY21lIn0.c2ln";
    let client = Client::builder().endpoint("http://hub.test:7600").allow_plaintext(true).token(token);
    Ok(client.dialer(Said(state)).connect().await?)
}

#[derive(Clone)]
struct Said(State);

impl Dialer for Said {
    type Io = DuplexStream;

    async fn dial(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let said = self.clone();
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let said = said.clone();
            async move {
                let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::default());
                Ok::<_, Infallible>(grpc.server_streaming(said, request).await)
            }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(far), service));
        Ok(near)
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], 1).into()])
    }
}

impl ServerStreamingService<wire::SubscribeRequest> for Said {
    type Response = wire::Frame;
    type ResponseStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = std::result::Result<wire::Frame, Status>> + Send>>;
    type Future = std::future::Ready<std::result::Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<wire::SubscribeRequest>) -> Self::Future {
        let welcome = wire::Welcome {
            tenant: "acme".to_owned(),
            heartbeat_interval: Duration::from_secs(300).try_into().ok(),
            ..wire::Welcome::default()
        };
        let mut frames = vec![wire::Frame { kind: Some(Kind::Welcome(welcome)) }];
        frames.extend(frame::split(&Update::reset(&self.0, SystemTime::UNIX_EPOCH)));
        let said = tokio_stream::iter(frames.into_iter().map(Ok)).chain(tokio_stream::pending());
        std::future::ready(Ok(Response::new(Box::pin(said))))
    }
}
