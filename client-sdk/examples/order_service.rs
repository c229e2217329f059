//! A REST service for many tenants: each request is answered from the snapshot
//! of its own tenant, with no call to anything on the way.
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
//! `ORDER_STATE_DIR` a folder for the last good states, from which the service
//! starts while the hub is down.
//!
//! The tokens of callers are looked up among the service's own: a stand-in for
//! the service's real authentication, which also ends at "this is tenant X".

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use confhub_client::{Client, Typed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Most tenants of one process: each has a stream and a state in memory.
const MAX_TENANTS: usize = 64;

/// What the service knows of one tenant: all of it current, all of it in memory.
struct Tenant {
    name: String,
    client: Client,
    limits: Typed<Limits>,
    open: Typed<bool>,
}

/// The setting `tenant_config_order_limits`.
#[derive(Debug, Deserialize)]
struct Limits {
    max_quantity: u32,
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

/// Tenants by the token of their callers.
type Tenants = Arc<HashMap<String, Tenant>>;

type Refusal = (StatusCode, Json<Value>);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tenants: Tenants = Arc::new(connect_all().await?);
    let routes = Router::new()
        .route("/orders", post(order))
        .route("/healthz", get(health))
        .with_state(Arc::clone(&tenants));
    let address = env::var("ORDER_LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("{} tenants; orders at http://{}/orders", tenants.len(), listener.local_addr()?);
    // Both ways in which a service is asked to go. Closing the clients below
    // saves what they know last.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    for tenant in tenants.values() {
        tenant.client.close().await;
    }
    Ok(())
}

async fn connect_all() -> Result<HashMap<String, Tenant>, Box<dyn Error>> {
    let pairs = env::var("ORDER_TENANTS").map_err(|_| "set ORDER_TENANTS to `name=token name=token …`")?;
    let mut tenants = HashMap::new();
    for pair in pairs.split_whitespace() {
        let (name, token) = pair.split_once('=').ok_or("ORDER_TENANTS: each tenant is `name=token`")?;
        if tenants.len() == MAX_TENANTS {
            return Err(format!("ORDER_TENANTS: at most {MAX_TENANTS} tenants").into());
        }
        tenants.insert(token.to_owned(), connect(name, token).await?);
    }
    Ok(tenants)
}

/// One client per tenant: what it can see is decided by its token.
async fn connect(name: &str, token: &str) -> Result<Tenant, confhub_client::Error> {
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let mut builder = Client::builder().endpoint(endpoint).token(token).service("order");
    if let Ok(folder) = env::var("ORDER_STATE_DIR") {
        builder = builder.disk(format!("{folder}/{name}.state"));
    }
    let client = builder.connect().await?;
    println!("{name}: {}, {} entries", client.status(), client.snapshot().len());
    Ok(Tenant {
        name: name.to_owned(),
        limits: client.typed_or("tenant_config_order_limits", Limits { max_quantity: 10 }),
        open: client.typed_or("tenant_config_orders_open", true),
        client,
    })
}

/// Takes an order, if the tenant's settings of this very moment allow it.
async fn order(
    State(tenants): State<Tenants>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    let tenant = tenant_of(&tenants, &headers)?;
    if !*tenant.open.load() {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "this shop takes no orders at the moment"));
    }
    let limits = tenant.limits.load();
    if order.quantity == 0 || order.quantity > limits.max_quantity {
        let range = format!("the quantity is {}; it must be 1 to {}", order.quantity, limits.max_quantity);
        return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, &range));
    }
    let Order { item, quantity } = order;
    Ok((StatusCode::CREATED, Json(Accepted { tenant: tenant.name.clone(), item, quantity })))
}

/// How each tenant's configuration stands. The service is healthy as long as it
/// has one to answer from, stale or not.
async fn health(State(tenants): State<Tenants>) -> (StatusCode, Json<Value>) {
    let closed = tenants.values().any(|tenant| tenant.client.status().is_closed());
    let shown: serde_json::Map<_, _> = tenants
        .values()
        .map(|Tenant { name, client, limits, .. }| {
            let error = limits.error().map(|error| error.to_string());
            let status = client.status().to_string();
            let cursor = client.cursor().to_string();
            (name.clone(), json!({"status": status, "cursor": cursor, "limits_error": error}))
        })
        .collect();
    let code = if closed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(Value::Object(shown)))
}

fn tenant_of<'a>(tenants: &'a Tenants, headers: &HeaderMap) -> Result<&'a Tenant, Refusal> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    token
        .and_then(|token| tenants.get(token))
        .ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "no tenant has this token"))
}

fn refuse(code: StatusCode, reason: &str) -> Refusal {
    (code, Json(json!({ "error": reason })))
}
