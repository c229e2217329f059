//! What calls that come over the HTTP port share with those of gRPC: who may call, a
//! place and a pace, a name, and a line in the audit log if they are refused.

use super::Edge;
use super::breaker::Breaker;
pub(crate) use super::call::Place;
use super::governor::{Cost, Kind};
use super::peer::Refusal;
use super::recorded;
use super::status::{fit, limit};
use crate::audit::Call;
use crate::auth::{AuthLayer, Authenticator, Identity, Role};
use crate::clock::Clock;
use crate::metrics::{LimitLabel, Metrics, RefusalLabel};
use crate::tenant::Tenants;
use confhub_proto::ServiceName;
use http::HeaderMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// The way in for calls that are not of gRPC.
pub struct Outside {
    edge: Arc<Edge>,
    door: AuthLayer,
}

/// The other end of a connection of the HTTP port, in the extensions of its requests.
#[derive(Clone)]
pub(crate) struct Guest(Breaker);

impl Guest {
    /// A new connection.
    pub(crate) fn from(address: SocketAddr) -> Self {
        Self(Breaker::to(address))
    }

    /// Whether it was refused too often: it gets its answer, and no more.
    pub(crate) fn is_unwelcome(&self) -> bool {
        self.0.is_tripped()
    }
}

impl Outside {
    /// The way in to this edge, for callers whom `authenticator` knows.
    #[must_use]
    pub fn new(edge: Arc<Edge>, authenticator: Authenticator) -> Self {
        let door = edge.door(authenticator);
        Self { edge, door }
    }

    pub(crate) fn tenants(&self) -> &Tenants {
        &self.edge.tenants
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.edge.clock
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.edge.metrics
    }

    /// A call that has just come in to `method`.
    pub(crate) fn call(&self, headers: &HeaderMap, method: &str, guest: &Guest) -> Call {
        Call::new(recorded::name(headers), method, guest.0.address())
    }

    /// Lets a reader in, and finds a place for its call, in which it has waited for its
    /// turn.
    pub(crate) async fn enter(
        &self,
        headers: &HeaderMap,
        method: &str,
        guest: &Guest,
        call: &Call,
    ) -> Result<(Identity, Place), Status> {
        let caller = self.door.caller(method, Role::Reader, headers, Some(call)).await;
        let identity = caller.map_err(|error| self.door.refuse(method, &error, Some(call)))?;
        let place = self.edge.place(Some(Kind::Call), Some(&identity), &guest.0).await?;
        Ok((identity, place))
    }

    /// The service whose view a caller gets, if it asks for this one (empty: none).
    pub(crate) fn service(&self, identity: &Identity, asked: &str) -> Result<Option<ServiceName>, Status> {
        self.edge.viewed_service(identity, asked)
    }

    /// Counts and records a call that was not done, and gives what its caller may know of
    /// the reason.
    pub(crate) async fn refused(&self, call: &Call, guest: &Guest, status: Status) -> Status {
        if let Some(limit) = limit(&status) {
            self.edge.metrics.limited.get_or_create(&LimitLabel { limit }).inc();
        }
        recorded::tell(&self.edge.audit, call, &status).await;
        let (refusal, reason, why) = match status.code() {
            Code::Unauthenticated => (Refusal::Token, "bad-tokens", "too many requests had no valid token"),
            Code::PermissionDenied | Code::ResourceExhausted => {
                (Refusal::Caller, "refused-calls", "too many requests were refused")
            }
            _ => return fit(&status, call).unwrap_or(status),
        };
        if guest.0.peer().refused(refusal) && !guest.0.is_tripped() {
            self.edge.metrics.broken.get_or_create(&RefusalLabel { reason }).inc();
            guest.0.trip(why);
        }
        status
    }
}

impl Place {
    /// Counts the time for which a core was kept busy.
    pub(crate) fn worked(&self, time: Duration) {
        self.charge(Cost::Time(time));
    }
}
