//! Serves connections: HTTP/2 by hyper, the calls by what stands behind it.

use super::body::Live;
use super::connection::{Connection, Connections};
use super::driver::{Begun, Driver, Transport};
use super::handed;
use super::stall::{Breaker, Watched};
use crate::metrics::Metrics;
use bytes::Bytes;
use confhub_proto::wire;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// Silence on a connection after which the hub asks whether anyone is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long it waits for that answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that were reset by their caller before the hub had taken them up, or by the
/// hub for a mistake in them, before HTTP/2 ends the connection: what the library
/// takes by default, said here since rapid resets are refused by it (CVE-2023-44487).
/// What it does not see, resets of calls already taken up, the meter of frames does.
const PENDING_RESETS: usize = 64;
const MISTAKEN_CALLS: usize = 1_024;

/// Largest headers of one call, in bytes: a token and what proxies add.
const HEADER_BYTES: u32 = 16 * 1024;

/// Answers the calls of all connections with `service` until `shutdown`, then lets
/// those that are open end.
pub(super) async fn serve<S>(
    mut connections: Connections,
    streams_per_connection: usize,
    service: S,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let (drain, draining) = watch::channel(false);
    let mut open = JoinSet::new();
    {
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = connections.next() => accepted,
                Some(_) = open.join_next() => continue,
            };
            let Some(connection) = accepted else { break };
            let answering = Answering { service: service.clone(), breaker: connection.breaker() };
            let mut draining = draining.clone();
            let drained = async move { drop(draining.wait_for(|draining| *draining).await) };
            let metrics = Arc::clone(&metrics);
            open.spawn(drive(connection, streams_per_connection, answering, metrics, drained));
        }
    }
    // Nobody connects to a hub that leaves.
    drop(connections);
    drain.send_replace(true);
    while open.join_next().await.is_some() {}
}

/// Drives one connection to its end.
async fn drive<S>(
    connection: Connection,
    streams: usize,
    answering: Answering<S>,
    metrics: Arc<Metrics>,
    drained: impl Future<Output = ()> + Send + 'static,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let begun = Begun::default();
    let transport = http2::Builder::new(begun.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(MISTAKEN_CALLS)
        .serve_connection(TokioIo::new(connection), answering);
    if let Err(error) = Driver::new(transport, begun, metrics, drained).await {
        tracing::debug!(%error, "a connection ended");
    }
}

impl<S> Transport for http2::Connection<TokioIo<Connection>, Answering<S>, Begun>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The service, for the calls of one connection.
struct Answering<S> {
    service: S,
    breaker: Breaker,
}

impl<S> hyper::service::Service<Request<Incoming>> for Answering<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.breaker.clone());
        let stream = request.uri().path() == wire::SUBSCRIBE_PATH;
        let answer = self.service.clone().oneshot(request);
        if stream {
            Box::pin(async move { Ok(unwrapped(answer.await?)) })
        } else {
            Box::pin(async move { Ok(apart(answer).await?.map(Answer::Other)) })
        }
    }
}

/// The body of an answer.
enum Answer {
    /// A stream, which HTTP/2 reads with nothing in between.
    Stream(Box<Watched<Live>>),
    /// Any other.
    Other(Body),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
            Self::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// Puts the body of a stream to its place, if one came along.
fn unwrapped(mut response: Response<Body>) -> Response<Answer> {
    match handed::take(&mut response) {
        Some(body) => response.map(|_| Answer::Stream(body)),
        None => response.map(Answer::Other),
    }
}

/// Answers a call in a task of its own, so that the calls of one connection use all
/// cores; only what is streamed is worth keeping together.
async fn apart<F>(answer: F) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    // It ends with the call, if that is reset.
    let mut task = JoinSet::new();
    task.spawn(answer);
    match task.join_next().await {
        Some(Ok(answered)) => answered,
        _ => Ok(Status::internal("the call has failed: see the log of the hub").into_http()),
    }
}
