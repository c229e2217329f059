//! Whatever the stores and the queue do, a subscriber keeps its state and its
//! stream, and has what the stores have once they answer again.

use crate::support::aws::scene::{PARAMETER, ROW, SECRET, STORES, Scene};
use crate::support::aws::{CredentialServer, Does, Emulator, FixedQueue};
use crate::support::{Aws, Caller, Hub, HubProcess, command, put, secret, soon};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep_until};
use tonic::Code;

/// Every store fails in its own way while somebody else writes to each.
async fn outage(does: [Does; 3], cause: &str) {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    for ((_, calls), does) in STORES.iter().zip(does) {
        scene.aws.proxy.fail(calls, does);
    }
    scene.write("1").await;
    for (store, _) in STORES {
        scene.until_failing(store, cause).await;
    }
    scene.newcomer_is_served().await;
    assert_eq!(scene.stream.text(ROW).as_deref(), Some("0"));
    scene.aws.proxy.heal();
    scene.until_converged("1").await;
    scene.until_well().await;
}

#[tokio::test]
async fn stores_that_throttle_are_read_when_they_let_the_hub() {
    let refuse = |codes: [&'static str; 3]| codes.map(Does::Refuse);
    let throttling = "ThrottlingException";
    tokio::join!(
        outage(refuse(["ProvisionedThroughputExceededException", throttling, throttling]), "throttled"),
        outage(refuse([throttling, "RequestLimitExceeded", "ThrottledException"]), "throttled"),
    );
}

#[tokio::test]
async fn stores_that_fail_or_break_connections_are_read_when_they_are_well() {
    tokio::join!(
        outage([Does::Fail(500), Does::Fail(503), Does::Fail(502)], "failed"),
        outage([Does::Reset; 3], "unreachable"),
        outage([Does::Lose; 3], "unreachable"),
    );
}

#[tokio::test]
async fn stores_that_do_not_answer_are_read_when_they_do() {
    outage([Does::Hang; 3], "timeout").await;
}

#[tokio::test]
async fn one_store_that_is_down_keeps_no_other_from_being_current() {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    scene.aws.proxy.fail("DynamoDB_20120810.", Does::Reset);
    scene.write("1").await;
    let arrived = |state: &confhub_proto::State| state.get(PARAMETER).is_some_and(|e| e.value() == "1");
    scene.stream.until("the parameter", arrived).await;
    scene.until_failing("dynamodb", "unreachable").await;
    let found = scene.caller.reconcile().await.unwrap();
    let failed: Vec<_> = found.iter().map(|sweep| !sweep.error.is_empty()).collect();
    assert_eq!(failed, [true, false, false], "{found:?}");
    let other = scene.hub.caller("globex").await;
    let error = other.subscribe("", b"").await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable, "of a tenant that is not in memory: {error}");
    scene.aws.proxy.heal();
    scene.until_converged("1").await;
    scene.until_well().await;
    // A load that failed answers for a second those who ask in vain.
    soon("the other tenant", until_followed(&other)).await;
}

#[tokio::test]
async fn an_aws_that_stands_still_for_ten_seconds_is_waited_for() {
    let emulator = Emulator::start_own().await;
    let mut scene = Scene::set(Aws::on(&emulator).await, |_| {}).await;
    emulator.pause();
    let end = Instant::now() + Duration::from_secs(10);
    let meanwhile = async {
        let mut looks = interval(Duration::from_millis(500));
        while Instant::now() < end {
            // However it hangs, who probes has an answer.
            assert_eq!(scene.hub.readyz().await.0, 200);
            scene.newcomer_is_served().await;
            looks.tick().await;
        }
        sleep_until(end).await;
        emulator.resume();
    };
    // Either it is answered in the end, or it says what is wrong.
    let (found, ()) = tokio::join!(scene.caller.reconcile(), meanwhile);
    assert_eq!(found.unwrap().len(), 3);
    scene.write("1").await;
    scene.until_converged("1").await;
    scene.until_well().await;
}

