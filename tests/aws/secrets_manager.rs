//! Secrets Manager as a backend: values that are only ever revealed.

use crate::support::aws::Does;
use crate::support::{Aws, Hub, secret, text};
use tonic::Code;

const KEY: &str = "secret_config_database";

async fn hub(aws: &Aws) -> Hub {
    Hub::start_on_aws(aws, |settings| settings.backends.retain(|(_, name)| name == "secretsmanager")).await
}

#[tokio::test]
async fn a_subscriber_learns_of_a_new_version_and_only_reveal_gives_the_value() {
    let aws = Aws::new().await;
    let create = aws.secrets().create_secret().name(aws.path("acme", "shared", KEY));
    create.secret_string("hunter2").send().await.unwrap();
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    let first = stream.state.get(KEY).unwrap().version();
    assert!(stream.state.get(KEY).is_some_and(|entry| entry.is_secret() && entry.value().is_empty()));
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
    assert_eq!(aws.proxy.calls("secretsmanager.GetSecretValue"), 1, "by reveal, and by nothing else");

    let written = caller.put_content(KEY, secret("hunter3")).await.unwrap();
    assert!(written > first);
    stream.until("the new version", |state| state.get(KEY).is_some_and(|e| e.version() == written)).await;
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter3");
}

#[tokio::test]
async fn secrets_are_made_changed_restored_and_deleted() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let error = caller.put_content(KEY, text("in the open")).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    let first = caller.put_content(KEY, secret("one")).await.unwrap();
    let second = caller.put_content(KEY, secret("two")).await.unwrap();
    assert!(second > first, "{second} after {first}");
    let history = caller.history("", KEY, 0).await.unwrap();
    let versions: Vec<_> = history.iter().map(|revision| revision.entry.as_ref().unwrap().version).collect();
    assert!(versions.contains(&first) && versions[0] == second, "{versions:?}");
    assert!(history[0].labels.contains(&"AWSCURRENT".to_owned()), "{history:?}");
    caller.rollback(KEY, first).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "one");
    caller.delete_for("", KEY).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(caller.delete_for("", KEY).await.unwrap_err().code(), Code::NotFound);
    // It can still be recovered in AWS, and a write does so.
    caller.put_content(KEY, secret("three")).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "three");
}

#[tokio::test]
async fn a_secret_whose_making_was_answered_too_late_is_known_as_ones_own() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    // The first answer is lost, and the second attempt finds the secret there.
    aws.proxy.fail_once("secretsmanager.CreateSecret", Does::Lose);
    caller.put_content(KEY, secret("hunter2")).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
    assert_eq!(aws.proxy.calls("secretsmanager.CreateSecret"), 2);
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back_by_a_write_that_is_refused() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let first = caller.put_content(KEY, secret("one")).await.unwrap();
    caller.put_content(KEY, secret("two")).await.unwrap();
    caller.delete_for("", KEY).await.unwrap();
    aws.proxy.fail("secretsmanager.PutSecretValue", Does::Refuse("LimitExceededException"));
    aws.proxy.fail("secretsmanager.UpdateSecretVersionStage", Does::Refuse("AccessDeniedException"));
    caller.put_content(KEY, secret("three")).await.unwrap_err();
    assert_eq!(caller.reveal("", KEY).await.unwrap_err().code(), Code::NotFound);
    caller.rollback(KEY, first).await.unwrap_err();
    assert_eq!(caller.reveal("", KEY).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(aws.proxy.calls("secretsmanager.RestoreSecret"), 2);
}

#[tokio::test]
async fn what_was_written_over_a_deleted_secret_stays_though_nobody_hears_of_it() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    caller.put_content(KEY, secret("one")).await.unwrap();
    caller.delete_for("", KEY).await.unwrap();
    // It is written, and the look at it fails.
    let mut held = aws.proxy.hold("secretsmanager.PutSecretValue");
    let (written, ()) = tokio::join!(caller.put_content(KEY, secret("two")), async {
        held.until(1).await;
        aws.proxy.fail("secretsmanager.DescribeSecret", Does::Refuse("AccessDeniedException"));
        drop(held);
    });
    written.unwrap_err();
    aws.proxy.heal();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "two");
    // It is written, and no answer comes.
    caller.delete_for("", KEY).await.unwrap();
    aws.proxy.fail("secretsmanager.PutSecretValue", Does::Lose);
    caller.put_content(KEY, secret("three")).await.unwrap_err();
    aws.proxy.heal();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "three");
}

#[tokio::test]
async fn secrets_of_other_tenants_and_names_that_only_look_alike_are_not_listed() {
    let aws = Aws::new().await;
    for (tenant, service) in [("acme", "shared"), ("acme", "cart"), ("acme2", "shared"), ("globex", "shared")]
    {
        let create = aws.secrets().create_secret().name(aws.path(tenant, service, KEY));
        create.secret_string("x").send().await.unwrap();
    }
    let hub = hub(&aws).await;
    assert_eq!(hub.caller("acme").await.list().await.len(), 2);
    let mut stream = hub.caller("acme").await.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.state.len(), 1);
    assert_eq!(stream.state.get(KEY).unwrap().service().unwrap().as_str(), "cart");
}

#[tokio::test]
async fn a_tenant_that_is_far_too_large_is_refused() {
    let aws = Aws::new().await;
    for n in 0..5 {
        let create = aws.secrets().create_secret().name(aws.path("acme", "shared", &format!("{KEY}_{n}")));
        create.secret_string("x").send().await.unwrap();
    }
    let hub = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "secretsmanager");
        settings.limits.tenant_entries = 1;
    })
    .await;
    let error = hub.caller("acme").await.list_parts(&[]).await.unwrap_err();
    assert!(error.message().contains("4 times"), "{error}");
}

#[tokio::test]
async fn a_write_that_expects_another_version_changes_nothing() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let put = |value: &'static str, expected| {
        let request = confhub_proto::wire::PutRequest {
            key: KEY.to_owned(),
            content: Some(secret(value)),
            expected_version: Some(expected),
            ..Default::default()
        };
        let caller = caller.clone();
        async move { caller.admin.clone().put(caller.request(request)).await.map(|put| put.into_inner().version) }
    };
    let first = put("one", 0).await.unwrap();
    assert_eq!(put("two", 0).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(put("two", first + 1).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "one");
    put("two", first).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "two");
}
