//! A REST service for many tenants: each request is answered from the snapshot
//! of its own tenant. A pool opens a tenant when a request first needs it; all
//! further requests call nothing on the way.
//!
//! In one terminal a hub: `confhub serve --data-dir ./data`. (`confhub demo
//! --data-dir ./data` does as well: set `CONFHUB_ENDPOINT` to what it prints.)
//! In another one, tokens for two tenants, then the service:
//!
//! ```text
//! export ACME=$(confhub token --data-dir ./data --tenant acme)
//! export GLOBEX=$(confhub token --data-dir ./data --tenant globex)
//! ORDER_TENANTS="acme=$ACME globex=$GLOBEX" cargo run -p confhub-client --example order_service
//! ```
//!
//! In a third one, orders, and a change between them:
//!
//! ```text
//! curl -i localhost:8000/orders -H "authorization: Bearer $ACME" \
//!   -H 'content-type: application/json' -d '{"item": "telescope", "quantity": 3}'
//! export CONFHUB_TOKEN=$(confhub token --data-dir ./data --tenant acme --role writer)
//! confhub put --service order tenant_config_order_limits '{"max_quantity": 2}'
//! confhub put --service order tenant_config_orders_open false
//! curl -s localhost:8000/healthz
//! ```
//!
//! `CONFHUB_ENDPOINT` names another hub, `ORDER_LISTEN` another address, and
//! `ORDER_STATE_DIR` a folder for the last good states, from which tenants are
//! served while the hub is down.
//!
//! The tokens of callers are looked up among the service's own: a stand-in for
//! the service's real authentication, which also ends at "this is tenant X".

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use confhub_client::{Pool, Snapshot, TenantError, TenantId, TenantState, TokenError, TokenRequest, parse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The setting `tenant_config_order_limits`.
#[derive(Debug, Deserialize)]
struct Limits {
    max_quantity: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_quantity: 10 }
    }
}

#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u32,
}

#[derive(Serialize)]
struct Accepted {
    tenant: String,
    item: String,
    quantity: u32,
}

/// What the service has: its tenants' settings, and who calls for which tenant.
#[derive(Clone)]
struct Service {
    pool: Pool,
    callers: Arc<HashMap<String, String>>,
}

type Refusal = (StatusCode, Json<Value>);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = service()?;
    let routes = Router::new()
        .route("/orders", post(order))
        .route("/healthz", get(health))
        .with_state(service.clone());
    let address = env::var("ORDER_LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("{} tenants; orders at http://{}/orders", service.callers.len(), listener.local_addr()?);
    // Both ways in which a service is asked to go. Closing the pool below saves
    // what it knows last.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    service.pool.close().await;
    Ok(())
}

/// Connects to nothing yet: tenants are opened when a request needs them.
fn service() -> Result<Service, Box<dyn Error>> {
    let pairs = env::var("ORDER_TENANTS").map_err(|_| "set ORDER_TENANTS to `name=token name=token …`")?;
    let (mut callers, mut tokens) = (HashMap::new(), HashMap::new());
    for pair in pairs.split_whitespace() {
        let (name, token) = pair.split_once('=').ok_or("ORDER_TENANTS: each tenant is `name=token`")?;
        callers.insert(token.to_owned(), name.to_owned());
        tokens.insert(TenantId::new(name)?, token.to_owned());
    }
    // A real service asks its issuer for the tenant's token here.
    let token_of = move |tenant: TenantId, _: TokenRequest| {
        let token = tokens.get(&tenant).cloned();
        std::future::ready(token.ok_or_else(|| TokenError::new("no such tenant")))
    };
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let mut pool = Pool::builder().endpoint(endpoint).service("order").tokens(token_of);
    if let Ok(folder) = env::var("ORDER_STATE_DIR") {
        pool = pool.disk_folder(folder);
    }
    Ok(Service { pool: pool.build()?, callers: Arc::new(callers) })
}

/// Takes an order, if the tenant's settings of this very moment allow it.
async fn order(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    let tenant = service.tenant_of(&headers)?;
    let settings = service.pool.tenant(tenant).await.map_err(|error| no_settings(&error))?.snapshot();
    if !setting(&settings, "tenant_config_orders_open")?.unwrap_or(true) {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "this shop takes no orders at the moment"));
    }
    let limits: Limits = setting(&settings, "tenant_config_order_limits")?.unwrap_or_default();
    if order.quantity == 0 || order.quantity > limits.max_quantity {
        let range = format!("the quantity is {}; it must be 1 to {}", order.quantity, limits.max_quantity);
        return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, &range));
    }
    let Order { item, quantity } = order;
    Ok((StatusCode::CREATED, Json(Accepted { tenant: tenant.to_owned(), item, quantity })))
}

/// A setting of this snapshot; `None`: there is none.
fn setting<T: DeserializeOwned>(settings: &Snapshot, key: &str) -> Result<Option<T>, Refusal> {
    settings.get(key).map(|entry| parse(entry)).transpose().map_err(|error| {
        eprintln!("{error}");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "this shop is not set up correctly")
    })
}

/// How each tenant's settings stand. The service is healthy as long as it can
/// answer, from stale settings or not; tenants that were not needed are not here.
async fn health(State(service): State<Service>) -> Json<Value> {
    let shown: serde_json::Map<_, _> = service
        .pool
        .tenants()
        .into_iter()
        .map(|one| {
            let shown = match one.state {
                TenantState::Open { status, entries, .. } => {
                    json!({"status": status.to_string(), "entries": entries})
                }
                TenantState::Failed(error) => json!({"error": error.to_string()}),
                _ => json!({"status": "opening"}),
            };
            (one.tenant.to_string(), shown)
        })
        .collect();
    Json(Value::Object(shown))
}

impl Service {
    fn tenant_of(&self, headers: &HeaderMap) -> Result<&str, Refusal> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        let tenant = token.and_then(|token| self.callers.get(token));
        tenant.map(String::as_str).ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "no tenant has this token"))
    }
}

/// What a caller is told when there is no client: enough to come back or not. The
/// reason is for the log.
fn no_settings(error: &TenantError) -> Refusal {
    eprintln!("{error}");
    match error.is_retryable() {
        true => refuse(StatusCode::SERVICE_UNAVAILABLE, "this shop cannot be opened now; try again"),
        false => refuse(StatusCode::FORBIDDEN, "this shop cannot be opened"),
    }
}

fn refuse(code: StatusCode, reason: &str) -> Refusal {
    (code, Json(json!({ "error": reason })))
}