#[tokio::test]
async fn credentials_that_aws_refuses_are_told_of_and_tried_again() {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    scene.aws.proxy.fail("", Does::Refuse("ExpiredTokenException"));
    scene.aws.proxy.cut();
    let found = scene.caller.reconcile().await.unwrap();
    assert!(found.iter().all(|sweep| sweep.error.contains("ExpiredToken")), "{found:?}");
    for (store, _) in STORES {
        scene.until_failing(store, "denied").await;
    }
    scene.hub.until_metrics("confhub_source_failures_total", &["cause=\"denied\""], |n| n > 0.0).await;
    scene.hub.until_metric("confhub_source_up", |up| up < 1.0).await;
    let source = scene.caller.status().await.unwrap().change_source.unwrap();
    assert!(source.error.contains("ExpiredToken"), "{source:?}");
    scene.write("1").await;
    scene.newcomer_is_served().await;
    scene.aws.proxy.heal();
    scene.until_converged("1").await;
    scene.until_well().await;
}

#[tokio::test]
async fn a_hub_goes_on_with_its_next_credentials_when_the_first_have_ended() {
    let aws = Aws::new().await;
    let server = CredentialServer::start(&aws.id).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    let mut variables = aws.variables();
    variables.retain(|name, _| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    command.envs(variables).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &server.url);
    let hub = HubProcess::start_by(command, folder.path(), &[]).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    assert!(server.asked("first") > 0);
    server.renew();
    aws.proxy.expire("first");
    aws.proxy.cut();
    aws.put_parameter("acme", "shared", PARAMETER, "1").await;
    aws.put_row("acme", None, ROW, "1").await;
    stream.until("both", |state| state.len() == 2).await;
    let status = soon("all stores", async {
        let mut looks = interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let status = caller.status().await.unwrap();
            let source = status.change_source.as_ref().unwrap();
            if source.error.is_empty() && status.backends.iter().all(|backend| backend.error.is_empty()) {
                return status;
            }
        }
    });
    assert_eq!(status.await.entries, 2);
    assert!(server.asked("second") > 0);
}

#[tokio::test]
async fn a_table_that_is_made_after_the_hub_has_started_makes_it_ready() {
    let aws = Aws::new().await;
    aws.delete_table().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    let (status, said) = hub.readyz().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains(&format!("the table `{}` does not exist", aws.table())), "{said}");
    let caller = hub.caller("acme").await;
    let error = caller.subscribe("", b"").await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    aws.make_table().await;
    let ready = async {
        let mut looks = interval(Duration::from_millis(50));
        while hub.readyz().await.0 != 200 {
            looks.tick().await;
        }
    };
    soon("the hub to be ready", ready).await;
    let mut stream = soon("the tenant", until_followed(&caller)).await;
    assert_eq!(caller.put(ROW, "1").await.unwrap(), 1);
    stream.until("the value", |state| state.len() == 1).await;
}

