//! DynamoDB as a backend: its rows, transactions, limits, and rows made by hand.

use crate::support::{Aws, Hub, delete, put, secret, text};
use aws_sdk_dynamodb::types::AttributeValue::{B, Bool, M, N, S};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, Select, WriteRequest};
use confhub_proto::wire;
use futures_util::future::join_all;
use std::collections::HashMap;
use tonic::Code;

const KEY: &str = "tenant_config_a";

async fn hub(aws: &Aws) -> Hub {
    Hub::start_on_aws(aws, |settings| settings.backends.retain(|(_, name)| name == "dynamodb")).await
}

/// A row as it is in the table.
async fn row(aws: &Aws, pk: &str, sk: &str) -> Option<HashMap<String, AttributeValue>> {
    let get = aws.dynamodb().get_item().table_name(aws.table()).consistent_read(true);
    get.key("pk", S(pk.to_owned())).key("sk", S(sk.to_owned())).send().await.unwrap().item
}

async fn rows(aws: &Aws) -> i32 {
    let scan = aws.dynamodb().scan().table_name(aws.table()).consistent_read(true).select(Select::Count);
    scan.send().await.unwrap().count
}

#[tokio::test]
async fn rows_of_every_service_and_of_many_pages_are_loaded() {
    let aws = Aws::new().await;
    // 60 rows of 60 KB are four pages of 1 MB.
    let large = "x".repeat(60_000);
    join_all((0..60).map(|n| {
        let (aws, large) = (&aws, &large);
        async move { aws.put_row("acme", None, &format!("tenant_config_{n}"), large).await }
    }))
    .await;
    aws.put_row("acme", Some("cart"), "tenant_config_0", "of the cart").await;
    aws.put_row("globex", None, "tenant_config_x", "of somebody else").await;
    aws.put_row("acme2", None, "tenant_config_x", "of somebody else").await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    // No hub has written a row of this service, so no list of services has it.
    let mut stream = caller.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.state.len(), 60);
    assert_eq!(stream.text("tenant_config_0").as_deref(), Some("of the cart"));
    // Now one does, since somebody has followed it.
    assert_eq!(caller.list().await.len(), 61);
}

