//! Change events become hints, whatever they look like and however they come.

use crate::support::aws::FixedQueue;
use crate::support::{Aws, Hub, Stream, seed, soon};
use aws_sdk_dynamodb::types::AttributeValue::S;
use fastrand::Rng;
use serde_json::json;

const ROW: &str = "tenant_config_a";
const PARAMETER: &str = "param_config_a";

/// What somebody else writes, and what AWS says of it.
async fn write_row(aws: &Aws, value: &str) -> String {
    aws.put_row("acme", None, ROW, value).await;
    let keys = json!({"pk": {"S": "TENANT#acme"}, "sk": {"S": format!("CONFIG#{ROW}")}});
    json!({"eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": keys}})
        .to_string()
}

async fn write_parameter(aws: &Aws, value: &str) -> String {
    aws.put_parameter("acme", "shared", PARAMETER, value).await;
    parameter_event(&aws.path("acme", "shared", PARAMETER))
}

fn parameter_event(name: &str) -> String {
    let detail = json!({"operation": "Update", "name": name, "type": "String", "description": ""});
    let kind = "Parameter Store Change";
    json!({"version": "0", "id": "1", "source": "aws.ssm", "detail-type": kind, "detail": detail}).to_string()
}

fn on_the_bus(record: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    json!({"version": "0", "source": "confhub.table", "detail-type": "DynamoDB Stream Record", "detail": record})
        .to_string()
}

fn in_an_envelope(body: &str) -> String {
    json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:x", "Message": body})
        .to_string()
}

async fn until_value(stream: &mut Stream, key: &str, value: &str) {
    stream.until(value, |state| state.get(key).is_some_and(|entry| entry.value() == value.as_bytes())).await;
}

#[tokio::test]
async fn what_anybody_writes_deletes_and_makes_again_arrives() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let mut stream = hub.caller("acme").await.subscribe("cart", b"").await.unwrap().counting_anew();
    stream.until_current().await;
    aws.put_row("acme", None, ROW, "1").await;
    aws.put_row("acme", Some("cart"), "tenant_config_b", "of the cart").await;
    aws.put_parameter("acme", "cart", PARAMETER, "1").await;
    let secret = aws.path("acme", "shared", "secret_config_a");
    aws.secrets().create_secret().name(&secret).secret_string("x").send().await.unwrap();
    stream.until("all four", |state| state.len() == 4).await;
    let old = stream.state.get("secret_config_a").unwrap().version();
    aws.secrets().put_secret_value().secret_id(&secret).secret_string("y").send().await.unwrap();
    stream.until("the secret", |state| state.get("secret_config_a").is_some_and(|e| e.version() > old)).await;
    let delete = aws.dynamodb().delete_item().table_name(aws.table()).key("pk", S("TENANT#acme".to_owned()));
    delete.key("sk", S(format!("CONFIG#{ROW}"))).send().await.unwrap();
    let path = aws.path("acme", "cart", PARAMETER);
    aws.ssm().delete_parameter().name(&path).send().await.unwrap();
    stream.until("both to be gone", |state| state.len() == 2).await;
    aws.put_parameter("acme", "cart", PARAMETER, "again").await;
    until_value(&mut stream, PARAMETER, "again").await;
    assert!(hub.metrics("confhub_drift_entries_total", &[]).await < 1.0, "events told of everything");
}

#[tokio::test]
async fn an_event_is_understood_plain_wrapped_and_raw() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    type Shape = fn(&str) -> String;
    let shapes: [(&str, Shape); 2] = [("as it is", str::to_owned), ("in an envelope", in_an_envelope)];
    for (name, shape) in shapes {
        let event = write_parameter(&aws, name).await;
        queue.send(&shape(&event)).await;
        until_value(&mut stream, PARAMETER, name).await;
        let record = write_row(&aws, name).await;
        queue.send(&shape(&record)).await;
        until_value(&mut stream, ROW, name).await;
        let other = format!("{name}, from the bus");
        let record = write_row(&aws, &other).await;
        queue.send(&shape(&on_the_bus(&record))).await;
        until_value(&mut stream, ROW, &other).await;
    }
    queue.until_empty().await;
}

