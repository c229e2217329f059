//! Parameter Store as a backend: its paths, types, limits and races.

use crate::support::{Aws, Caller, Hub, secret, text};
use aws_sdk_ssm::types::ParameterType;
use confhub_proto::wire;
use tonic::Code;

const KEY: &str = "param_config_a";

async fn hub(aws: &Aws) -> Hub {
    Hub::start_on_aws(aws, |settings| settings.backends.retain(|(_, name)| name == "ssm")).await
}

async fn put(caller: &Caller, key: &str, value: &str, expected: u64) -> Result<u64, tonic::Status> {
    caller.put_for("", key, value, Some(expected)).await
}

#[tokio::test]
async fn parameters_of_any_number_and_of_every_service_are_loaded() {
    let aws = Aws::new().await;
    for n in 0..25 {
        aws.put_parameter("acme", "shared", &format!("param_config_{n}"), "1").await;
    }
    aws.put_parameter("acme", "cart", "param_config_0", "of the cart").await;
    aws.put_parameter("globex", "shared", "param_config_x", "of somebody else").await;
    let hub = hub(&aws).await;
    let mut stream = hub.caller("acme").await.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.state.len(), 25);
    assert_eq!(stream.text("param_config_0").as_deref(), Some("of the cart"));
    assert_eq!(hub.caller("acme").await.list().await.len(), 26);
}

#[tokio::test]
async fn a_tenant_that_is_far_too_large_is_not_read_to_its_end() {
    let aws = Aws::new().await;
    for n in 0..21 {
        aws.put_parameter("acme", "shared", &format!("param_config_{n}"), "1").await;
    }
    let hub = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "ssm");
        settings.limits.tenant_entries = 2;
    })
    .await;
    let caller = hub.caller("acme").await;
    // Whoever is answered is known to be let in: the hub has read its own records.
    assert!(caller.get("", "param_config_none").await.is_err());
    let before = aws.proxy.calls("AmazonSSM.GetParametersByPath");
    let error = caller.list_parts(&[]).await.unwrap_err();
    assert!(error.message().contains("4 times"), "{error}");
    // One more may be the hub's, of its own records, once its source is up.
    let calls = aws.proxy.calls("AmazonSSM.GetParametersByPath") - before;
    assert!(calls <= 2, "{calls} of three pages");
}

#[tokio::test]
async fn each_type_of_parameter_is_read_as_what_it_is() {
    let aws = Aws::new().await;
    let write = |key: &str, kind: ParameterType, value: &str| {
        let path = aws.path("acme", "shared", &format!("param_config_{key}"));
        aws.ssm().put_parameter().name(path).r#type(kind).value(value).send()
    };
    write("text", ParameterType::String, "hello").await.unwrap();
    write("json", ParameterType::String, r#"{"a": [1]}"#).await.unwrap();
    write("list", ParameterType::StringList, "a,b").await.unwrap();
    write("secret", ParameterType::SecureString, "hunter2").await.unwrap();
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let of = |key: &str| stream.state.get(format!("param_config_{key}").as_str()).unwrap();
    let is = |key: &str, value: &str, content_type: &str| {
        assert_eq!(
            (of(key).value().as_ref(), of(key).content_type()),
            (value.as_bytes(), content_type),
            "{key}"
        );
    };
    is("text", "hello", "text/plain; charset=utf-8");
    is("json", r#"{"a": [1]}"#, "application/json");
    is("list", r#"["a","b"]"#, "application/json");
    assert!(of("secret").is_secret() && of("secret").value().is_empty());
    assert_eq!(caller.reveal("", "param_config_secret").await.unwrap().value, "hunter2");

    let plain = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "ssm");
        settings.aws.string_lists = confhub::config::StringLists::Plain;
    });
    let list = plain.await.caller("acme").await.get("", "param_config_list").await.unwrap();
    assert_eq!(list.value, "a,b");
}

