//! The SDK against a hub.

use super::{Hub, soon};
use confhub_client::{Builder, Client, Snapshot, Status};

/// A client of a tenant, described but not connected.
pub fn client(hub: &Hub, tenant: &str) -> Builder {
    Client::builder().endpoint(hub.endpoint()).token(hub.token(tenant))
}

/// Waits until a client's state is as wanted.
pub async fn until_state(client: &Client, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
    let mut changes = client.changes();
    let reached = async {
        while !wanted(&client.snapshot()) {
            assert!(changes.next().await.is_some(), "the client closed before {what}");
        }
    };
    soon(what, reached).await;
}

/// Waits until a client stands as wanted.
pub async fn until_status(client: &Client, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    soon(what, client.watch_status().wait_for(wanted)).await.unwrap()
}

/// Whether the value of a key is this text.
pub fn has(state: &Snapshot, key: &str, value: &str) -> bool {
    state.get(key).is_some_and(|entry| entry.value() == value.as_bytes())
}
