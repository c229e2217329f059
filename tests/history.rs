//! What was written is remembered, with its author, and can be written again.

use crate::support::{Hub, delete, put};
use confhub::auth::Role;
use confhub_proto::wire;
use prost::Message;
use std::time::Duration;
use tonic::Code;

const KEY: &str = "tenant_config_a";

#[tokio::test]
async fn the_last_hundred_versions_are_kept() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for version in 1..=120 {
        assert_eq!(writer.put(KEY, &format!("value {version}")).await.unwrap(), version);
    }
    let kept = writer.history("", KEY, 0).await.unwrap();
    let versions: Vec<_> = kept.iter().map(|revision| revision.entry.as_ref().unwrap().version).collect();
    assert_eq!(versions, (21..=120).rev().collect::<Vec<_>>());
    for revision in &kept {
        let entry = revision.entry.as_ref().unwrap();
        assert_eq!(entry.value, format!("value {}", entry.version));
        assert_eq!((revision.author.as_str(), revision.deleted), ("tester", false));
    }
    let last = writer.history("", KEY, 3).await.unwrap();
    assert_eq!(last, kept[..3]);
    assert_eq!(writer.history("", KEY, u32::MAX).await.unwrap().len(), 100);
}

#[tokio::test]
async fn deletions_are_versions_and_versions_never_go_back() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    assert_eq!(writer.put(KEY, "first").await.unwrap(), 1);
    assert_eq!(writer.delete_for("", KEY).await.unwrap(), 2);
    assert_eq!(writer.put(KEY, "second").await.unwrap(), 3);
    assert_eq!(writer.apply(vec![delete("", KEY)]).await.unwrap(), [4]);
    let kept = writer.history("", KEY, 0).await.unwrap();
    let told: Vec<_> =
        kept.iter().map(|revision| (revision.deleted, revision.entry.clone().unwrap().value)).collect();
    assert_eq!(
        told,
        [(true, "".into()), (false, "second".into()), (true, "".into()), (false, "first".into())],
    );
    assert_eq!(writer.get("", KEY).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_service_has_a_history_of_its_own() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.apply(vec![put("", KEY, "shared"), put("cart", KEY, "own")]).await.unwrap();
    writer.put_for("cart", KEY, "own 2", None).await.unwrap();
    assert_eq!(writer.history("", KEY, 0).await.unwrap().len(), 1);
    assert_eq!(writer.history("cart", KEY, 0).await.unwrap().len(), 2);
    assert_eq!(writer.history("order", KEY, 0).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_rollback_writes_an_earlier_version_as_a_new_one() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    writer.put(KEY, "good").await.unwrap();
    writer.put(KEY, "bad").await.unwrap();
    assert_eq!(writer.rollback(KEY, 1).await.unwrap(), 3);
    stream.until("version 3", |state| state.get(KEY).is_some_and(|entry| entry.version() == 3)).await;
    assert_eq!(stream.text(KEY).as_deref(), Some("good"));
    writer.delete_for("", KEY).await.unwrap();
    assert_eq!(writer.rollback(KEY, 2).await.unwrap(), 5, "a deleted key comes back");
    assert_eq!(writer.get("", KEY).await.unwrap().value, "bad");
}

#[tokio::test]
async fn a_rollback_to_an_unknown_version_or_to_a_deletion_says_so() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put(KEY, "1").await.unwrap();
    writer.delete_for("", KEY).await.unwrap();
    writer.put(KEY, "3").await.unwrap();
    for unknown in [0, 4, u64::MAX] {
        let status = writer.rollback(KEY, unknown).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains(&unknown.to_string()), "{status}");
        assert!(status.message().contains("1 to 3"), "{status}");
    }
    let status = writer.rollback(KEY, 2).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("deletion"), "{status}");
    assert_eq!(writer.rollback("tenant_config_never", 1).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(writer.history("", KEY, 0).await.unwrap().len(), 3, "nothing was written");
}

#[tokio::test]
async fn a_version_that_is_no_longer_kept_is_unknown() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for i in 1..=101 {
        writer.put(KEY, &i.to_string()).await.unwrap();
    }
    let status = writer.rollback(KEY, 1).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("2 to 101"), "{status}");
    assert_eq!(writer.rollback(KEY, 2).await.unwrap(), 102);
}

#[tokio::test]
async fn a_reader_sees_the_history_and_cannot_write_it() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put(KEY, "1").await.unwrap();
    let token = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(60));
    let reader = crate::support::Caller::connect(&hub.endpoint(), &token).await;
    assert_eq!(reader.history("", KEY, 0).await.unwrap().len(), 1);
    assert_eq!(reader.rollback(KEY, 1).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn answers_fit_into_what_every_client_reads() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let big = "x".repeat(64 * 1024);
    let keys: Vec<_> = (0..60).map(|i| format!("tenant_config_{i}")).collect();
    for key in &keys {
        caller.put(key, &big).await.unwrap();
    }
    for _ in 1..60 {
        caller.put(&keys[0], &big).await.unwrap();
    }
    let (mut seen, mut before_version) = (Vec::new(), 0);
    loop {
        let request = wire::HistoryRequest { key: keys[0].clone(), before_version, ..Default::default() };
        let answer = caller.admin.clone().history(caller.request(request)).await.unwrap().into_inner();
        assert!(answer.encoded_len() < 4 << 20, "{} bytes", answer.encoded_len());
        seen.extend(answer.revisions.into_iter().map(|revision| revision.entry.unwrap().version));
        before_version = *seen.last().unwrap();
        if !answer.more {
            break;
        }
    }
    assert_eq!(seen, (1..=60).rev().collect::<Vec<_>>());

    let (mut found, mut asked) = (Vec::new(), keys.clone());
    while !asked.is_empty() {
        let asked_now: Vec<_> = asked.iter().map(String::as_str).collect();
        let answer = caller.batch_get("", &asked_now).await.unwrap();
        assert!(answer.encoded_len() < 4 << 20, "{} bytes", answer.encoded_len());
        found.extend(answer.entries.into_iter().map(|entry| entry.key));
        asked = answer.remaining;
    }
    assert_eq!(found, keys);
}