#[tokio::test]
async fn what_is_written_is_a_parameter_with_its_history_author_and_labels() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    assert_eq!(caller.put(KEY, "one").await.unwrap(), 1);
    assert_eq!(caller.put(KEY, "two").await.unwrap(), 2);
    let path = aws.path("acme", "shared", KEY);
    let there = aws.ssm().get_parameter().name(&path).send().await.unwrap().parameter.unwrap();
    assert_eq!((there.value(), there.version()), (Some("two"), 2));
    aws.ssm()
        .label_parameter_version()
        .name(&path)
        .parameter_version(1)
        .labels("stable")
        .send()
        .await
        .unwrap();
    let history = caller.history("", KEY, 0).await.unwrap();
    let shown: Vec<_> = history
        .iter()
        .map(|revision| {
            let entry = revision.entry.as_ref().unwrap();
            (entry.version, &entry.value[..], revision.author.as_str(), revision.labels.join(","))
        })
        .collect();
    let expected: [(u64, &[u8], &str, String); 2] =
        [(2, b"two", "tester", String::new()), (1, b"one", "tester", "stable".to_owned())];
    assert_eq!(shown, expected);
    assert_eq!(caller.rollback(KEY, 1).await.unwrap(), 3);
    assert_eq!(caller.get("", KEY).await.unwrap().value, "one");
    assert_eq!(caller.rollback(KEY, 77).await.unwrap_err().code(), Code::NotFound);
    caller.delete_for("", KEY).await.unwrap();
    assert_eq!(caller.get("", KEY).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(caller.delete_for("", KEY).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_parameter_that_was_deleted_and_made_again_is_the_newer_one() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    for value in ["1", "2", "3"] {
        caller.put(KEY, value).await.unwrap();
    }
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until("the value", |state| state.get(KEY).is_some_and(|entry| entry.version() == 3)).await;
    aws.ssm().delete_parameter().name(aws.path("acme", "shared", KEY)).send().await.unwrap();
    // Its time is later, though its version is 1 again.
    aws.put_parameter("acme", "shared", KEY, "made again").await;
    caller.reconcile().await.unwrap();
    let mut stream = stream.counting_anew();
    stream.until("the new one", |state| state.get(KEY).is_some_and(|entry| entry.version() == 1)).await;
}

#[tokio::test]
async fn a_race_that_was_lost_is_told() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    assert_eq!(put(&caller, KEY, "1", 0).await.unwrap(), 1);
    let error = put(&caller, KEY, "2", 0).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted, "{error}");
    let error = put(&caller, KEY, "2", 7).await.unwrap_err();
    assert!(error.message().contains("has version 1, not the expected version 7"), "{error}");
    assert_eq!(caller.get("", KEY).await.unwrap().value, "1", "nothing was written");

    // Between the look and the write, somebody else writes.
    let mut held = aws.proxy.hold("AmazonSSM.PutParameter");
    let (written, ()) = tokio::join!(put(&caller, KEY, "mine", 1), async {
        held.until(1).await;
        aws.put_parameter("acme", "shared", KEY, "of somebody else").await;
        drop(held);
    });
    let error = written.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("was written as version 3, over version 2"), "{error}");
    assert_eq!(caller.get("", KEY).await.unwrap().value, "mine", "it says that it was written");
}

#[tokio::test]
async fn what_parameter_store_cannot_keep_is_refused_before_anything_is_written() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    for (value, reason) in [
        (text(&"x".repeat(4_097)), "4,096"),
        (text(""), "empty"),
        (wire::Content { value: vec![0xff].into(), ..text("") }, "UTF-8"),
        (wire::Content { content_type: "image/png".to_owned(), ..text("x") }, "image/png"),
    ] {
        let error = caller.put_content(KEY, value).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let said = error.message().replace('`', "");
        assert!(said.contains(reason) || said.contains(&reason.replace(',', "")), "{said}");
    }
    let two = vec![crate::support::put("", KEY, "1"), crate::support::put("", "param_config_b", "1")];
    let error = caller.apply(two).await.unwrap_err();
    assert!(error.message().contains("at most 1 change as one"), "{error}");
    assert_eq!(aws.proxy.calls("AmazonSSM.PutParameter"), 0);
    caller.put(KEY, &"x".repeat(4_096)).await.unwrap();

    let advanced = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "ssm");
        settings.aws.parameter_tier = confhub::config::ParameterTier::Advanced;
    })
    .await;
    let caller = advanced.caller("acme").await;
    caller.put(KEY, &"x".repeat(8_192)).await.unwrap();
    assert!(caller.put(KEY, &"x".repeat(8_193)).await.is_err());
}

#[tokio::test]
async fn a_secret_is_only_ever_revealed() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    caller.put_content(KEY, secret("hunter2")).await.unwrap();
    let path = aws.path("acme", "shared", KEY);
    let there = aws.ssm().get_parameter().name(&path).send().await.unwrap().parameter.unwrap();
    assert_eq!(there.r#type(), Some(&ParameterType::SecureString));
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    assert!(stream.state.get(KEY).is_some_and(|entry| entry.is_secret() && entry.value().is_empty()));
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
    let error = caller.put(KEY, "in the open").await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    caller.put_content(KEY, secret("hunter3")).await.unwrap();
    assert!(
        caller.history("", KEY, 0).await.unwrap().iter().all(|r| r.entry.as_ref().unwrap().value.is_empty())
    );
    caller.rollback(KEY, 1).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
}

#[tokio::test]
async fn what_is_no_entry_is_counted_and_hinders_nothing() {
    let aws = Aws::new().await;
    aws.put_parameter("acme", "shared", KEY, "1").await;
    aws.put_parameter("acme", "shared/too/deep", KEY, "1").await;
    aws.put_parameter("acme", "shared", "of_another_backend", "1").await;
    let hub = hub(&aws).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.state.len(), 1);
    assert!(hub.metrics("confhub_odd_rows_total", &["backend=\"ssm\""]).await > 0.0);
}