#[tokio::test]
async fn what_is_written_is_a_row_that_people_can_read_with_history_and_tombstone() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    assert_eq!(caller.put(KEY, "one").await.unwrap(), 1);
    assert_eq!(caller.put_json(KEY, r#"{"a": 1}"#).await.unwrap(), 2);
    let there = row(&aws, "TENANT#acme", "CONFIG#tenant_config_a").await.unwrap();
    assert_eq!(there["value"], S(r#"{"a": 1}"#.to_owned()));
    assert_eq!(there["version"], N("2".to_owned()));
    assert_eq!(there["author"], S("tester".to_owned()));

    let binary = wire::Content { value: vec![0, 0xff].into(), content_type: String::new(), secret: false };
    assert_eq!(caller.put_content(KEY, binary).await.unwrap(), 3);
    let there = row(&aws, "TENANT#acme", "CONFIG#tenant_config_a").await.unwrap();
    assert!(matches!(&there["value"], B(bytes) if bytes.as_ref() == [0, 0xff]));
    assert_eq!(caller.get("", KEY).await.unwrap().value, vec![0, 0xff]);

    assert_eq!(caller.rollback(KEY, 1).await.unwrap(), 4);
    assert_eq!(caller.delete_for("", KEY).await.unwrap(), 5);
    assert_eq!(caller.get("", KEY).await.unwrap_err().code(), Code::NotFound);
    let tombstone = row(&aws, "TENANT#acme", "CONFIG#tenant_config_a").await.unwrap();
    assert_eq!(tombstone["deleted"], Bool(true));
    assert!(matches!(&tombstone["expires"], N(seconds) if seconds.parse::<u64>().unwrap() > 1_700_000_000));
    let history = caller.history("", KEY, 0).await.unwrap();
    let shown: Vec<_> =
        history.iter().map(|r| (r.entry.as_ref().unwrap().version, r.deleted, r.author.as_str())).collect();
    let kept = [(5, true), (4, false), (3, false), (2, false), (1, false)];
    assert_eq!(shown, kept.map(|(version, deleted)| (version, deleted, "tester")));
    assert_eq!(history[3].entry.as_ref().unwrap().value, r#"{"a": 1}"#);
    // Versions never go back.
    assert_eq!(caller.put(KEY, "again").await.unwrap(), 6);
    // And the row of a service is in its own partition.
    caller.put_for("cart", KEY, "own", None).await.unwrap();
    assert!(row(&aws, "TENANT#acme|SERVICE#cart", "CONFIG#tenant_config_a").await.is_some());
}

#[tokio::test]
async fn a_write_on_a_version_that_is_gone_changes_nothing() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let put_on = |value: &'static str, expected| caller.put_for("", KEY, value, Some(expected));
    assert_eq!(put_on("1", 0).await.unwrap(), 1);
    for wrong in [0, 2] {
        let error = put_on("2", wrong).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{error}");
        assert!(error.message().contains("has version 1"), "{error}");
    }
    // Even if it goes between the look and the write.
    let mut held = aws.proxy.hold("DynamoDB_20120810.PutItem");
    let (written, ()) = tokio::join!(put_on("mine", 1), async {
        // This is the write itself: the copy for the history goes as a batch before it.
        held.until(1).await;
        let pk_sk = [("pk", "TENANT#acme"), ("sk", "CONFIG#tenant_config_a")];
        let update = aws.dynamodb().update_item().table_name(aws.table());
        let update =
            pk_sk.iter().fold(update, |update, (name, value)| update.key(*name, S((*value).to_owned())));
        let update = update.update_expression("SET version = :v, #value = :x");
        let update = update.expression_attribute_names("#value", "value");
        let update = update.expression_attribute_values(":v", N("9".to_owned()));
        update.expression_attribute_values(":x", S("of somebody else".to_owned())).send().await.unwrap();
        drop(held);
    });
    assert_eq!(written.unwrap_err().code(), Code::Aborted);
    assert_eq!(caller.get("", KEY).await.unwrap().value, "of somebody else");
    assert_eq!(caller.put(KEY, "next").await.unwrap(), 10, "above what is there");
}

#[tokio::test]
async fn writers_that_expect_nothing_all_get_a_version_of_their_own() {
    let aws = Aws::new().await;
    let (one, two) = (hub(&aws).await, hub(&aws).await);
    let (one, two) = (one.caller("acme").await, two.caller("acme").await);
    let writes = (0..20).map(|n| {
        let caller = if n % 2 == 0 { &one } else { &two };
        async move { caller.put(KEY, "x").await }
    });
    let written = join_all(writes).await;
    let mut versions: Vec<_> = written.iter().filter_map(|written| written.as_ref().ok()).copied().collect();
    versions.sort_unstable();
    let expected: Vec<_> = (1..).take(versions.len()).collect();
    assert_eq!(versions, expected);
    // Who had to give up was told that nothing was written.
    assert!(written.iter().flat_map(|w| w.as_ref().err()).all(|error| error.code() == Code::Aborted));
    assert_eq!(one.history("", KEY, 0).await.unwrap().len(), versions.len());
}

#[tokio::test]
async fn an_apply_is_one_transaction_of_up_to_100() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let changes =
        |count: usize| (0..count).map(|n| put("", &format!("tenant_config_{n}"), "1")).collect::<Vec<_>>();
    let error = caller.apply(changes(101)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("at most 100 changes as one; these are 101"), "{error}");
    assert_eq!(rows(&aws).await, 0);
    assert_eq!(caller.apply(changes(100)).await.unwrap(), vec![1; 100]);
    // One that is refused refuses all.
    let mut some = changes(3);
    some[1].expected_version = Some(7);
    some.push(delete("", "tenant_config_99"));
    assert_eq!(caller.apply(some).await.unwrap_err().code(), Code::Aborted);
    assert!(caller.list().await.iter().all(|entry| entry.version == 1));
}

#[tokio::test]
async fn what_dynamodb_cannot_keep_is_refused_before_the_call() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "dynamodb");
        settings.limits.value_bytes = 500 * 1024;
    });
    let hub = hub.await;
    let caller = hub.caller("acme").await;
    let error = caller.put(KEY, &"x".repeat(400 * 1024)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains("409600"), "{error}");
    assert_eq!(aws.proxy.calls("DynamoDB_20120810.PutItem"), 0);
    caller.put(KEY, &"x".repeat(395 * 1024)).await.unwrap();
}

