//! The HTTP port: health, metrics, and the keys of the development issuer.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 while the hub takes streams; 503 with the reason before and after |
//! | `/metrics` | what [`crate::metrics`] counts |
//! | `/.well-known/jwks.json` | public keys of the development issuer, if it is in use |

use crate::backend::Router as Backends;
use crate::metrics::Metrics;
use crate::tenant::Tenants;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;

/// What the answers are made of.
pub struct Health {
    /// Whether the hub takes streams.
    pub ready: AtomicBool,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The tenants in memory.
    pub tenants: Tenants,
    /// The backends.
    pub backends: Backends,
    /// Public keys of the development issuer.
    pub dev_jwks: Option<Value>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(health);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    if !health.ready.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or shutting down\n").into_response();
    }
    for backend in health.backends.backends() {
        if let Err(error) = backend.check().await {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response();
        }
    }
    "ok\n".into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    health.tenants.measure();
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, open_metrics)], health.metrics.text()).into_response()
}

async fn jwks(State(health): State<Arc<Health>>) -> Response {
    match &health.dev_jwks {
        Some(keys) => Json(keys).into_response(),
        None => (StatusCode::NOT_FOUND, "the development issuer is not in use\n").into_response(),
    }
}
