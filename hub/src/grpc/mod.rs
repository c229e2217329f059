//! The wire's edge: what a call asks, and what goes back.
//!
//! `Subscribe` and `GetSnapshot`, and flagd's streams (`flags`), are answered with frames
//! that were encoded once for all (`body`); every other method is tonic's. The auth layer stands
//! in front of all of them and leaves an `Identity` in the request, from which
//! alone the tenant is read.

mod access;
mod admin;
mod alarm;
mod body;
mod breaker;
mod call;
mod connection;
mod deadline;
mod driver;
mod flag_check;
mod flags;
mod fleet;
mod frames_meter;
mod governor;
mod handed;
mod http2;
pub(crate) mod local;
mod marks;
mod opening;
mod outgoing;
pub(crate) mod outside;
mod pace;
mod peer;
mod reads;
pub(crate) mod recorded;
mod request;
mod revealed;
mod rollout;
mod server;
pub(crate) mod single;
mod stall;
mod status;
mod strangers;
pub(crate) mod subscribe;
mod turn;

pub use connection::Connections;
pub use flag_check::FlagTurns;
pub use flags::Sheets;
pub use governor::Governor;
pub use outside::Outside;
pub use stall::Watch;

use crate::admission::Admission;
use crate::audit::Audit;
use crate::auth::{AuthError, AuthLayer, Authenticator};
use crate::backend::Router;
use crate::clock::Clock;
use crate::config::{LimitSettings, TimeSettings, WithoutService};
use crate::fleet::Everywhere;
use crate::metrics::{Metrics, RefusalLabel};
use crate::rollout::Driver;
use crate::source::SourceHealth;
use crate::tenant::Tenants;
use confhub_proto::TenantId;
use confhub_proto::limits::REQUEST_BYTES;
use confhub_proto::{flagd, wire};
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::Instant;
use tonic::service::Routes;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use wire::access_service_server::AccessServiceServer;
use wire::admin_service_server::AdminServiceServer;
use wire::config_service_server::ConfigServiceServer;
use wire::fleet_service_server::FleetServiceServer;
use wire::rollout_service_server::RolloutServiceServer;

/// The version that the hub tells its callers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What all calls share.
pub struct Edge {
    /// The tenants in memory.
    pub tenants: Tenants,
    /// The backends.
    pub router: Router,
    /// What instances have applied, on all hubs.
    pub fleet: Everywhere,
    /// What drives rollouts.
    pub rollouts: Driver,
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
    /// Flags that are followed as flagd's providers do.
    pub sheets: Sheets,
    /// Looks after readers that have stopped reading.
    pub watch: Arc<Watch>,
    /// Writes that are under way hold it for reading.
    pub writes: Arc<RwLock<()>>,
    /// Whose turn it is to write flags.
    pub flag_turns: FlagTurns,
    /// The change source, if one runs: its kind, and how it stands.
    pub source: Option<(&'static str, SourceHealth)>,
}

/// Serves calls until `shutdown`, then lets those that are open finish.
///
/// # Errors
/// If the services cannot be described for reflection.
pub async fn serve(
    edge: Arc<Edge>,
    auth: Authenticator,
    health: Routes,
    connections: Connections,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let strangers = Arc::clone(&edge.metrics);
    let auth = edge.door(auth);
    let streams = edge.limits.streams_per_connection;
    let service = ServiceBuilder::new()
        .layer(recorded::RecordedLayer(edge.audit.clone(), Arc::clone(&edge.metrics)))
        .layer(strangers::StrangersLayer(strangers))
        .layer(auth)
        .service(routes(Arc::clone(&edge), health)?);
    let metrics = Arc::clone(&edge.metrics);
    server::serve(connections, streams, service, metrics, shutdown).await;
    Ok(())
}

impl Edge {
    /// Lets callers in whom `auth` knows, and counts those who are refused.
    fn door(&self, auth: Authenticator) -> AuthLayer {
        let refusals = self.metrics.refusals.clone();
        let count = move |error: &AuthError| {
            refusals.get_or_create(&RefusalLabel { reason: error.reason() }).inc();
        };
        AuthLayer::new(auth, self.admission.clone()).on_refusal(Arc::new(count))
    }
}

fn routes(edge: Arc<Edge>, health: Routes) -> io::Result<Routes> {
    let config = ConfigServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let admin = AdminServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let access = AccessServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let fleet = FleetServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let rollout = RolloutServiceServer::from_arc(Arc::clone(&edge)).max_decoding_message_size(REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(flagd::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let v1 = reflection.build_v1().map_err(io::Error::other)?;
    // Older tools ask for the version before 1.
    let v1alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(flagd::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()
        .map_err(io::Error::other)?;
    let router = health
        .add_service(config)
        .add_service(admin)
        .add_service(access)
        .add_service(fleet)
        .add_service(rollout)
        .add_service(v1)
        .add_service(v1alpha)
        .prepare()
        .into_axum_router()
        .layer(MapRequestLayer::new(single::single))
        .route_service(wire::SUBSCRIBE_PATH, subscribe::subscribe(Arc::clone(&edge)))
        .route_service(wire::GET_SNAPSHOT_PATH, subscribe::get_snapshot(Arc::clone(&edge)))
        .route_service(flagd::SYNC_FLAGS_PATH, flags::sync_flags(Arc::clone(&edge)))
        .route_service(flagd::FETCH_ALL_FLAGS_PATH, flags::fetch_all_flags(Arc::clone(&edge)))
        .route_service(flagd::GET_METADATA_PATH, flags::get_metadata())
        .layer(axum::middleware::from_fn_with_state(edge, call::around));
    Ok(Routes::from(router))
}
