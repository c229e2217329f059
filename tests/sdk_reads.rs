//! What a program reads from the SDK is what the hub holds.

use crate::support::{Hub, client, has, put, secret, soon, until_state};
use confhub_client::{Client, Closed, Error, Snapshot, ValueError};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

#[tokio::test]
async fn five_lines_to_a_connected_client() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put("tenant_config_greeting", "hello").await.unwrap();
    let (endpoint, token) = (hub.endpoint(), hub.token("acme"));

    let client = Client::builder().endpoint(endpoint).token(token).connect().await.unwrap();
    assert_eq!(client.get_as::<String>("tenant_config_greeting").unwrap().as_deref(), Some("hello"));
    assert!(client.status().is_ready(), "{}", client.status());
}

#[tokio::test]
async fn a_view_has_what_is_shared_and_what_is_the_services() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "shared").await.unwrap();
    writer.put("tenant_config_b", "shared").await.unwrap();
    writer.put_for("cart", "tenant_config_b", "of the cart", None).await.unwrap();
    writer.put_for("ad", "tenant_config_b", "of the ads", None).await.unwrap();
    writer.put("param_config_c", "other prefix").await.unwrap();
    let cart = client(&hub, "acme").service("cart").prefix("tenant_").connect().await.unwrap();
    let state = cart.snapshot();
    assert_eq!(state.len(), 2);
    assert!(has(&state, "tenant_config_a", "shared") && has(&state, "tenant_config_b", "of the cart"));
    let (expected, _) = writer.snapshot("cart", &["tenant_"]).await.unwrap();
    assert_eq!(cart.cursor(), expected.digest());
    writer.delete_for("cart", "tenant_config_b").await.unwrap();
    until_state(&cart, "the shared entry", |state| has(state, "tenant_config_b", "shared")).await;
}

/// A value that counts how often it is parsed.
#[derive(Debug)]
struct Limits {
    max: u32,
}

static PARSED: AtomicUsize = AtomicUsize::new(0);

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            max: u32,
        }
        PARSED.fetch_add(1, Ordering::SeqCst);
        Fields::deserialize(deserializer).map(|Fields { max }| Self { max })
    }
}

#[tokio::test]
async fn a_typed_handle_parses_once_per_change_and_keeps_the_last_good_value() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let limits = "tenant_config_limits";
    writer.put_json(limits, r#"{"max": 1}"#).await.unwrap();
    let client = client(&hub, "acme").connect().await.unwrap();

    let handle = client.typed::<Limits>(limits).unwrap();
    for _ in 0..1_000 {
        assert_eq!(handle.load().max, 1);
    }
    assert_eq!(PARSED.load(Ordering::SeqCst), 1);

    writer.put_json("tenant_config_other", "1").await.unwrap();
    writer.put_json(limits, r#"{"max": 2}"#).await.unwrap();
    let version = |state: &Snapshot| state.get(limits).map(|entry| entry.version());
    until_state(&client, "version 2", |state| version(state) == Some(2)).await;
    assert_eq!((handle.load().max, PARSED.load(Ordering::SeqCst)), (2, 2));

    writer.put_json(limits, r#"{"max": "many"}"#).await.unwrap();
    until_state(&client, "version 3", |state| version(state) == Some(3)).await;
    assert_eq!(handle.load().max, 2, "the last good value");
    let error = handle.error().expect("and why it is not the present one");
    assert!(error.to_string().contains("`tenant_config_limits` version 3"), "{error}");
    assert_eq!(client.stats().rejected_values, 1);
    assert!(client.get_as::<Limits>(limits).is_err(), "a parse of the present value");

    writer.put_json(limits, r#"{"max": 4}"#).await.unwrap();
    until_state(&client, "version 4", |state| version(state) == Some(4)).await;
    assert!(handle.load().max == 4 && handle.error().is_none());
    assert!(matches!(client.typed::<Limits>("tenant_config_none"), Err(ValueError::Missing { .. })));
    assert_eq!(client.typed_or("tenant_config_none", 7_u32).load_full(), 7.into());
}

#[tokio::test]
async fn a_watch_and_a_stream_of_changes_tell_what_changed() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    let client = client(&hub, "acme").connect().await.unwrap();
    let (mut watch, mut changes) = (client.watch("tenant_config_b"), client.changes());
    assert!(watch.get().is_none());

    writer.put("tenant_config_a", "2").await.unwrap();
    assert_eq!(keys(&soon("a change", changes.next()).await.unwrap()), ["tenant_config_a"]);
    let both = vec![put("", "tenant_config_b", "1"), put("", "tenant_config_c", "1")];
    writer.apply(both).await.unwrap();
    let change = soon("both changes at once", changes.next()).await.unwrap();
    assert_eq!(keys(&change), ["tenant_config_b", "tenant_config_c"]);
    assert_eq!((change.cursor, change.reset), (client.cursor(), false));
    let entry = soon("the watched key", watch.changed()).await.unwrap().expect("an entry");
    assert_eq!(&**entry.value(), b"1");
    writer.delete_for("", "tenant_config_b").await.unwrap();
    assert!(soon("the deletion", watch.changed()).await.unwrap().is_none());
    assert_eq!(keys(&soon("the deletion", changes.next()).await.unwrap()), ["tenant_config_b"]);

    client.close().await;
    assert!(soon("the end", changes.next()).await.is_none());
    assert!(soon("the end", watch.changed()).await.is_err());
    assert!(client.status().is_closed() && client.get("tenant_config_a").is_some(), "reads go on");
}

#[tokio::test]
async fn a_thousand_changes_at_full_speed_are_all_applied() {
    let hub = Hub::start().await;
    let client = client(&hub, "acme").connect().await.unwrap();
    let mut changes = client.changes();
    let mut writers = JoinSet::new();
    for name in 0..10 {
        let writer = hub.caller("acme").await;
        writers.spawn(async move {
            for i in 0..100 {
                let key = format!("tenant_config_{name}_{}", i % 20);
                writer.put(&key, &i.to_string()).await.unwrap();
            }
        });
    }
    soon("all writes", writers.join_all()).await;
    // 100 writes of each writer to 20 keys.
    let all = |state: &Snapshot| state.len() == 200 && state.iter().all(|entry| entry.version() == 5);
    until_state(&client, "the last change", all).await;
    let mut seen = HashSet::new();
    while seen.len() < 200 {
        seen.extend(soon("all keys", changes.next()).await.unwrap().keys);
    }
    assert_eq!((client.stats().resets, client.stats().healed), (1, 0), "only the first state was a reset");
}

#[tokio::test]
async fn a_secret_is_a_version_and_never_a_value() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put_content("param_config_password", secret("hunter2")).await.unwrap();
    let client = client(&hub, "acme").connect().await.unwrap();
    let entry = client.get("param_config_password").unwrap();
    assert!(entry.is_secret() && entry.value().is_empty() && entry.version() == 1);
    assert!(matches!(client.get_as::<String>("param_config_password"), Err(ValueError::Secret { .. })));
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_as_such() {
    let (hub, other) = (Hub::start().await, Hub::start().await);
    for token in ["no.token.at-all".to_owned(), other.token("acme")] {
        let connect = Client::builder().endpoint(hub.endpoint()).token(token);
        let error = soon("the refusal", connect.connect()).await.unwrap_err();
        assert!(matches!(&error, Error::Closed(Closed::Denied(_))), "{error:?}");
    }
}

fn keys(changes: &confhub_client::Changes) -> Vec<&str> {
    let mut keys: Vec<_> = changes.keys.iter().map(|key| key.as_str()).collect();
    keys.sort_unstable();
    keys
}