/// Who is told that a store is away tries again.
async fn until_followed(caller: &Caller) -> crate::support::Stream {
    let mut tries = interval(Duration::from_millis(100));
    loop {
        tries.tick().await;
        match caller.subscribe("", b"").await {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_table_that_is_deleted_under_a_hub_takes_nothing_from_its_memory() {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    scene.aws.delete_table().await;
    let found = scene.caller.reconcile().await.unwrap();
    assert!(found[0].error.contains(scene.aws.table()), "{found:?}");
    assert!(found[1..].iter().all(|sweep| sweep.error.is_empty()), "{found:?}");
    scene.until_failing("dynamodb", "missing").await;
    assert_eq!(scene.caller.put(ROW, "x").await.unwrap_err().code(), Code::Unavailable);
    scene.newcomer_is_served().await;
    assert_eq!(scene.stream.text(ROW).as_deref(), Some("0"));
    scene.aws.make_table().await;
    scene.write("1").await;
    scene.caller.reconcile().await.unwrap();
    scene.until_converged("1").await;
    scene.until_well().await;
}

#[tokio::test]
async fn a_root_with_nothing_below_it_is_empty_and_no_fault() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |settings| settings.aws.root = "nothing-here".to_owned()).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    assert!(stream.state.is_empty());
    hub.until_source_is_up().await;
    assert_eq!(hub.readyz().await, (200, "ok\n".to_owned()));
    assert!(hub.metrics("confhub_backend_failures_total", &[]).await < 1.0);
    caller.put(PARAMETER, "1").await.unwrap();
    stream.until("the first one", |state| state.len() == 1).await;
}

#[tokio::test]
async fn a_fixed_queue_that_is_deleted_is_waited_for_while_sweeps_find_what_changes() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |settings| settings.times.reconcile = Duration::from_secs(1)).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    assert_eq!(hub.readyz().await.0, 200);
    queue.delete().await;
    // The emulator lets a receive that waits go on.
    aws.proxy.cut();
    hub.until_metrics("confhub_source_failures_total", &["cause=\"missing\""], |n| n > 0.0).await;
    hub.until_metric("confhub_source_up", |up| up < 1.0).await;
    let (status, said) = hub.readyz().await;
    assert!(status == 200 && said.contains("degraded") && said.contains(&queue.url), "{status} {said}");
    let source = caller.status().await.unwrap().change_source.unwrap();
    assert!(source.error.contains(&queue.url), "{source:?}");
    aws.put_parameter("acme", "shared", PARAMETER, "1").await;
    stream.until("the sweep", |state| state.len() == 1).await;
    let labels = ["backend=\"ssm\"", "change=\"created\"", "cause=\"source-down\""];
    hub.until_metrics("confhub_drift_entries_total", &labels, |drift| drift > 0.0).await;
    let lost = hub.metrics("confhub_drift_entries_total", &["cause=\"hint-lost\""]).await;
    assert!(lost < 1.0, "the hub knows that no hint could come");
    let again = FixedQueue::make(&aws).await;
    hub.until_source_is_up().await;
    again.send("garbage").await;
    hub.until_metrics("confhub_source_messages_total", &["outcome=\"poison\""], |n| n > 0.0).await;
    assert_eq!(hub.readyz().await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn what_changes_while_the_queue_cannot_be_reached_arrives_when_it_can() {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    scene.aws.proxy.fail("AmazonSQS.", Does::Reset);
    scene.aws.proxy.cut();
    scene.hub.until_metrics("confhub_source_failures_total", &["cause=\"unreachable\""], |n| n > 1.0).await;
    scene.until_ready("the change source has been failing").await;
    scene.write("1").await;
    scene.newcomer_is_served().await;
    scene.aws.proxy.heal();
    scene.until_converged("1").await;
    scene.until_well().await;
    // The queue has kept it: nothing had to be found.
    let drift = scene.hub.metrics("confhub_drift_entries_total", &[]).await;
    assert!(drift < 1.0, "{drift}");
}

#[tokio::test]
async fn a_write_that_a_store_refuses_is_unavailable_and_not_made() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let faults = [
        ("DynamoDB_20120810.PutItem", Does::Refuse("ProvisionedThroughputExceededException")),
        ("AmazonSSM.PutParameter", Does::Refuse("ThrottlingException")),
        ("secretsmanager.CreateSecret", Does::Fail(500)),
    ];
    for (call, does) in faults {
        aws.proxy.fail(call, does);
    }
    let (row, parameter, secret) = tokio::join!(
        caller.put(ROW, "1"),
        caller.put(PARAMETER, "1"),
        caller.put_content(SECRET, secret("1")),
    );
    for written in [row, parameter, secret] {
        let error = written.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
    aws.proxy.heal();
    assert!(caller.list().await.is_empty());
    assert_eq!(caller.put(ROW, "1").await.unwrap(), 1);
    assert_eq!(caller.put(PARAMETER, "1").await.unwrap(), 1);
    stream.until("both", |state| state.len() == 2).await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_found_and_counted_once() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    // Where a second attempt tells the first one's work from another's, it succeeds.
    aws.proxy.fail_once("DynamoDB_20120810.PutItem", Does::Lose);
    assert_eq!(caller.put(ROW, "1").await.unwrap(), 1);
    aws.proxy.fail_once("DynamoDB_20120810.TransactWriteItems", Does::Lose);
    let two = vec![put("", "tenant_config_b", "1"), put("", "tenant_config_c", "1")];
    assert_eq!(caller.apply(two).await.unwrap(), [1, 1]);
    caller.put_content(SECRET, secret("1")).await.unwrap();
    aws.proxy.fail_once("secretsmanager.PutSecretValue", Does::Lose);
    let second = caller.put_content(SECRET, secret("2")).await.unwrap();
    let history = caller.history("", SECRET, 0).await.unwrap();
    assert_eq!(history[0].entry.as_ref().unwrap().version, second);
    assert!(history.len() <= 2, "{history:?}");
    // Where it cannot, there is none, and the writer is told that it may have been made.
    aws.proxy.fail_once("AmazonSSM.PutParameter", Does::Lose);
    assert_eq!(caller.put(PARAMETER, "1").await.unwrap_err().code(), Code::Unavailable);
    stream.until("all five", |state| state.len() == 5).await;
    aws.proxy.fail("DynamoDB_20120810.PutItem", Does::Lose);
    assert_eq!(caller.put("tenant_config_d", "1").await.unwrap_err().code(), Code::Unavailable);
    stream.until("the sixth", |state| state.len() == 6).await;
    let once = |state: &confhub_proto::State| {
        state.iter().filter(|entry| entry.key().as_str() != SECRET).all(|entry| entry.version() == 1)
    };
    assert!(once(&stream.state), "{:?}", stream.state);
    aws.proxy.heal();
    assert_eq!(caller.put(PARAMETER, "2").await.unwrap(), 2);
    assert_eq!(caller.history("", ROW, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn forged_events_and_odd_names_show_nobody_what_is_not_theirs() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let hub = queue.hub(&aws, |_| {}).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let (mut ours, mut theirs) =
        (acme.subscribe("cart", b"").await.unwrap(), globex.subscribe("cart", b"").await.unwrap());
    ours.until_current().await;
    theirs.until_current().await;
    let partitions = [
        "TENANT#acme#globex",
        "TENANT#acme|SERVICE#cart|SERVICE#order",
        "TENANT#acme|SERVICE#../globex",
        "TENANT#acme|SERVICE#",
        "TENANT#../acme",
        "TENANT#",
        "tenant#acme",
        "TENANT#acme|TENANT#globex",
    ];
    let value = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let sort_keys =
        ["CONFIG#tenant_config_forged", "CONFIG#param_config_forged", "CONFIG#../tenant_config_a"];
    let mut records = Vec::new();
    for (pk, sk) in partitions.iter().flat_map(|pk| sort_keys.map(|sk| (*pk, sk))) {
        let item = aws.dynamodb().put_item().table_name(aws.table()).item("pk", value(pk));
        item.item("sk", value(sk)).item("value", value("forged")).send().await.unwrap();
        records.push((pk, sk));
    }
    // A key of another backend, below a partition that is right; and events of
    // rows and parameters that are not there, with values beside.
    let stranger = aws.dynamodb().put_item().table_name(aws.table()).item("pk", value("TENANT#acme"));
    let stranger = stranger.item("sk", value("CONFIG#param_config_forged")).item("value", value("forged"));
    stranger.send().await.unwrap();
    records
        .extend([("TENANT#acme", "CONFIG#param_config_forged"), ("TENANT#acme", "CONFIG#tenant_config_x")]);
    aws.put_parameter("acme", "shared", "tenant_config_forged", "forged").await;
    for (pk, sk) in records {
        let keys = json!({"pk": {"S": pk}, "sk": {"S": sk}});
        let image = json!({"pk": {"S": "TENANT#globex"}, "sk": {"S": sk}, "value": {"S": "forged"}});
        let record = json!({"eventSource": "aws:dynamodb", "eventName": "INSERT",
            "dynamodb": {"Keys": keys, "NewImage": image}});
        queue.send(&record.to_string()).await;
    }
    let root = &aws.outputs["CONFHUB_AWS_ROOT"];
    for name in [
        format!("/{root}/acme/../globex/shared/param_config_a"),
        format!("/{root}/acme/shared/tenant_config_forged"),
        format!("/{root}/acme|SERVICE#cart/shared/param_config_a"),
        format!("/{root}/acme%2fglobex/shared/param_config_a"),
        format!("/{root}//shared/param_config_a"),
        format!("/{root}x/acme/shared/param_config_a"),
    ] {
        let detail = json!({"operation": "Update", "name": name, "type": "String", "value": "forged"});
        let event = json!({"source": "aws.ssm", "detail-type": "Parameter Store Change", "detail": detail});
        queue.send(&event.to_string()).await;
    }
    queue.until_empty().await;
    let hub_state = acme.reconcile().await.unwrap();
    assert!(hub_state.iter().all(|sweep| sweep.entries == 0), "{hub_state:?}");
    globex.reconcile().await.unwrap();
    for (caller, stream) in [(&acme, &mut ours), (&globex, &mut theirs)] {
        assert_eq!(caller.put("tenant_config_true", "1").await.unwrap(), 1);
        stream.until("what is theirs", |state| !state.is_empty()).await;
        assert_eq!((stream.state.len(), stream.entries), (1, 1), "{:?}", stream.state);
        assert_eq!(caller.list().await.len(), 1);
    }
}
