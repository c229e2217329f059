//! What every call gets around it: a place, a time limit, and a watched answer.

use super::Edge;
use super::body::Live;
use super::breaker::Breaker;
use super::deadline;
use super::governor::{Cost, Kind, Refused, Share, Turn};
use super::handed;
use super::revealed::Padded;
use super::stall::{Reader, Reading};
use super::status::busy;
use crate::audit::Call;
use crate::auth::{AuthError, Identity};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use confhub_proto::{flagd, wire};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

/// Longest time until a call is answered; a stream counts as answered when it is
/// opened. A write waits for the disk, a first read for the load of its tenant.
const CALL: Duration = Duration::from_secs(30);

/// A place among the calls of the hub, of the tenant and of the connection, which is
/// free when nobody holds it any more. Work that outlives its caller holds it too.
#[derive(Clone)]
pub(crate) struct Place(Arc<Held>);

struct Held {
    _hub: Option<OwnedSemaphorePermit>,
    tenant: Option<Share>,
    connection: Breaker,
}

impl Place {
    /// Waits until reads of its whole tenant before this one are paid for.
    pub(super) async fn paid(&self) -> Result<(), Refused> {
        match &self.0.tenant {
            Some(share) => share.paid().await,
            None => Ok(()),
        }
    }

    /// Waits for its turn to read its whole tenant from the stores.
    pub(super) async fn read(&self) -> Result<Option<Turn>, Refused> {
        match &self.0.tenant {
            Some(share) => share.read().await.map(Some),
            None => Ok(None),
        }
    }

    /// The hub ends the stream, which so counts for nothing.
    pub(super) fn excuse(&self) {
        if let Some(share) = &self.0.tenant {
            share.excuse();
        }
    }

    /// Counts against the tenant what a stream took to begin, if its client leaves soon.
    pub(super) fn owe(&self, cost: Cost) {
        if let Some(share) = &self.0.tenant {
            share.owe(cost);
        }
    }

