//! `flagd.sync.v1`: the flags of a view, as flagd's in-process providers take them.
//!
//! A stream of it is one of ours in all but what it says: it has a place in a topic and
//! among the streams of its tenant, and ends when its right to be there does. Its view is
//! that of flags alone, so that no other change wakes it.

use super::Edge;
use super::body::{Ends, Finite, Live};
use super::call::Place;
use super::governor::Cost;
use super::handed::{self, Elsewhere};
use super::stall::Reading;
use super::status::{invalid, over};
use super::subscribe::{Response, answered, read};
use crate::auth::Identity;
use crate::fanout::{End, Frames, Subscriber};
use crate::flagd::{Selector, Sheet, TooLarge};
use crate::tenant::{FollowError, Listener, View};
use bytes::Bytes;
use confhub_flags::Faults;
use confhub_proto::{TenantId, flagd, limits};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

type Request = http::Request<axum::body::Body>;

/// The service that answers `SyncFlags`.
pub(super) fn sync_flags(
    edge: Arc<Edge>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    answered(move |request| {
        let edge = Arc::clone(&edge);
        async move {
            let reading = request.extensions().get::<Arc<Reading>>().cloned().unwrap_or_default();
            let place = request.extensions().get::<Place>().cloned();
            let headers = request.headers().clone();
            let (identity, asked) = read::<flagd::SyncFlagsRequest>(request).await?;
            let selector = Selector::of_call(&headers, &asked.selector).map_err(invalid)?;
            let ends = Ends { expires: edge.expires(&identity)?, oldest: edge.oldest(), reading };
            let (listener, follower, cost) =
                edge.follow_flags(&identity, &selector, &asked.provider_id).await?;
            if let Some(place) = &place {
                place.owe(cost);
            }
            let live = Live::of_flags(listener, follower, ends, Arc::clone(&edge.metrics));
            let mut response = Response::new(Body::new(Elsewhere));
            handed::over(&mut response, live);
            Ok(response)
        }
    })
}

/// The service that answers `FetchAllFlags`: with what a stream would begin with.
pub(super) fn fetch_all_flags(
    edge: Arc<Edge>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    answered(move |request| {
        let edge = Arc::clone(&edge);
        async move {
            let place = request.extensions().get::<Place>().cloned();
            let headers = request.headers().clone();
            let (identity, asked) = read::<flagd::FetchAllFlagsRequest>(request).await?;
            let selector = Selector::of_call(&headers, &asked.selector).map_err(invalid)?;
            let expires = edge.expires(&identity)?;
            if let Some(place) = &place {
                place.paid().await?;
            }
            let (mut listener, mut follower, cost) =
                edge.follow_flags(&identity, &selector, &asked.provider_id).await?;
            let message = poll_fn(|cx| follower.poll_next(&mut listener.subscriber, cx)).await;
            let message = message.map_err(|over| match over {
                Over::Ended(End::Drain) => Status::unavailable("the hub is shutting down"),
                Over::Ended(End::TooLarge) => Status::resource_exhausted(TENANT_TOO_LARGE),
                Over::TooLarge(error) => self::over("message", error.to_string(), None),
            })?;
            if let Some(place) = &place {
                place.charge(cost);
                place.charge(Cost::Shared(message.len()));
            }
            Ok(Response::new(Body::new(Finite::new(Frames::one(message), expires))))
        }
    })
}

/// The service that answers `GetMetadata`, which providers ask for before all else.
pub(super) fn get_metadata()
-> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    answered(|_| async { Err(Status::unimplemented("`GetMetadata` is deprecated: there is no metadata")) })
}

/// A tenant that has grown over its limits.
pub(super) const TENANT_TOO_LARGE: &str =
    "the tenant has grown over `limits.tenant-entries` or `limits.tenant-bytes`";

