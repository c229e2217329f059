//! A service starts while no hub can be reached, from its last good state, and
//! says so.

use crate::support::{Hub, client, has, secret, soon, until_state, until_status};
use confhub_client::{Builder, Client, Error, Status};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A hub that was there and is not, and what it left: its folder, its address,
/// and a token for it.
struct Gone {
    folder: Arc<TempDir>,
    endpoint: String,
    token: String,
    address: std::net::SocketAddr,
}

#[tokio::test]
async fn a_client_starts_from_disk_and_becomes_ready_when_the_hub_comes() {
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join("acme.state");
    let gone = leave_a_state(&file).await;

    let client = gone.client(&file).connect().await.unwrap();
    match client.status() {
        Status::Stale { from_disk: Some(_), reason, .. } => {
            assert!(reason.contains("cannot reach"), "{reason}")
        }
        other => panic!("{other} instead of stale, from disk"),
    }
    assert!(has(&client.snapshot(), "tenant_config_a", "1"));
    assert_eq!(client.typed::<u32>("tenant_config_a").unwrap().load_full(), 1.into());

    let hub = Hub::start_on(Arc::clone(&gone.folder), |settings| settings.listen = gone.address).await;
    until_status(&client, "the hub to be back", Status::is_ready).await;
    assert_eq!(client.stats().updates, 0, "it has the hub's state already: nothing was sent");
    hub.caller("acme").await.put("tenant_config_a", "2").await.unwrap();
    until_state(&client, "the change", |state| has(state, "tenant_config_a", "2")).await;
    assert_eq!(client.stats().resets, 0);
}

#[tokio::test]
async fn without_a_hub_and_without_a_file_there_is_no_client() {
    let disk = tempfile::tempdir().unwrap();
    let gone = leave_a_state(&disk.path().join("acme.state")).await;
    let none = gone.client(&disk.path().join("none")).connect_timeout(Duration::from_millis(200));
    let error = none.connect().await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { .. }) && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains(&gone.endpoint), "{error}");
}

#[tokio::test]
async fn another_tenants_file_and_a_damaged_one_are_refused() {
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join("state");
    let gone = leave_a_state(&file).await;
    let saved = std::fs::read(&file).unwrap();
    let no_state = async |builder: Builder| {
        let error = builder.connect_timeout(Duration::from_millis(200)).connect().await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { .. }), "{error:?}");
    };
    let hub = Hub::start_on(Arc::clone(&gone.folder), |_| {}).await;
    let foreign = hub.token("globex");
    drop(hub);
    no_state(gone.client(&file).token(foreign)).await;
    no_state(gone.client(&file).service("cart")).await;
    for bit in [8 * 4, 8 * 20, 8 * (saved.len() / 2), 8 * (saved.len() - 1)] {
        let mut damaged = saved.clone();
        damaged[bit / 8] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        no_state(gone.client(&file)).await;
    }
    std::fs::write(&file, &saved[..saved.len() / 2]).unwrap();
    no_state(gone.client(&file)).await;
    std::fs::write(&file, &saved).unwrap();
    assert_eq!(gone.client(&file).connect().await.unwrap().snapshot().len(), 2, "the file itself is good");
}

#[tokio::test]
async fn the_file_is_the_owners_alone_and_has_no_secret() {
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join("acme.state");
    drop(leave_a_state(&file).await);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let bytes = std::fs::read(&file).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("param_config_password"), "the key of the secret");
    assert!(!holds("hunter2"), "its value");
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 1, "no unfinished file");
}

/// Has a client keep the state of a hub in `file`; then both go.
async fn leave_a_state(file: &Path) -> Gone {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put_content("param_config_password", secret("hunter2")).await.unwrap();
    let saving = client(&hub, "acme").disk(file).connect().await.unwrap();
    writer.put("tenant_config_a", "1").await.unwrap();
    until_state(&saving, "the change", |state| state.len() == 2).await;
    soon("the file", saving.close()).await;
    assert!(saving.stats().disk_writes >= 1);
    let (endpoint, token, address) = (hub.endpoint(), hub.token("acme"), hub.addresses.grpc);
    drop(writer);
    Gone { folder: hub.stop().await, endpoint, token, address }
}

impl Gone {
    fn client(&self, disk: &Path) -> Builder {
        let soon = Duration::from_millis(50);
        Client::builder().endpoint(&self.endpoint).token(&self.token).disk(disk).fallback_after(soon)
    }
}
