//! Serves connections: each is driven by a task of its own, its calls by what stands
//! behind it.

use super::call::is_stream;
use super::connection::{Connection, Connections};
use super::driver::{Answering, Driver};
use super::handed;
use super::http2::Http2;
use super::outgoing::{Outgoing, Stream};
use crate::metrics::Metrics;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

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
            let mut draining = draining.clone();
            let drained = async move { drop(draining.wait_for(|draining| *draining).await) };
            open.spawn(drive(
                connection,
                streams_per_connection,
                service.clone(),
                Arc::clone(&metrics),
                drained,
            ));
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
    service: S,
    metrics: Arc<Metrics>,
    drained: impl Future<Output = ()> + Send + 'static,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let breaker = connection.breaker();
    let answer = move |request: Request<RecvStream>, respond: SendResponse<Bytes>| -> Answering {
        let mut request = request.map(|body| Body::new(Received(body)));
        request.extensions_mut().insert(breaker.clone());
        if is_stream(request.uri().path()) {
            Box::pin(answer(service.clone().oneshot(request), respond))
        } else {
            Box::pin(answer(apart(service.clone().oneshot(request)), respond))
        }
    };
    let driver = Driver::new(Http2::new(connection, streams, Box::new(answer)), metrics, drained);
    if let Err(error) = driver.await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Answers a call in a task of its own, so that the calls of one connection use all
/// cores; only what is streamed is worth keeping together.
async fn apart<F>(answered: F) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    // It ends with the call, if that is reset.
    let mut task = JoinSet::new();
    task.spawn(answered);
    match task.join_next().await {
        Some(Ok(answered)) => answered,
        _ => Ok(Status::internal("the call has failed: see the log of the hub").into_http()),
    }
}

/// Sends what a call is answered with; a stream is left to go on.
pub(super) async fn answer(
    answered: impl Future<Output = Result<Response<Body>, Infallible>>,
    mut respond: SendResponse<Bytes>,
) -> Option<Box<Stream>> {
    let Ok(mut response) = tokio::select! {
        answered = answered => answered,
        // Its caller does not want to know any more.
        _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return None,
    };
    let stream = handed::take(&mut response);
    let (head, body) = response.into_parts();
    let ends = stream.is_none() && body.is_end_stream();
    let send = match respond.send_response(Response::from_parts(head, ()), ends) {
        Ok(send) => send,
        Err(error) => {
            tracing::debug!(%error, "a call cannot be answered");
            respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
    };
    match stream {
        Some(body) => Some(Box::new(Outgoing::new(send, body))),
        None if ends => None,
        None => {
            Outgoing::new(send, body).run().await;
            None
        }
    }
}

/// The body of a request, whose sender may go on as it is read.
pub(super) struct Received(pub(super) RecvStream);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(cx)) {
            Some(Ok(data)) => {
                self.0.flow_control().release_capacity(data.len())?;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // Nothing more is wanted of a call that was answered before it was read.
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers: Option<HeaderMap> = ready!(self.0.poll_trailers(cx))?;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
