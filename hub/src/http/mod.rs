//! The HTTP port: health, metrics, the keys of the development issuer, and evaluation of
//! flags for those who hold no stream.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 while the hub takes streams, with what is wrong beside; 503 with the reason before and after |
//! | `/metrics` | what [`crate::metrics`] counts |
//! | `/.well-known/jwks.json` | public keys of the development issuer, if it is in use |
//! | `/ofrep/v1/…` | flags, for whoever has a token: [`crate::ofrep`] |
//!
//! The others answer whoever asks, and tell nothing of a tenant.

mod serve;

use crate::admission::Admission;
use crate::backend::Router as Backends;
use crate::metrics::{BackendLabel, Metrics};
use crate::source::{SourceHealth, SourceStatus};
use crate::tenant::Tenants;
use crate::tls::Listener;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the answers are made of.
pub struct Health {
    /// Whether the hub takes streams.
    pub ready: AtomicBool,
    /// Whether every backend has answered at some time.
    pub answered: AtomicBool,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The tenants in memory.
    pub tenants: Tenants,
    /// The backends.
    pub backends: Backends,
    /// Who is let in.
    pub admission: Admission,
    /// The change source, if there is one.
    pub source: Option<SourceHealth>,
    /// Public keys of the development issuer.
    pub dev_jwks: Option<Value>,
}

/// Serves what there is about the hub, and `ofrep`, until `shutdown`.
pub async fn serve(
    listener: Listener,
    health: Arc<Health>,
    ofrep: Router,
    connections: usize,
    shutdown: impl Future<Output = ()>,
) {
    let metrics = Arc::clone(&health.metrics);
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(self::metrics))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(health)
        .merge(ofrep);
    serve::serve(listener, routes, connections, metrics, shutdown).await;
}

/// A store that fails makes a hub not ready if it is the hub's own, or if none has
/// answered since the start: another hub may do better. An outage of a shared store
/// does not: every hub has it, and each serves the tenants that it has in memory.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let unready =
        |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response();
    if !health.ready.load(Ordering::SeqCst) {
        return unready("starting or shutting down");
    }
    let mut wrong = Vec::new();
    let backends = health.backends.backends();
    // All at a time: whoever probes does not wait long.
    let checks = join_all(backends.iter().map(|backend| backend.check())).await;
    for (backend, check) in backends.iter().zip(checks) {
        let up = i64::from(check.is_ok());
        health.metrics.backend_up.get_or_create(&BackendLabel { backend: backend.kind() }).set(up);
        if let Err(error) = check {
            if !backend.nature().metered || !health.answered.load(Ordering::SeqCst) {
                return unready(&error.to_string());
            }
            wrong.push(error.to_string());
        }
    }
    if !health.admission.is_ready() {
        return unready("who is let in has not been read yet");
    }
    if wrong.is_empty() {
        health.answered.store(true, Ordering::SeqCst);
    }
    // Without it a hub is current within a sweep: no reason to go elsewhere.
    let source = health.source.as_ref().map(SourceHealth::status);
    if let Some(SourceStatus { since, failure: Some(failure) }) = source {
        let seconds = since.elapsed().as_secs();
        wrong.push(format!("the change source has been failing for {seconds} s: {failure}"));
    }
    if wrong.is_empty() {
        return "ok\n".into_response();
    }
    format!("ok, but degraded: {}\n", wrong.join("; ")).into_response()
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
