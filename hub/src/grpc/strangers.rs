//! Bounds what callers cost that are refused.
//!
//! A signature has to be checked before it is known to be false, and a refusal costs as
//! much as many a call. A connection whose calls are refused again and again, for their
//! tokens or for what they may not do or have had too much of, is broken, and what is
//! still under way on it is refused unseen.

use super::breaker::Breaker;
use super::peer::Refusal;
use crate::metrics::{Metrics, RefusalLabel};
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

const BAD_TOKENS: &str = "too many calls on it had no valid token";

/// Puts a [`Strangers`] in front of a service, which is the one that refuses.
#[derive(Clone)]
pub(super) struct StrangersLayer(pub(super) Arc<Metrics>);

/// Counts the refusals of a service, for each connection.
#[derive(Clone)]
pub(super) struct Strangers<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for StrangersLayer {
    type Service = Strangers<S>;

    fn layer(&self, inner: S) -> Strangers<S> {
        Strangers { inner, metrics: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for Strangers<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let breaker = request.extensions().get::<Breaker>().cloned().unwrap_or_default();
        if breaker.is_tripped() {
            let status = Status::unavailable("too many calls of this connection were refused: it is closed");
            return Box::pin(std::future::ready(Ok(status.into_http())));
        }
        let answered = self.inner.call(request);
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            let response = answered.await?;
            // A refusal has its status in its headers, and no body.
            let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
            let (refusal, reason, why) = match code {
                Some(Code::Unauthenticated) => (Refusal::Token, "bad-tokens", BAD_TOKENS),
                Some(Code::PermissionDenied | Code::ResourceExhausted) => {
                    (Refusal::Caller, "refused-calls", "too many calls on it were refused")
                }
                _ => return Ok(response),
            };
            if breaker.peer().refused(refusal) {
                if !breaker.is_tripped() {
                    metrics.broken.get_or_create(&RefusalLabel { reason }).inc();
                }
                breaker.trip(why);
            }
            Ok(response)
        })
    }
}