#[tokio::test]
async fn rows_that_somebody_writes_for_a_new_service_are_there_after_a_sweep_too() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    // Nobody follows the service, and no hub has written for it.
    aws.put_row("acme", Some("pay"), KEY, "1").await;
    hub.until_metrics("confhub_backend_reads_total", &["dynamodb", "hint"], |reads| reads > 0.0).await;
    let found = caller.reconcile().await.unwrap();
    assert_eq!((found[0].entries, found[0].deleted), (1, 0), "{found:?}");
    assert_eq!(caller.list().await.len(), 1);
    assert_eq!(caller.get("pay", KEY).await.unwrap().value, "1");
}

#[tokio::test]
async fn a_write_that_would_pass_the_limits_of_a_tenant_is_refused_and_ends_nobody() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |settings| {
        settings.limits.tenant_entries = 3;
        settings.limits.tenant_bytes = 100_000;
    });
    let hub = hub.await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    for n in 0..3 {
        caller.put(&format!("tenant_config_{n}"), "1").await.unwrap();
    }
    stream.until("all three", |state| state.len() == 3).await;
    for key in ["tenant_config_3", "param_config_3"] {
        let error = caller.put(key, "1").await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    }
    for n in 0..2 {
        let large = "x".repeat(60_000);
        let written = caller.put(&format!("tenant_config_{n}"), &large).await;
        assert_eq!(written.is_ok(), n == 0, "{written:?}");
        stream.until("the large one", |state| state.get("tenant_config_0").unwrap().value().len() > 1).await;
    }
    // What makes it no larger is always allowed.
    caller.put("tenant_config_0", "2").await.unwrap();
    caller.delete_for("", "tenant_config_2").await.unwrap();
    stream.until("the deletion", |state| state.len() == 2).await;
    caller.put("param_config_3", "1").await.unwrap();
    stream.until("the new one", |state| state.len() == 3).await;
}

#[tokio::test]
async fn a_tenant_has_at_most_a_thousand_services() {
    let aws = Aws::new().await;
    let place = |sk: String| HashMap::from([("pk", "TENANT#acme".to_owned()), ("sk", sk)]);
    let item = |sk| place(sk).into_iter().map(|(name, value)| (name.to_owned(), S(value))).collect();
    let listed: Vec<HashMap<_, _>> = (0..999).map(|n| item(format!("SERVICE#s{n}"))).collect();
    join_all(listed.chunks(25).map(|rows| {
        let put = |row: &HashMap<_, _>| PutRequest::builder().set_item(Some(row.clone())).build().unwrap();
        let writes = rows.iter().map(|row| WriteRequest::builder().put_request(put(row)).build()).collect();
        aws.dynamodb().batch_write_item().request_items(aws.table(), writes).send()
    }))
    .await;
    aws.put_row("acme", Some("by-hand"), KEY, "1").await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    caller.put_for("last", KEY, "1", None).await.unwrap();
    let error = caller.put_for("more", KEY, "1", None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains("at most 1000") && error.message().contains("SERVICE#"), "{error}");
    let error = caller.apply(vec![put("s1", KEY, "1"), put("more", KEY, "1")]).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("more"), "{error}");
    assert!(row(&aws, "TENANT#acme", "SERVICE#more").await.is_none());
    // Those that it has are written, and what is there of others can be deleted.
    caller.put_for("s0", KEY, "1", None).await.unwrap();
    caller.delete_for("by-hand", KEY).await.unwrap();
    // It is as the error says.
    let delete =
        aws.dynamodb().delete_item().table_name(aws.table()).set_key(Some(item("SERVICE#s5".into())));
    delete.send().await.unwrap();
    caller.put_for("more", KEY, "1", None).await.unwrap();
    assert!(caller.put_for("s5", KEY, "1", None).await.is_err());
}

