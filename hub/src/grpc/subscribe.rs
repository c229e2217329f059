//! `Subscribe` and `GetSnapshot`: from a request to a body of shared frames.

use super::body::{Ends, Finite, Live, expired};
use super::breaker::Breaker;
use super::call::Place;
use super::fleet::wire_pace;
use super::governor::Cost;
use super::handed::{self, Elsewhere};
use super::request::identity;
use super::stall::Reading;
use super::status::invalid;
use super::{Edge, VERSION};
use crate::auth::Identity;
use crate::fanout::message;
use crate::fleet::About;
use bytes::{Buf as _, Bytes};
use confhub_proto::{Cursor, Digest, limits, wire};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use wire::frame::Kind;

/// Largest request of these two methods, in bytes: 16 prefixes of 256 bytes,
/// a cursor, and what describes the client.
const REQUEST_BYTES: usize = 16 * 1024;

pub(crate) type Request = http::Request<axum::body::Body>;
pub(crate) type Response = http::Response<Body>;

/// The service that answers `Subscribe`.
pub(super) fn subscribe(
    edge: Arc<Edge>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    answered(move |request| {
        let edge = Arc::clone(&edge);
        async move {
            let reading = request.extensions().get::<Arc<Reading>>().cloned().unwrap_or_default();
            let address = request.extensions().get().and_then(Breaker::address);
            let (identity, asked) = read::<wire::SubscribeRequest>(request).await?;
            let mut response = Response::new(Body::new(Elsewhere));
            handed::over(&mut response, edge.live(identity, asked, address, reading).await?);
            Ok(response)
        }
    })
}

/// The service that answers `GetSnapshot`.
pub(super) fn get_snapshot(
    edge: Arc<Edge>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    answered(move |request| {
        let edge = Arc::clone(&edge);
        async move {
            let place = request.extensions().get::<Place>().cloned();
            let (identity, asked) = read::<wire::GetSnapshotRequest>(request).await?;
            let view = edge.view(&identity, &asked.service, &asked.prefixes)?;
            let expires = edge.expires(&identity)?;
            let place = place.as_ref();
            if let Some(place) = place {
                place.paid().await?;
            }
            let frames = edge.tenants.snapshot(&identity.tenant, &view).await?;
            if let Some(place) = place {
                place.charge(Cost::Shared(frames.size()));
            }
            Ok(Response::new(Body::new(Finite::new(frames, expires))))
        }
    })
}

impl Edge {
    async fn live(
        &self,
        identity: Identity,
        asked: wire::SubscribeRequest,
        address: Option<SocketAddr>,
        reading: Arc<Reading>,
    ) -> Result<Live, Status> {
        let expires = self.expires(&identity)?;
        let client = asked.client.unwrap_or_default();
        let described = [&client.instance, &client.version, &client.sdk];
        if described.iter().any(|field| field.len() > limits::CLIENT_INFO_BYTES) {
            let most = limits::CLIENT_INFO_BYTES;
            return Err(invalid(format!("a field of `client` has more than {most} bytes")));
        }
        let instance = super::fleet::instance_of(&client.id)?;
        let cursor: Option<Cursor> = Digest::from_wire(&asked.cursor).map_err(invalid)?;
        let view = self.view(&identity, &asked.service, &asked.prefixes)?;
        let service = self.viewed_service(&identity, &asked.service)?;
        let mut listener = self.tenants.follow(&identity.tenant, view.clone(), cursor).await?;
        let service = service.map_or_else(String::new, |service| service.to_string());
        tracing::debug!(tenant = %identity.tenant, service, subject = %identity.subject,
            client.instance, client.version, client.sdk, resumes = cursor.is_some(), "a stream was opened");
        let about = About { name: client.instance, version: client.version, sdk: client.sdk, address };
        let listed = listener.enlist(instance, about, &view, (self.clock)());
        let welcome = wire::Welcome {
            tenant: identity.tenant.to_string(),
            service,
            heartbeat_interval: prost_types::Duration::try_from(self.times.heartbeat).ok(),
            hub_version: VERSION.to_owned(),
            reports: instance.filter(|_| listed).map(|_| wire_pace(self.tenants.reporters().pace())),
        };
        let welcome = message(&wire::Frame { kind: Some(Kind::Welcome(welcome)) });
        let metrics = Arc::clone(&self.metrics);
        let ends = Ends { expires, oldest: self.oldest(), reading };
        Ok(Live::new(listener, welcome, self.times.heartbeat, ends, metrics))
    }

    /// When a stream that begins now is too old: anywhere between half the set age
    /// and half as much again, so that streams that began together end apart.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let age = self.times.stream_age;
        (!age.is_zero()).then(|| Instant::now() + age.mul_f64(0.5 + fastrand::f64()))
    }

    /// When the caller's right to listen ends. The leeway is for clocks that
    /// differ: a single call may still pass then, a stream does not begin.
    pub(super) fn expires(&self, identity: &Identity) -> Result<Instant, Status> {
        self.expiry(identity).ok_or_else(expired)
    }
}

/// Makes a service of a function; what it refuses becomes the status.
pub(crate) fn answered<F, R>(
    answer: F,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response, Status>> + Send + 'static,
{
    tower::service_fn(move |request| {
        let answer = answer(request);
        async move {
            let response = match answer.await {
                Ok(mut response) => {
                    let grpc = http::HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
                    response
                }
                Err(status) => status.into_http(),
            };
            Ok(response)
        }
    })
}

/// Reads the one message of a call.
pub(super) async fn read<M: Message + Default>(request: Request) -> Result<(Identity, M), Status> {
    let identity = identity(request.extensions())?.clone();
    Ok((identity, message_of(request.into_body()).await?))
}

/// Reads the one message of a body.
pub(crate) async fn message_of<M: Message + Default>(body: axum::body::Body) -> Result<M, Status> {
    let body = Limited::new(body, REQUEST_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return invalid(format!("the request has more than {REQUEST_BYTES} bytes"));
        }
        Status::cancelled(format!("the request did not arrive whole: {error}"))
    })?;
    let message = unframed(body.to_bytes())?;
    M::decode(message).map_err(|error| invalid(format!("malformed request: {error}")))
}

/// Takes the prefix off the only message of a body.
pub(crate) fn unframed(mut body: Bytes) -> Result<Bytes, Status> {
    if body.len() < 5 {
        return Err(invalid("the request has no message"));
    }
    if body.get_u8() != 0 {
        return Err(Status::unimplemented("compressed requests are not accepted"));
    }
    let length = usize::try_from(body.get_u32()).unwrap_or(usize::MAX);
    if length != body.len() {
        return Err(invalid("the request is not one whole message"));
    }
    Ok(body)
}
