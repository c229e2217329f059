//! What every call gets around it: a place, a time limit, and a watched answer.

use super::Edge;
use super::stall::{Breaker, Cut, Reader};
use super::status::busy;
use crate::auth::Identity;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use confhub_proto::wire;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tonic::Status;

/// Longest time until a call is answered; a stream counts as answered when it is
/// opened. A write waits for the disk, a first read for the load of its tenant.
const CALL: Duration = Duration::from_secs(30);

/// A place among the calls, which is free when nobody holds it any more. Work that
/// outlives its caller holds it too.
#[derive(Clone)]
pub(super) struct Place(
    #[expect(dead_code, reason = "it is held, and not looked at")] Arc<OwnedSemaphorePermit>,
);

/// Path of the `List` method.
const LIST_PATH: &str = "/confhub.v1.AdminService/List";

/// Tokens may be made out for centuries, and some callers need none.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// Takes a place before the request is read, and gives it back when the answer is.
pub(super) async fn around(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let loads = matches!(request.uri().path(), wire::SUBSCRIBE_PATH | wire::GET_SNAPSHOT_PATH);
    let permit = match edge.places(request.uri().path()).map(|places| Arc::clone(places).try_acquire_owned())
    {
        None => None,
        Some(Ok(permit)) => Some(Place(Arc::new(permit))),
        Some(Err(_)) => return answer(&busy()),
    };
    if let Some(place) = permit.clone() {
        request.extensions_mut().insert(place);
    }
    let cut = Arc::<Cut>::default();
    request.extensions_mut().insert(Arc::clone(&cut));
    let path = request.uri().path();
    let stream = path == wire::SUBSCRIBE_PATH;
    let lasting = stream || matches!(path, wire::GET_SNAPSHOT_PATH | LIST_PATH);
    let extensions = request.extensions();
    let breaker = extensions.get::<Breaker>().cloned().unwrap_or_default();
    let identity = extensions.get::<Identity>().cloned();
    let expires = match &identity {
        Some(identity) => edge.expiry(identity).unwrap_or_else(Instant::now),
        None => Instant::now() + FOREVER,
    };
    let Ok(response) = timeout(CALL, next.run(request)).await else {
        let waited_s = CALL.as_secs();
        let meanwhile = if loads {
            "the tenant is still being loaded: a call after this one joins the load"
        } else {
            "a write may still be made: read before you repeat it"
        };
        return answer(&Status::deadline_exceeded(format!("not done after {waited_s} s; {meanwhile}")));
    };
    // A single answer is given to whom it was for: one may revoke its own token.
    let identity = identity.filter(|_| lasting);
    let reader = Reader { identity, expires, cut, breaker, stream };
    response.map(|body| Body::new(edge.watch.over(body, reader, &edge.admission, permit)))
}

impl Edge {
    /// The places among which a call needs one. Streams have their own.
    fn places(&self, path: &str) -> Option<&Arc<Semaphore>> {
        match path {
            wire::SUBSCRIBE_PATH => None,
            wire::GET_SNAPSHOT_PATH | LIST_PATH => Some(&self.bulk_reads),
            path if path.starts_with("/confhub.v1.") => Some(&self.calls),
            _ => None,
        }
    }

    /// When a caller's token expires; `None`: it has.
    pub(super) fn expiry(&self, identity: &Identity) -> Option<Instant> {
        let left = identity.expires.duration_since((self.clock)()).ok()?;
        Some(Instant::now() + left.min(FOREVER))
    }
}

fn answer(status: &Status) -> Response {
    status.clone().into_http()
}
