//! Single reads and listings say the same as the stream.

use crate::support::{Hub, put, view_of};
use confhub_proto::limits;
use tonic::Code;

#[tokio::test]
async fn a_snapshot_is_the_state_of_the_stream() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for (service, key) in [("", "a"), ("cart", "a"), ("", "b"), ("cart", "c"), ("order", "d")] {
        writer.put_for(service, &format!("tenant_config_{key}"), service, None).await.unwrap();
    }
    let all = writer.list().await;
    for service in ["", "cart", "order"] {
        let mut stream = writer.subscribe(service, b"").await.unwrap();
        stream.until_current().await;
        let (snapshot, _) = writer.snapshot(service, &[]).await.unwrap();
        assert_eq!(snapshot.digest(), stream.state.digest());
        assert_eq!(snapshot.digest(), view_of(&all, service, &[]).digest());
    }
    let (narrow, _) = writer.snapshot("cart", &["tenant_config_c", "param_config_"]).await.unwrap();
    assert_eq!(narrow.len(), 1);
}

#[tokio::test]
async fn get_shows_what_the_view_shows() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let key = "tenant_config_limit";
    assert_eq!(writer.get("cart", key).await.unwrap_err().code(), Code::NotFound);
    writer.put(key, "shared").await.unwrap();
    assert_eq!(writer.get("cart", key).await.unwrap().value, "shared");
    writer.put_for("cart", key, "own", None).await.unwrap();
    let entry = writer.get("cart", key).await.unwrap();
    assert_eq!((&entry.value[..], entry.service.as_str(), entry.version), (&b"own"[..], "cart", 1));
    assert_eq!(writer.get("", key).await.unwrap().value, "shared");
    assert_eq!(writer.get("order", key).await.unwrap().value, "shared");
    writer.delete_for("cart", key).await.unwrap();
    assert_eq!(writer.get("cart", key).await.unwrap().value, "shared");
}

#[tokio::test]
async fn batch_get_keeps_the_order_and_lists_what_is_missing() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let keys: Vec<_> = (0..limits::BATCH_GET_KEYS).map(|i| format!("param_config_{i}")).collect();
    let there = keys.iter().step_by(2).map(|key| put("", key, key)).collect();
    writer.apply(there).await.unwrap();
    let mut asked: Vec<_> = keys.iter().map(String::as_str).collect();
    asked.reverse();
    let found = writer.batch_get("cart", &asked).await.unwrap();
    let got: Vec<_> = found.entries.iter().map(|entry| entry.key.as_str()).collect();
    let index = |key: &str| key.rsplit('_').next().unwrap().parse::<usize>().unwrap();
    let (even, odd): (Vec<&str>, Vec<&str>) = asked.iter().partition(|key| index(key).is_multiple_of(2));
    assert_eq!((got, found.missing), (even, odd.into_iter().map(str::to_owned).collect()));
    assert!(found.entries.iter().all(|entry| entry.value == entry.key));
}

#[tokio::test]
async fn list_has_every_entry_in_order_in_parts_below_the_message_limit() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let value = "v".repeat(20_000);
    let key = |i: usize| format!("tenant_config_{i:02}");
    for service in ["order", "", "cart"] {
        writer.apply((0..20).rev().map(|i| put(service, &key(i), &value)).collect()).await.unwrap();
    }
    let parts = writer.list_parts(&[]).await.unwrap();
    assert!(parts.len() > 4, "{} parts", parts.len());
    for part in &parts {
        let bytes: usize = part.iter().map(|entry| entry.value.len()).sum();
        assert!(bytes <= limits::FRAME_TARGET_BYTES, "{bytes} bytes in a part");
    }
    let listed: Vec<_> = parts.concat().into_iter().map(|entry| (entry.service, entry.key)).collect();
    let services = ["", "cart", "order"].into_iter();
    let wanted: Vec<_> = services.flat_map(|s| (0..20).map(move |i| (s.to_owned(), key(i)))).collect();
    assert_eq!(listed, wanted);
    let narrow = writer.list_parts(&["tenant_config_07", "tenant_config_1"]).await.unwrap().concat();
    assert_eq!(narrow.len(), 3 * 11);
}

#[tokio::test]
async fn a_token_of_a_service_lists_that_service_and_the_shared_entries() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for service in ["", "cart", "order"] {
        writer.put_for(service, "tenant_config_a", service, None).await.unwrap();
    }
    let cart = crate::support::Caller::connect(&hub.endpoint(), &hub.service_token("acme", "cart")).await;
    let services: Vec<_> = cart.list().await.into_iter().map(|entry| entry.service).collect();
    assert_eq!(services, ["", "cart"]);
}

#[tokio::test]
async fn status_tells_who_asks_and_how_the_tenant_stands() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "12345").await.unwrap();
    writer.put_for("cart", "tenant_config_a", "1", None).await.unwrap();
    let mut streams =
        [writer.subscribe("", b"").await.unwrap(), writer.subscribe("cart", b"").await.unwrap()];
    for stream in &mut streams {
        stream.until_current().await;
    }
    let status = writer.status().await.unwrap();
    assert_eq!((status.tenant.as_str(), status.subject.as_str()), ("acme", "tester"));
    assert_eq!(status.roles, ["reader", "writer", "secret-reader", "operator", "revoker"]);
    let each = "tenant_config_a".len() + confhub_proto::Content::TEXT.len();
    assert_eq!((status.entries, status.bytes, status.streams), (2, (2 * each + 6) as u64, 2));
    assert_eq!(status.hub_version, env!("CARGO_PKG_VERSION"));
    assert!(status.uptime.is_some());
    let mut prefixes: Vec<_> = status.backends.iter().map(|backend| backend.prefix.as_str()).collect();
    prefixes.sort_unstable();
    assert_eq!(prefixes, ["param_config_", "tenant_config_"]);
    assert!(status.backends.iter().all(|backend| backend.backend == "embedded" && backend.error.is_empty()));
}
