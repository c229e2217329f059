//! What the promises stand on: hubs to start, callers to call them, states to
//! wait for. No test sleeps: it waits for a state, with a bound.

mod agent;
#[cfg(feature = "aws")]
pub mod aws;
mod caller;
mod calls;
pub mod frames;
pub mod golden;
mod http;
mod hub;
pub mod issuer;
mod model;
mod operator;
mod process;
mod proxy;
mod random;
pub mod raw;
mod sdk;
pub mod signing;
mod store;
mod stream;
mod sync;
mod tls;

pub use agent::Agent;
#[cfg(feature = "aws")]
pub use aws::Aws;
pub use caller::{Caller, text};
pub use calls::{delete, put, secret};
pub use http::http_get;
pub use hub::Hub;
pub use model::view_of;
pub use operator::{Operator, Ran, run};
pub use process::{HubProcess, clean, command, ended};
pub use proxy::Proxy;
pub use random::{pick, seed};
pub use sdk::{client, has, until_state, until_status};
pub use stream::{Event, Stream};
pub use sync::{Syncer, flag_key, put_past_the_hub, toggle};
pub use tls::Certificates;

use std::future::Future;
use std::time::Duration;

/// Longest wait for anything: far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for `future`, but not forever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}
