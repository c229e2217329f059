//! gRPC for those on the same machine: bounded, and with nothing that keeps tenants apart,
//! since there are none.

use super::http2;
use super::server::{Received, answer};
use axum::body::Body as RequestBody;
use bytes::Bytes;
use http::{Request, Response};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

pub(crate) use super::body::{Finite, trailers};
pub(crate) use super::status::invalid;
pub(crate) use super::subscribe::{answered, message_of};

/// Most calls of one connection at a time: those of one program.
const CALLS: usize = 128;

/// Longest wait for the beginning of HTTP/2.
const GREETING: Duration = Duration::from_secs(10);

/// Answers the calls of one connection with `service`, until its peer ends it; once
/// `draining` is true, until those under way have ended.
pub(crate) async fn connection<I, S>(io: I, service: S, mut draining: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let greeted = timeout(GREETING, http2::builder(CALLS).handshake::<_, Bytes>(io)).await;
    let Ok(Ok(mut connection)) = greeted else {
        tracing::debug!("a connection did not begin as HTTP/2 does");
        return;
    };
    // They end with the connection.
    let mut calls = JoinSet::new();
    let mut leaves = false;
    loop {
        tokio::select! {
            call = connection.accept() => match call {
                Some(Ok((request, respond))) => {
                    let request = request.map(|body| RequestBody::new(Received(body)));
                    let answered = service.clone().oneshot(request);
                    calls.spawn(async move { drop(answer(answered, respond).await) });
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection ended");
                    return;
                }
                None => return,
            },
            Some(_) = calls.join_next() => {}
            _ = draining.wait_for(|draining| *draining), if !leaves => {
                leaves = true;
                connection.graceful_shutdown();
            }
        }
    }
}
