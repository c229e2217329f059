//! What the agent answers, and to whom.

use super::listen::{Io, Listener};
use super::{Agent, STREAMS};
use crate::fanout::Frames;
use crate::flagd::{Selector, Sheet};
use crate::grpc::local::{Finite, answered, connection, invalid, message_of, trailers};
use bytes::Bytes;
use confhub_proto::{State, flagd};
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// Most connections at a time: each takes a file descriptor.
const CONNECTIONS: usize = 256;

/// Wait before the next try when the system has nothing left to accept with.
const PAUSE: Duration = Duration::from_millis(200);

type Call = Request<axum::body::Body>;

/// Serves until the agent drains, and then until all connections have ended.
pub(super) async fn serve<H>(agent: Arc<Agent>, mut listener: Listener, probes: H)
where
    H: Service<Call, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    H::Future: Send,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut draining = agent.draining.subscribe();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = accept(&mut listener, &places) => accepted,
            Some(_) = open.join_next() => continue,
        };
        let (io, place) = accepted;
        let service = service(Arc::clone(&agent), probes.clone());
        let draining = agent.draining.subscribe();
        open.spawn(async move {
            match io {
                Io::Tcp(stream) => connection(stream, service, draining).await,
                Io::Unix(stream) => connection(stream, service, draining).await,
            }
            drop(place);
        });
    }
    // Nobody connects to an agent that leaves.
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it.
async fn accept(listener: &mut Listener, places: &Arc<Semaphore>) -> (Io, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok(io) => return (io, place),
            Err(error) => {
                tracing::warn!(%error, "cannot take more connections");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers by path.
fn service<H>(
    agent: Arc<Agent>,
    probes: H,
) -> impl Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    H: Service<Call, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    H::Future: Send,
{
    answered(move |request: Call| {
        let (agent, probes) = (Arc::clone(&agent), probes.clone());
        async move {
            let path = request.uri().path();
            if path.starts_with("/grpc.health.v1.Health/") {
                let Ok(answer) = probes.oneshot(request).await;
                return Ok(answer);
            }
            match path {
                flagd::SYNC_FLAGS_PATH => agent.sync_flags(request).await,
                flagd::FETCH_ALL_FLAGS_PATH => agent.fetch_all_flags(request).await,
                flagd::GET_METADATA_PATH => {
                    Err(Status::unimplemented("`GetMetadata` is deprecated: there is no metadata"))
                }
                _ => Err(Status::unimplemented("an agent serves flagd's sync protocol and health alone")),
            }
        }
    })
}

impl Agent {
    async fn sync_flags(&self, request: Call) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let asked: flagd::SyncFlagsRequest = message_of(body).await?;
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            let message = format!("{STREAMS} streams are open, which is the limit of an agent");
            return Err(Status::resource_exhausted(message));
        };
        let follower = self.follower(&head.headers, &asked.selector, place)?;
        tracing::debug!(provider = %asked.provider_id.escape_debug(), "flags are followed");
        let frames = stream::unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            Some(match follower.next().await {
                Ok(message) => (Ok::<_, Status>(Frame::data(message)), Some(follower)),
                Err(status) => (Ok(trailers(&status)), None),
            })
        });
        Ok(Response::new(Body::new(StreamBody::new(frames))))
    }

    async fn fetch_all_flags(&self, request: Call) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let asked: flagd::FetchAllFlagsRequest = message_of(body).await?;
        let sheet = self.sheet(&Selector::of_call(&head.headers, &asked.selector).map_err(invalid)?)?;
        let state = self.state.borrow().clone().ok_or_else(no_flags)?;
        let message = {
            let mut page = sheet.open();
            sheet.update(&mut page, &state);
            page.message().map_err(|error| Status::resource_exhausted(error.to_string()))?
        };
        Ok(Response::new(Body::new(Finite::for_good(Frames::one(message)))))
    }

    fn follower(
        &self,
        headers: &HeaderMap,
        selector: &str,
        place: OwnedSemaphorePermit,
    ) -> Result<Follower, Status> {
        let sheet = self.sheet(&Selector::of_call(headers, selector).map_err(invalid)?)?;
        if self.state.borrow().is_none() {
            return Err(no_flags());
        }
        let (state, draining) = (self.state.subscribe(), self.draining.subscribe());
        Ok(Follower { sheet, seen: 0, state, draining, _place: place })
    }
}

fn no_flags() -> Status {
    Status::unavailable("there are no flags yet: no hub was reached, and none are on disk")
}

/// One who follows a sheet: which edition it was sent last.
struct Follower {
    sheet: Arc<Sheet>,
    seen: u64,
    state: watch::Receiver<Option<State>>,
    draining: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next document as a message, or the end.
    async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            if *self.draining.borrow() {
                return Err(Status::unavailable("the agent is shutting down"));
            }
            if let Some(message) = self.present() {
                return message;
            }
            tokio::select! {
                changed = self.state.changed() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the agent is shutting down"));
                    }
                }
                _ = self.draining.changed() => {}
            }
        }
    }

    /// The document, if it is another than the last one.
    fn present(&mut self) -> Option<Result<Bytes, Status>> {
        let mut page = self.sheet.open();
        // Under the lock, so that no state comes before one that is older.
        if let Some(state) = self.state.borrow_and_update().as_ref() {
            self.sheet.update(&mut page, state);
        }
        if page.edition() == self.seen {
            return None;
        }
        self.seen = page.edition();
        Some(page.message().map_err(|error| Status::resource_exhausted(error.to_string())))
    }
}