#[tokio::test]
async fn events_that_come_three_times_and_in_any_order_do_no_harm() {
    let mut random = Rng::with_seed(seed());
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let mut held: Vec<String> = Vec::new();
    for n in 0..30 {
        let event = match random.bool() {
            true => write_parameter(&aws, &n.to_string()).await,
            false => on_the_bus(&write_row(&aws, &n.to_string()).await),
        };
        held.extend([event.clone(), event.clone(), event]);
        random.shuffle(&mut held);
        let now = random.usize(..held.len());
        for event in held.split_off(now) {
            queue.send(&event).await;
        }
    }
    let (row, parameter) = (write_row(&aws, "last").await, write_parameter(&aws, "last").await);
    held.extend([row, parameter]);
    random.shuffle(&mut held);
    for event in held {
        queue.send(&event).await;
    }
    until_value(&mut stream, PARAMETER, "last").await;
    until_value(&mut stream, ROW, "last").await;
    queue.until_empty().await;
}

#[tokio::test]
async fn what_is_no_event_goes_to_the_dead_letters_and_takes_nothing_with_it() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let deep = "[".repeat(10_000);
    let garbage = ["garbage", "{}", "[[[]]]", r#"{"detail": 1}"#, "\u{fffd}", &deep];
    let sent = garbage.len();
    for body in garbage {
        queue.send(body).await;
    }
    // Well-formed, and of nobody: other names, other tenants' keys, odd ones.
    for name in
        ["/confhub/acme/shared/..", "/confhub/acme/shared", "/other/acme/shared/param_config_a", "", "/"]
    {
        queue.send(&parameter_event(name)).await;
    }
    let event = write_parameter(&aws, "1").await;
    queue.send(&event).await;
    until_value(&mut stream, PARAMETER, "1").await;
    queue.until_dead(sent).await;
    queue.until_empty().await;
    let poison = hub.metrics("confhub_source_messages_total", &["outcome=\"poison\""]).await;
    assert!((poison - sent as f64).abs() < 0.5, "{poison} counted, {sent} sent");
}

#[tokio::test]
async fn events_for_tenants_that_nobody_follows_cost_no_read() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let stores = ["DynamoDB_20120810", "AmazonSSM", "secretsmanager"];
    // The hub looks after its own records meanwhile.
    let reads = || stores.iter().map(|store| aws.proxy.found(store)).sum::<u64>();
    aws.proxy.look_for("globex");
    for _ in 0..20 {
        queue.send(&parameter_event(&aws.path("globex", "shared", PARAMETER))).await;
    }
    queue.until_empty().await;
    assert_eq!(reads(), 0);
    assert!(hub.metrics("confhub_hints_total", &[]).await > 0.0);
    // That is how a read would be seen.
    hub.caller("globex").await.get("", PARAMETER).await.unwrap_err();
    assert!(reads() > 0);
}

#[tokio::test]
async fn a_change_with_a_thousand_followers_is_read_once() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let caller = hub.caller("acme").await;
    let before = aws.proxy.calls("AmazonSSM.GetParameters");
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(caller.subscribe("", b"").await.unwrap());
    }
    let loads = aws.proxy.calls("AmazonSSM.GetParameters");
    assert_eq!(loads - before, 1, "a thousand share one load");
    let event = write_parameter(&aws, "1").await;
    queue.send(&event).await;
    for stream in &mut streams {
        until_value(stream, PARAMETER, "1").await;
    }
    queue.until_empty().await;
    assert_eq!(aws.proxy.calls("AmazonSSM.GetParameters") - loads, 1);
}

#[tokio::test]
async fn a_thousand_hints_for_one_key_within_a_second_are_few_reads() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let event = write_parameter(&aws, "1").await;
    let began = tokio::time::Instant::now();
    // A message may hold many records; ten of a hundred are a thousand hints.
    let row = write_row(&aws, "1").await;
    let hundred = format!("[{}]", vec![row; 100].join(","));
    for _ in 0..10 {
        queue.send(&hundred).await;
    }
    queue.send(&event).await;
    until_value(&mut stream, ROW, "1").await;
    queue.until_empty().await;
    let seconds = began.elapsed().as_secs_f64();
    let reads = hub.metrics("confhub_backend_reads_total", &["dynamodb", "hint"]).await;
    assert!(reads <= 3.0 + 2.0 * seconds, "{reads} reads in {seconds} s");
}

#[tokio::test]
async fn a_hub_that_is_killed_before_it_deletes_leaves_the_message_to_the_next() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let folder = tempfile::tempdir().unwrap();
    let process = queue.process(&aws, folder.path()).await;
    let mut stream = process.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let mut held = aws.proxy.hold("AmazonSQS.DeleteMessageBatch");
    let event = write_parameter(&aws, "1").await;
    queue.send(&event).await;
    until_value(&mut stream, PARAMETER, "1").await;
    held.until(1).await;
    process.kill().await;
    drop(held);
    // The next one loads what changed anyhow; the message it has from the queue.
    let _next = queue.process(&aws, folder.path()).await;
    soon("the message to be handled", queue.until_empty()).await;
}
