//! Coming back is the normal path: nothing is lost, and nothing is sent twice.

use crate::support::{Hub, Proxy, client, has, soon, until_state, until_status};
use confhub_client::{Client, Status, TokenError, TokenRequest, TokenSource};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

#[tokio::test]
async fn a_restarted_hub_sends_no_entry_that_is_unchanged() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..100 {
        writer.put(&format!("tenant_config_{i}"), "1").await.unwrap();
    }
    let client = client(&hub, "acme").connect().await.unwrap();
    assert_eq!((client.stats().updates, client.snapshot().len()), (1, 100));
    let (address, cursor) = (hub.addresses.grpc, client.cursor());
    drop(writer);
    let folder = hub.stop().await;
    until_status(&client, "the loss of the hub", Status::is_stale).await;

    let hub = Hub::start_on(folder, |settings| settings.listen = address).await;
    until_status(&client, "the hub to be back", Status::is_ready).await;
    assert_eq!((client.stats().updates, client.stats().reconnects), (1, 1), "nothing was sent again");
    assert_eq!(client.cursor(), cursor);
    hub.caller("acme").await.put("tenant_config_0", "2").await.unwrap();
    until_state(&client, "the change", |state| has(state, "tenant_config_0", "2")).await;
    assert_eq!((client.stats().updates, client.stats().resets), (2, 1));
}

#[tokio::test]
async fn a_hub_that_drains_is_left_for_another_with_nothing_sent_again() {
    let (one, two) = twins().await;
    let endpoints = [one.endpoint(), two.endpoint()];
    let builder = endpoints.iter().fold(Client::builder(), |builder, url| builder.endpoint(url));
    let client = builder.token(one.token("acme")).connect().await.unwrap();
    assert_eq!((client.stats().updates, client.snapshot().len()), (1, 20));

    let (left, other) = if one.metric("confhub_streams").await > 0.0 { (one, two) } else { (two, one) };
    assert!(other.metric("confhub_streams").await < 1.0, "a client listens to one hub");
    left.stop().await;
    other.until_metric("confhub_streams", |streams| streams > 0.0).await;
    until_status(&client, "the other hub", Status::is_ready).await;
    assert_eq!(
        (client.stats().updates, client.stats().reconnects),
        (1, 1),
        "the cursor means the same there"
    );
    other.caller("acme").await.put("tenant_config_0", "2").await.unwrap();
    until_state(&client, "a change at the other hub", |state| has(state, "tenant_config_0", "2")).await;
}

#[tokio::test]
async fn a_dead_endpoint_among_several_does_not_matter() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut tried_dead_first = false;
    for seed in 0..8 {
        let several = client(&hub, "acme").endpoint(format!("http://{dead}")).seed(seed);
        let client = several.connect().await.unwrap();
        assert!(client.status().is_ready() && client.get("tenant_config_a").is_some());
        tried_dead_first |= client.stats().attempts > 1;
    }
    assert!(tried_dead_first, "the order is random");
}

#[tokio::test]
async fn silence_is_noticed_and_left_behind() {
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(100)).await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let mut proxy = Proxy::to(hub.addresses.grpc).await;
    let client =
        Client::builder().endpoint(proxy.endpoint()).token(hub.token("acme")).connect().await.unwrap();
    proxy.until_connections(1).await;
    let mut status = client.watch_status();

    proxy.silence();
    writer.put("tenant_config_a", "2").await.unwrap();
    match soon("the silence to be noticed", status.wait_for(Status::is_stale)).await.unwrap() {
        Status::Stale { reason, from_disk: None, .. } => assert!(reason.contains("silent"), "{reason}"),
        other => panic!("{other}"),
    }
    proxy.until_connections(2).await;
    until_status(&client, "a new connection", Status::is_ready).await;
    until_state(&client, "what was missed", |state| has(state, "tenant_config_a", "2")).await;
    assert_eq!((client.stats().updates, client.stats().resets), (2, 1), "only what was missed was sent");
}

#[tokio::test]
async fn the_last_handle_ends_the_clients_task() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let client = client(&hub, "acme").connect().await.unwrap();
    let (handle, clone, mut status) =
        (client.typed::<u32>("tenant_config_a").unwrap(), client.clone(), client.watch_status());
    drop(client);
    let mut watch = clone.watch("tenant_config_a");
    drop(clone);
    writer.put("tenant_config_a", "2").await.unwrap();
    soon("the watch keeps it alive", watch.changed()).await.unwrap();
    drop(watch);
    assert!(hub.metric("confhub_streams").await > 0.0);
    assert_eq!(handle.load_full(), 2.into(), "the handle keeps it alive");
    drop(handle);
    hub.until_metric("confhub_streams", |streams| streams < 1.0).await;
    soon("the end to be told", status.wait_for(Status::is_closed)).await.unwrap();
}

/// Hands out tokens of three seconds, and counts those that had to be new.
struct ShortLived {
    hub: Arc<Hub>,
    renewed: Arc<AtomicUsize>,
}

impl TokenSource for ShortLived {
    async fn token(&self, request: TokenRequest) -> Result<String, TokenError> {
        self.renewed.fetch_add(usize::from(request.renew), Ordering::SeqCst);
        Ok(self.hub.token_of("acme", None, &[], Duration::from_secs(3)))
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_and_the_state_is_kept() {
    let hub = Arc::new(Hub::start().await);
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    let renewed = Arc::new(AtomicUsize::new(0));
    let source = ShortLived { hub: Arc::clone(&hub), renewed: Arc::clone(&renewed) };
    let client = Client::builder().endpoint(hub.endpoint()).token_source(source).connect().await.unwrap();
    let reconnected = async {
        while client.stats().reconnects == 0 {
            assert!(client.status().is_ready(), "nothing is wrong: {}", client.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the new token", reconnected).await;
    assert!(renewed.load(Ordering::SeqCst) >= 1);
    until_status(&client, "the new stream", Status::is_ready).await;
    assert_eq!(client.stats().updates, 1, "nothing was sent again");
}

/// Two hubs with the same entries that accept the same tokens.
async fn twins() -> (Hub, Hub) {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 0..20 {
        writer.put(&format!("tenant_config_{i}"), "1").await.unwrap();
    }
    drop(writer);
    let folder = hub.stop().await;
    let copy = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    (Hub::start_on(folder, |_| {}).await, Hub::start_on(Arc::new(copy), |_| {}).await)
}
