//! A secret's value is given to whoever may have it, one call at a time, and is
//! nowhere else.

use crate::support::{Caller, Hub, secret};
use confhub::auth::Role;
use prost::Message;
use std::time::Duration;
use tonic::Code;

const KEY: &str = "param_config_password";
const VALUE: &str = "correct-horse-battery-staple";

/// Whether the encoded message has the value in it.
fn leaks(message: &impl Message) -> bool {
    let bytes = message.encode_to_vec();
    bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes())
}

#[tokio::test]
async fn reveal_gives_the_value_to_the_role_alone() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let version = writer.put_content(KEY, secret(VALUE)).await.unwrap();
    let revealed = writer.reveal("cart", KEY).await.unwrap();
    assert_eq!((&revealed.value[..], revealed.version, revealed.secret), (VALUE.as_bytes(), version, true));

    let token = hub.token_of("acme", None, &[Role::Reader, Role::Writer], Duration::from_secs(60));
    let status = Caller::connect(&hub.endpoint(), &token).await.reveal("", KEY).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("secret-reader"), "{status}");
    let foreign = hub.caller("globex").await.reveal("", KEY).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
}

#[tokio::test]
async fn reveal_says_when_there_is_no_secret() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    assert_eq!(writer.reveal("", KEY).await.unwrap_err().code(), Code::NotFound);
    writer.put(KEY, "plain").await.unwrap();
    assert_eq!(writer.reveal("", KEY).await.unwrap_err().code(), Code::FailedPrecondition);
    writer.put_content(KEY, secret(VALUE)).await.unwrap();
    writer.delete_for("", KEY).await.unwrap();
    assert_eq!(writer.reveal("", KEY).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn no_other_answer_has_the_value() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    writer.put_content(KEY, secret(VALUE)).await.unwrap();
    writer.put_content(KEY, secret(VALUE)).await.unwrap();
    writer.rollback(KEY, 1).await.unwrap();
    let is_third = |state: &confhub_proto::State| state.get(KEY).is_some_and(|entry| entry.version() == 3);
    stream.until("the third version", is_third).await;
    let entry = stream.state.get(KEY).unwrap();
    assert!(entry.is_secret() && entry.value().is_empty());

    assert!(!leaks(&writer.get("", KEY).await.unwrap()));
    assert!(!leaks(&writer.batch_get("", &[KEY]).await.unwrap()));
    assert!(writer.list().await.iter().all(|entry| entry.secret && !leaks(entry)));
    let history = writer.history("", KEY, 0).await.unwrap();
    assert_eq!(history.len(), 3);
    assert!(!history.iter().any(leaks));
    let (snapshot, _) = writer.snapshot("", &[]).await.unwrap();
    assert!(snapshot.get(KEY).unwrap().value().is_empty());
    assert_eq!(writer.reveal("", KEY).await.unwrap().value, VALUE, "the rollback kept it");
}

#[tokio::test]
async fn no_frame_has_the_value() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put_content(KEY, secret(VALUE)).await.unwrap();
    writer.put("param_config_plain", "plain").await.unwrap();
    // The frames as they come, before anything is made of them.
    let request = confhub_proto::wire::SubscribeRequest::default();
    let mut frames = writer.config.clone().subscribe(writer.request(request)).await.unwrap().into_inner();
    let mut seen = 0;
    while seen < 2 {
        let frame = frames.message().await.unwrap().unwrap();
        assert!(!leaks(&frame));
        if let Some(confhub_proto::wire::frame::Kind::Update(update)) = frame.kind {
            seen += update.puts.len();
        }
    }
    let (status, metrics) = crate::support::http_get(hub.addresses.http, "/metrics").await.unwrap();
    assert!(status == 200 && !metrics.contains(VALUE));
}

#[tokio::test]
async fn a_secret_is_not_overwritten_in_the_open() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put(KEY, "plain at first").await.unwrap();
    writer.put_content(KEY, secret(VALUE)).await.unwrap();
    for outcome in [writer.put(KEY, "in the open").await, writer.rollback(KEY, 1).await] {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().contains("is a secret"), "{status}");
    }
    assert_eq!(writer.reveal("", KEY).await.unwrap().version, 2, "nothing has changed");
    writer.delete_for("", KEY).await.unwrap();
    assert_eq!(writer.put(KEY, "on purpose").await.unwrap(), 4);
}
