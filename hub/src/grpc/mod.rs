//! The wire's edge: what a call asks, and what goes back.
//!
//! `Subscribe` and `GetSnapshot` are answered with frames that were encoded
//! once for all (`body`); every other method is tonic's. The auth layer stands
//! in front of all of them and leaves an `Identity` in the request, from which
//! alone the tenant is read.

mod access;
mod admin;
mod body;
mod call;
mod connection;
mod frames_meter;
mod governor;
mod peer;
mod reads;
mod recorded;
mod request;
mod revealed;
pub(crate) mod single;
mod stall;
mod status;
mod strangers;
pub(crate) mod subscribe;

pub use connection::Connections;
pub use governor::Governor;
pub use stall::Watch;

use crate::admission::Admission;
use crate::audit::Audit;
use crate::auth::{AuthError, AuthLayer, Authenticator};
use crate::backend::Router;
use crate::clock::Clock;
use crate::config::{LimitSettings, TimeSettings, WithoutService};
use crate::metrics::{Metrics, RefusalLabel};
use crate::source::SourceHealth;
use crate::tenant::Tenants;
use confhub_proto::TenantId;
use confhub_proto::limits::REQUEST_BYTES;
use confhub_proto::wire;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::Instant;
use tonic::service::Routes;
use tower::util::MapRequestLayer;
use wire::access_service_server::AccessServiceServer;
use wire::admin_service_server::AdminServiceServer;
use wire::config_service_server::ConfigServiceServer;

/// The version that the hub tells its callers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Silence on a connection after which the hub asks whether anyone is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long it waits for that answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls that were reset by their caller before the hub had taken them up, or by the
/// hub for a mistake in them, before HTTP/2 ends the connection: what the library
/// takes by default, said here since rapid resets are refused by it (CVE-2023-44487).
/// What it does not see, resets of calls already taken up, the meter of frames does.
const PENDING_RESETS: usize = 64;
const MISTAKEN_CALLS: usize = 1_024;

/// Largest headers of one call, in bytes: a token and what proxies add.
const HEADER_BYTES: u32 = 16 * 1024;

/// What all calls share.
pub struct Edge {
    /// The tenants in memory.
    pub tenants: Tenants,
    /// The backends.
    pub router: Router,
    /// Bounds.
    pub limits: LimitSettings,
    /// Times.
    pub times: TimeSettings,
    /// Wall-clock time.
    pub clock: Clock,
    /// Who is let in.
    pub admission: Admission,
    /// What a token without a service may see.
    pub without_service: WithoutService,
    /// The operators' own tenant.
    pub operators: Option<TenantId>,
    /// Who did what.
    pub audit: Audit,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// When the hub started.
    pub started: Instant,
    /// Places for single calls.
    pub calls: Arc<Semaphore>,
    /// Places for reads of a whole tenant.
    pub bulk_reads: Arc<Semaphore>,
    /// What each tenant has under way, and how fast it calls.
    pub governor: Governor,
    /// Looks after readers that have stopped reading.
    pub watch: Arc<Watch>,
    /// Writes that are under way hold it for reading.
    pub writes: Arc<RwLock<()>>,
    /// The change source, if one runs: its kind, and how it stands.
    pub source: Option<(&'static str, SourceHealth)>,
}

/// Serves calls until `shutdown`, then lets those that are open finish.
///
/// # Errors
/// If the transport cannot be set up.
pub async fn serve(
    edge: Arc<Edge>,
    auth: Authenticator,
    health: Routes,
    connections: Connections,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let refusals = edge.metrics.refusals.clone();
    let count = move |error: &AuthError| {
        refusals.get_or_create(&RefusalLabel { reason: error.reason() }).inc();
    };
    let strangers = Arc::clone(&edge.metrics);
    let auth = AuthLayer::new(auth, edge.admission.clone()).on_refusal(Arc::new(count));
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(u32::try_from(edge.limits.streams_per_connection).unwrap_or(u32::MAX))
        .http2_max_header_list_size(HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MISTAKEN_CALLS))
        .layer(recorded::RecordedLayer(edge.audit.clone()))
        .layer(strangers::StrangersLayer(strangers))
        .layer(auth)
        .add_routes(routes(edge, health)?)
        .serve_with_incoming_shutdown(connections, shutdown)
        .await
        .map_err(io::Error::other)
}

fn routes(edge: Arc<Edge>, health: Routes) -> io::Result<Routes> {
    let config = ConfigServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let admin = AdminServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let access = AccessServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let v1 = reflection.build_v1().map_err(io::Error::other)?;
    // Older tools ask for the version before 1.
    let v1alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()
        .map_err(io::Error::other)?;
    let router = health
        .add_service(config)
        .add_service(admin)
        .add_service(access)
        .add_service(v1)
        .add_service(v1alpha)
        .prepare()
        .into_axum_router()
        .layer(MapRequestLayer::new(single::single))
        .route_service(wire::SUBSCRIBE_PATH, subscribe::subscribe(Arc::clone(&edge)))
        .route_service(wire::GET_SNAPSHOT_PATH, subscribe::get_snapshot(Arc::clone(&edge)))
        .layer(axum::middleware::from_fn_with_state(edge, call::around));
    Ok(Routes::from(router))
}
