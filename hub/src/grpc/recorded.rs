//! The outermost layer: names each call, tells the audit log of its end if it was
//! refused or has failed, and makes errors fit for whom they are told.
//!
//! What was done is told where it is done, since only there it is known of what it
//! consisted, and since a secret must not leave before.

use super::breaker::Breaker;
use super::status::{fit, limit};
use crate::audit::{Audit, Call, Outcome};
use crate::metrics::{LimitLabel, Metrics};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

/// The header that names a call, there and back. A caller's own name is taken if it
/// is a sane one.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name of a caller's own, in bytes: a UUID has 36.
const REQUEST_ID_BYTES: usize = 64;

/// Puts a [`Recorded`] in front of a service.
#[derive(Clone)]
pub(super) struct RecordedLayer(pub(super) Audit, pub(super) Arc<Metrics>);

/// A service whose calls have names, and whose refusals are recorded.
#[derive(Clone)]
pub(super) struct Recorded<S> {
    inner: S,
    audit: Audit,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for RecordedLayer {
    type Service = Recorded<S>;

    fn layer(&self, inner: S) -> Recorded<S> {
        Recorded { inner, audit: self.0.clone(), metrics: Arc::clone(&self.1) }
    }
}

impl<S, B> Service<Request<B>> for Recorded<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<Breaker>().and_then(Breaker::address);
        let call = Call::new(name(request.headers()), request.uri().path(), peer);
        request.extensions_mut().insert(call.clone());
        let (audit, metrics) = (self.audit.clone(), Arc::clone(&self.metrics));
        let span = tracing::info_span!("call", request_id = call.id());
        let answered = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let mut response = answered.await?;
            if let Some(told) = response.extensions().get::<Status>().and_then(|status| fit(status, &call)) {
                response = told.into_http();
            }
            if let Some(limit) = response.extensions().get().and_then(limit) {
                call.because(limit);
                metrics.limited.get_or_create(&LimitLabel { limit }).inc();
            }
            // A call that is refused or fails has its status in its headers, and no body.
            let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
            if let Some(code) = code {
                told(&audit, &call, code).await;
            }
            if let Ok(id) = HeaderValue::from_str(call.id()) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(response)
        })
    }
}

/// What a call is named by: its caller's own name, or one made up.
pub(super) fn name(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let own = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    own.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned)
}

/// Tells of a call that ended with this status.
pub(super) async fn tell(audit: &Audit, call: &Call, status: &Status) {
    if let Some(limit) = limit(status) {
        call.because(limit);
    }
    told(audit, call, status.code()).await;
}

async fn told(audit: &Audit, call: &Call, code: Code) {
    if let Some((outcome, word)) = unfit(code, call) {
        audit.tell(call, outcome, word).await;
    }
}

/// How a call is told of that was not done; `None`: it is not. A read that finds
/// nothing, or that a store cannot answer, is no matter for an audit.
fn unfit(code: Code, call: &Call) -> Option<(Outcome, &'static str)> {
    let (outcome, word) = match code {
        Code::Ok => return None,
        Code::Unauthenticated => (Outcome::Refused, "unauthenticated"),
        Code::PermissionDenied => (Outcome::Refused, "permission_denied"),
        Code::ResourceExhausted => (Outcome::Refused, "resource_exhausted"),
        Code::Unimplemented => (Outcome::Refused, "unimplemented"),
        Code::InvalidArgument | Code::OutOfRange => (Outcome::Refused, "invalid_argument"),
        Code::NotFound => (Outcome::Refused, "not_found"),
        Code::Aborted | Code::AlreadyExists => (Outcome::Refused, "conflict"),
        Code::FailedPrecondition => (Outcome::Refused, "failed_precondition"),
        Code::DeadlineExceeded => (Outcome::Failed, "deadline_exceeded"),
        Code::Unavailable => (Outcome::Failed, "unavailable"),
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => (Outcome::Failed, "failed"),
    };
    let always = matches!(
        code,
        Code::Unauthenticated | Code::PermissionDenied | Code::ResourceExhausted | Code::Unimplemented
    );
    (always || call.is_recorded()).then_some((outcome, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_own_name_is_taken_only_if_it_is_a_sane_one() {
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, value.parse().unwrap());
            name(&headers)
        };
        for sane in ["a", "4bf92f35-77b3_x.y", &"a".repeat(64)] {
            assert_eq!(named(sane), sane);
        }
        for odd in ["", "a b", "a\"b", "a/b", &"a".repeat(65)] {
            assert!(named(odd) != odd && named(odd).len() == 16, "{odd}");
        }
        assert_ne!(name(&HeaderMap::new()), name(&HeaderMap::new()));
    }
}