#[tokio::test]
async fn rows_made_by_hand_are_read_as_what_they_are() {
    let aws = Aws::new().await;
    let write = |sk: &str, attributes: Vec<(&str, AttributeValue)>| {
        let put = aws.dynamodb().put_item().table_name(aws.table());
        let put = put.item("pk", S("TENANT#acme".to_owned())).item("sk", S(sk.to_owned()));
        attributes.into_iter().fold(put, |put, (name, value)| put.item(name, value)).send()
    };
    let n = |number: &str| N(number.to_owned());
    let s = |text: &str| S(text.to_owned());
    write("CONFIG#tenant_config_text", vec![("value", s("hello"))]).await.unwrap();
    write("CONFIG#tenant_config_json", vec![("value", s("[1]")), ("version", s("41"))]).await.unwrap();
    write("CONFIG#tenant_config_number", vec![("value", n("4.5")), ("version", n("7"))]).await.unwrap();
    write("CONFIG#tenant_config_bool", vec![("value", Bool(true))]).await.unwrap();
    let map = M(HashMap::from([("a".to_owned(), n("1"))]));
    write("CONFIG#tenant_config_map", vec![("value", map)]).await.unwrap();
    write("CONFIG#tenant_config_bare", vec![("theme", s("dark")), ("limit", n("5"))]).await.unwrap();
    // These can be no entries.
    write("CONFIG#tenant config", vec![("value", s("x"))]).await.unwrap();
    write("CONFIG#", vec![("value", s("x"))]).await.unwrap();
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let json = "application/json";
    for (key, value, content_type, version) in [
        ("text", "hello", "text/plain; charset=utf-8", 1),
        ("json", "[1]", json, 41),
        ("number", "4.5", json, 7),
        ("bool", "true", json, 1),
        ("map", r#"{"a":1}"#, json, 1),
        ("bare", r#"{"limit":5,"theme":"dark"}"#, json, 1),
    ] {
        let entry = stream.state.get(format!("tenant_config_{key}").as_str()).unwrap();
        let found = (std::str::from_utf8(entry.value()).unwrap(), entry.content_type(), entry.version());
        assert_eq!(found, (value, content_type, version), "{key}");
    }
    assert_eq!(stream.state.len(), 6);
    assert!(hub.metrics("confhub_odd_rows_total", &["backend=\"dynamodb\""]).await >= 2.0);
    // A hub's write goes above what is there.
    assert_eq!(caller.put("tenant_config_json", "x").await.unwrap(), 42);
}

#[tokio::test]
async fn the_value_of_a_secret_is_only_read_to_be_revealed() {
    let aws = Aws::new().await;
    let hub = hub(&aws).await;
    let caller = hub.caller("acme").await;
    caller.put_content(KEY, secret("hunter2")).await.unwrap();
    let there = row(&aws, "TENANT#acme", "CONFIG#tenant_config_a").await.unwrap();
    assert!(!there.contains_key("value"), "what everyone reads has no value");
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    assert!(stream.state.get(KEY).is_some_and(|entry| entry.is_secret() && entry.value().is_empty()));
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
    let error = caller.put_content(KEY, text("in the open")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    caller.put_content(KEY, secret("hunter3")).await.unwrap();
    caller.rollback(KEY, 1).await.unwrap();
    assert_eq!(caller.reveal("", KEY).await.unwrap().value, "hunter2");
    assert!(
        caller.history("", KEY, 0).await.unwrap().iter().all(|r| r.entry.as_ref().unwrap().value.is_empty())
    );
}