impl Edge {
    /// Follows the flags that a caller asks for. What it costs is counted where they were
    /// followed by nobody before.
    async fn follow_flags(
        &self,
        identity: &Identity,
        selector: &Selector,
        provider: &str,
    ) -> Result<(Listener, Follower, Cost), Status> {
        if provider.len() > limits::CLIENT_INFO_BYTES {
            let most = limits::CLIENT_INFO_BYTES;
            return Err(invalid(format!("`provider_id` has more than {most} bytes")));
        }
        if let (Some(own), Some(asked)) = (&identity.service, &selector.service)
            && own != asked
        {
            return Err(Status::permission_denied("the token is limited to the flags of its own service"));
        }
        let asked = selector.service.as_ref().map_or("", |service| service.as_str());
        let service = self.viewed_service(identity, asked)?;
        let view = View::new(service.clone(), selector.prefixes().map_err(invalid)?);
        let mut listener = self.tenants.follow(&identity.tenant, view.clone(), None).await?;
        let sheet = self.sheets.get(&identity.tenant, view, &selector.names, self)?;
        let service = service.map_or_else(String::new, |service| service.to_string());
        tracing::debug!(tenant = %identity.tenant, service, subject = %identity.subject,
            provider, names = selector.names, "flags are followed");
        if sheet.is_written() {
            return Ok((listener, Follower { sheet, seen: 0 }, Cost::Read(0)));
        }
        // Thousands of flags may have to be checked, and others wait for the same.
        let written = tokio::task::spawn_blocking(move || {
            let read = sheet.write(|cx| listener.subscriber.poll_state(cx));
            (listener, Follower { sheet, seen: 0 }, Cost::Read(read))
        });
        written.await.map_err(|_| Status::internal("the flags could not be checked: see the log of the hub"))
    }
}

/// One who follows a sheet: which edition it was sent last.
pub(super) struct Follower {
    sheet: Arc<Sheet>,
    seen: u64,
}

/// Why a follower gets no more.
#[derive(Debug)]
pub(super) enum Over {
    /// Its topic has ended.
    Ended(End),
    /// There is more than its reader would take.
    TooLarge(TooLarge),
}

impl Follower {
    /// The next document as a message, when there is another than the last one.
    /// `subscriber` is the one that it was made with.
    pub(super) fn poll_next(
        &mut self,
        subscriber: &mut Subscriber,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Over>> {
        let mut page = self.sheet.open();
        // Others may have brought this state before, or a newer one: then nothing changes.
        while let Poll::Ready(state) = subscriber.poll_state(cx) {
            match state {
                Ok(state) => self.sheet.update(&mut page, &state),
                Err(end) => return Poll::Ready(Err(Over::Ended(end))),
            }
        }
        if self.seen == page.edition() {
            return Poll::Pending;
        }
        self.seen = page.edition();
        Poll::Ready(page.message().map_err(Over::TooLarge))
    }
}

/// The sheets that somebody follows.
#[derive(Default)]
pub struct Sheets(Mutex<Open>);

#[derive(Default)]
struct Open {
    tenants: HashMap<TenantId, HashMap<(View, String), Weak<Sheet>>>,
    /// How often one was asked for since those were removed that nobody follows.
    asked: usize,
}

impl Sheets {
    /// The sheet of a view and of names that begin so, which lives as long as somebody
    /// holds it.
    fn get(
        &self,
        tenant: &TenantId,
        view: View,
        names: &str,
        edge: &Edge,
    ) -> Result<Arc<Sheet>, FollowError> {
        let followed = |sheet: &Weak<Sheet>| sheet.strong_count() > 0;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.asked += 1;
        if open.asked > open.tenants.len() {
            open.asked = 0;
            open.tenants.retain(|_, sheets| sheets.values().any(followed));
        }
        let sheets = open.tenants.entry(tenant.clone()).or_default();
        let key = (view, names.to_owned());
        if let Some(sheet) = sheets.get(&key).and_then(Weak::upgrade) {
            return Ok(sheet);
        }
        sheets.retain(|_, sheet| followed(sheet));
        // Several sheets can be of one view, so that the limit on those is not enough.
        let limit = edge.limits.views_per_tenant;
        if sheets.len() >= limit {
            return Err(FollowError::Views { limit });
        }
        let (tenant, metrics) = (tenant.clone(), Arc::clone(&edge.metrics));
        let on_bad = move |bad: &[Faults]| {
            metrics.bad_flags.inc_by(bad.len() as u64);
            let first = bad.first().map(Faults::without_values).unwrap_or_default();
            tracing::warn!(%tenant, error = first, entries = bad.len(),
                "flags are bad, and are sent to providers as they were, or not at all");
        };
        let sheet = Arc::new(Sheet::new(names, edge.metrics.encodings.clone(), on_bad));
        sheets.insert(key, Arc::downgrade(&sheet));
        Ok(sheet)
    }
}
