//! A hub that says exactly what a test tells it to, over in-memory connections.

use crate::credentials::TokenError;
use crate::{Builder, Client, Dialer, TokenRequest, TokenSource};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confhub_proto::wire::{self, frame::Kind, goodbye::Reason};
use confhub_proto::{Digest, Entry, State, Update, frame};
use futures_util::future::{BoxFuture, Ready, ready};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// The far end of the network of one test.
pub(super) struct FakeHub {
    calls: mpsc::Receiver<Call>,
    net: Net,
}

/// A network with one name, whose addresses tests set.
#[derive(Clone)]
pub(super) struct Net {
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
    resolved: Arc<Mutex<Vec<SocketAddr>>>,
    calls: mpsc::Sender<Call>,
}

/// One Subscribe call.
pub(super) struct Call {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    pub(super) request: wire::SubscribeRequest,
    frames: mpsc::Sender<Result<wire::Frame, Status>>,
}

impl FakeHub {
    pub(super) fn new() -> Self {
        let (sender, calls) = mpsc::channel(16);
        let net = Net { addresses: Arc::default(), resolved: Arc::default(), calls: sender };
        let hub = Self { calls, net };
        hub.resolve_to(&[1, 2]);
        hub.listen(&[1]);
        hub
    }

    /// Sets the addresses that accept connections, by their last byte.
    pub(super) fn listen(&self, hosts: &[u8]) {
        *self.net.addresses.lock().unwrap() = hosts.iter().map(|host| address(*host)).collect();
    }

    /// Sets what the name stands for.
    pub(super) fn resolve_to(&self, hosts: &[u8]) {
        *self.net.resolved.lock().unwrap() = hosts.iter().map(|host| address(*host)).collect();
    }

    pub(super) fn net(&self) -> Net {
        self.net.clone()
    }

    pub(super) fn builder(&self) -> Builder {
        Client::builder()
            .endpoint("http://hub.test:7600")
            .allow_plaintext(true)
            .dialer(self.net.clone())
            .token(token("acme"))
            .seed(7)
    }

    /// The next call, within a bound.
    pub(super) async fn call(&mut self) -> Call {
        let call = tokio::time::timeout(Duration::from_secs(600), self.calls.recv());
        call.await.expect("a call").expect("the network")
    }

    pub(super) fn try_call(&mut self) -> Option<Call> {
        self.calls.try_recv().ok()
    }

    /// A connected client, whose hub has sent `state`.
    pub(super) async fn connected(&mut self, builder: Builder, state: &State) -> (Client, Call) {
        let connecting = tokio::spawn(builder.connect());
        let call = self.call().await;
        call.welcome("acme").await;
        call.update(&Update::reset(state, SystemTime::UNIX_EPOCH)).await;
        (connecting.await.unwrap().unwrap(), call)
    }
}

impl Call {
    pub(super) fn cursor(&self) -> Option<Digest> {
        Digest::from_wire(&self.request.cursor).unwrap()
    }

    pub(super) async fn send(&self, kind: Kind) {
        self.frames.send(Ok(wire::Frame { kind: Some(kind) })).await.expect("the stream is open");
    }

    pub(super) async fn welcome(&self, tenant: &str) {
        let heartbeat_interval = Some(HEARTBEAT.try_into().unwrap());
        let service = self.request.service.clone();
        let tenant = tenant.to_owned();
        let hub_version = "test".to_owned();
        self.send(Kind::Welcome(wire::Welcome {
            tenant,
            service,
            heartbeat_interval,
            hub_version,
            reports: None,
        }))
        .await;
    }

    pub(super) async fn update(&self, update: &Update) {
        for frame in frame::split(update) {
            self.send(frame.kind.unwrap()).await;
        }
    }

    pub(super) async fn heartbeat(&self, cursor: Digest) {
        self.send(Kind::Heartbeat(wire::Heartbeat { cursor: cursor.to_bytes().to_vec() })).await;
    }

    pub(super) async fn goodbye(&self, reason: Reason, retry_after: Duration) {
        let retry_after = Some(retry_after.try_into().unwrap());
        self.send(Kind::Goodbye(wire::Goodbye { reason: reason.into(), retry_after })).await;
    }

    /// Ends the call with a status.
    pub(super) async fn end(self, status: Status) {
        self.frames.send(Err(status)).await.expect("the stream is open");
    }

    /// Whether the client has left.
    pub(super) fn is_left(&self) -> bool {
        self.frames.is_closed()
    }

    /// Waits for the client to leave.
    pub(super) async fn left(&self) {
        tokio::time::timeout(Duration::from_secs(600), self.frames.closed())
            .await
            .expect("the client leaves");
    }
}

pub(super) fn address(host: u8) -> SocketAddr {
    ([10, 0, 0, host], 7600).into()
}

/// What a hub says to a caller that it does not let in.
pub(super) fn refusal(reason: &'static str) -> Status {
    let mut status = Status::permission_denied(format!("not served: {reason}"));
    status.metadata_mut().insert(wire::REASON_METADATA, reason.parse().unwrap());
    status
}

/// A token that names a tenant, as far as a look at it goes.
pub(super) fn token(tenant: &str) -> String {
    let claims = format!(r#"{{"custom:tenantId":"{tenant}"}}"#);
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// A state of these entries.
pub(super) fn state(entries: &[Arc<Entry>]) -> State {
    entries.iter().cloned().collect()
}

/// Hands out `token-0` until it is asked to renew, then `token-1`, and so on.
#[derive(Clone, Default)]
pub(super) struct Renewing {
    pub(super) asked: Arc<AtomicUsize>,
    pub(super) renewed: Arc<AtomicUsize>,
    /// Has nothing newer than what it handed out.
    pub(super) dry: Arc<AtomicBool>,
}

impl TokenSource for Renewing {
    async fn token(&self, TokenRequest { renew, .. }: TokenRequest) -> Result<String, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let renew = renew && !self.dry.load(Ordering::SeqCst);
        let number = self.renewed.fetch_add(usize::from(renew), Ordering::SeqCst) + usize::from(renew);
        Ok(format!("token-{number}"))
    }
}

impl Dialer for Net {
    type Io = DuplexStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<DuplexStream> {
        if !self.addresses.lock().unwrap().contains(&address) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        let calls = self.calls.clone();
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let answer = Answer { address, calls: calls.clone() };
            async move {
                let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::default());
                Ok::<_, std::convert::Infallible>(grpc.server_streaming(answer, request).await)
            }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(far), service));
        Ok(near)
    }

    fn resolve(&self, _: &str, _: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        let resolved: Ready<_> = ready(Ok(self.resolved.lock().unwrap().clone()));
        resolved
    }
}

/// Answers one call with what the test sends.
struct Answer {
    address: SocketAddr,
    calls: mpsc::Sender<Call>,
}

impl tonic::server::ServerStreamingService<wire::SubscribeRequest> for Answer {
    type Response = wire::Frame;
    type ResponseStream = ReceiverStream<Result<wire::Frame, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<wire::SubscribeRequest>) -> Self::Future {
        let (address, calls) = (self.address, self.calls.clone());
        Box::pin(async move {
            let token = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
            let (frames, stream) = mpsc::channel(64);
            let call = Call { address, token, request: request.into_inner(), frames };
            calls.send(call).await.map_err(|_| Status::unavailable("the test is over"))?;
            Ok(Response::new(ReceiverStream::new(stream)))
        })
    }
}