    /// Counts against the tenant what the call has cost beyond one call.
    pub(super) fn charge(&self, cost: Cost) {
        if let Some(share) = &self.0.tenant {
            share.charge(cost);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.peer().leave();
    }
}

/// Path of the `Reveal` method.
const REVEAL_PATH: &str = "/confhub.v1.ConfigService/Reveal";

/// Path of the `List` method.
const LIST_PATH: &str = "/confhub.v1.AdminService/List";

/// What the paths of the methods of `AccessService` begin with.
const ACCESS_PATHS: &str = "/confhub.v1.AccessService/";

/// Path of the `Report` method.
const REPORT_PATH: &str = "/confhub.v1.FleetService/Report";

/// Path of the `WaitApplied` method.
const WAIT_PATH: &str = "/confhub.v1.FleetService/WaitApplied";

/// Tokens may be made out for centuries, and some callers need none.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// Takes a place before the request is read, and gives it back when the answer is.
pub(super) async fn around(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let whole = matches!(request.uri().path(), wire::GET_SNAPSHOT_PATH | flagd::FETCH_ALL_FLAGS_PATH);
    let loads = whole || is_stream(request.uri().path());
    let breaker = request.extensions().get::<Breaker>().cloned().unwrap_or_default();
    let identity = request.extensions().get::<Identity>().cloned();
    let path = request.uri().path();
    let stream = is_stream(path);
    let goodbye = path == wire::SUBSCRIBE_PATH;
    let reveals = path == REVEAL_PATH;
    let lasting = stream || whole || path == LIST_PATH;
    // The leeway is for single answers. Words and record are those of a token beyond it.
    if let Some(expired) = identity.as_ref().filter(|_| lasting).and_then(|identity| edge.expired(identity)) {
        if let Some(call) = request.extensions().get::<Call>() {
            call.because(expired.reason());
        }
        return answer(&Status::from(&expired));
    }
    let kind = kind(path);
    let place = match edge.place(kind, identity.as_ref(), &breaker).await {
        Ok(place) => place,
        Err(refused) => return answer(&refused),
    };
    request.extensions_mut().insert(place.clone());
    let reading = Arc::<Reading>::default();
    request.extensions_mut().insert(Arc::clone(&reading));
    // A single answer is bounded by the patience with its reader alone.
    let expires = match &identity {
        Some(identity) if lasting => edge.expiry(identity).unwrap_or_else(Instant::now),
        _ => Instant::now() + FOREVER,
    };
    let patience = deadline::given(request.headers()).map_or(CALL, |given| given.min(CALL));
    if patience.is_zero() {
        return answer(&Status::deadline_exceeded("not begun: the caller gave it no time (`grpc-timeout`)"));
    }
    let Ok(mut response) = timeout(patience, next.run(request)).await else {
        let meanwhile = if loads {
            "the tenant is still being loaded: a call after this one joins the load"
        } else {
            "a write may still be made: read before you repeat it"
        };
        return answer(&Status::deadline_exceeded(format!("not done after {patience:?}; {meanwhile}")));
    };
    if stream && is_the_hubs_fault(&response) {
        place.excuse();
    }
    // A single answer is given to whom it was for: one may revoke its own token.
    let identity = identity.filter(|_| lasting);
    let reader = Reader { identity, expires, reading, breaker, stream, goodbye };
    if let Some(live) = handed::take::<_, Live>(&mut response) {
        let watched = edge.watch.over(live, reader, &edge.admission, Some(place));
        handed::over(&mut response, watched);
        return response;
    }
    let response = response.map(|body| if reveals { Body::new(Padded::new(body)) } else { body });
    response.map(|body| Body::new(edge.watch.over(body, reader, &edge.admission, Some(place))))
}

impl Edge {
    /// Finds a place for a call: first its tenant's, in which it waits for its turn, so
    /// that a tenant at its limits takes nothing of what others wait for.
    pub(super) async fn place(
        &self,
        kind: Option<Kind>,
        identity: Option<&Identity>,
        breaker: &Breaker,
    ) -> Result<Place, Status> {
        let tenant = match (kind, identity) {
            (Some(kind), Some(identity)) => Some(self.governor.admit(&identity.tenant, kind)?),
            _ => None,
        };
        if let Some(share) = &tenant {
            share.turn().await;
        }
        let places = match kind {
            Some(Kind::Call | Kind::Access) => Some((&self.calls, "calls")),
            Some(Kind::Bulk) => Some((&self.bulk_reads, "bulk-reads")),
            // Streams have their own; of the others, a tenant's are few.
            Some(Kind::Open | Kind::Report | Kind::Wait) | None => None,
        };
        let hub = match places.map(|(places, name)| (Arc::clone(places).try_acquire_owned(), name)) {
            None => None,
            Some((Ok(permit), _)) => Some(permit),
            Some((Err(_), name)) => return Err(busy(name)),
        };
        breaker.peer().enter();
        Ok(Place(Arc::new(Held { _hub: hub, tenant, connection: breaker.clone() })))
    }

    /// Why a caller gets nothing that lasts: its token has expired.
    fn expired(&self, identity: &Identity) -> Option<AuthError> {
        let ago = (self.clock)().duration_since(identity.expires).ok()?;
        (!ago.is_zero()).then(|| AuthError::Expired { ago, identity: Box::new(identity.clone()) })
    }

    /// When a caller's token expires; `None`: it has.
    pub(super) fn expiry(&self, identity: &Identity) -> Option<Instant> {
        let left = identity.expires.duration_since((self.clock)()).ok()?;
        Some(Instant::now() + left.min(FOREVER))
    }
}

/// What a call takes up; `None`: it is none of ours, and open to everyone.
fn kind(path: &str) -> Option<Kind> {
    match path {
        path if is_stream(path) => Some(Kind::Open),
        wire::GET_SNAPSHOT_PATH | flagd::FETCH_ALL_FLAGS_PATH | LIST_PATH => Some(Kind::Bulk),
        REPORT_PATH => Some(Kind::Report),
        WAIT_PATH => Some(Kind::Wait),
        path if path.starts_with(ACCESS_PATHS) => Some(Kind::Access),
        path if path.starts_with("/confhub.v1.") || path.starts_with(flagd::PATHS) => Some(Kind::Call),
        _ => None,
    }
}

/// Whether a method is answered with a stream that lasts.
pub(super) fn is_stream(path: &str) -> bool {
    matches!(path, wire::SUBSCRIBE_PATH | flagd::SYNC_FLAGS_PATH)
}

/// Whether a call was refused for no reason of its caller's.
fn is_the_hubs_fault(response: &Response) -> bool {
    let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    matches!(
        code,
        Some(Code::Unavailable | Code::Internal | Code::ResourceExhausted | Code::DeadlineExceeded)
    )
}

fn answer(status: &Status) -> Response {
    status.clone().into_http()
}
