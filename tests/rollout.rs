//! A flag is rolled out step by step, for as long as all goes well.

use crate::support::{Caller, Hub, HubProcess, Operator, Stream, client, soon, text, until_state};
use confhub_client::Client;
use confhub_client::flags::{Context, FlagName};
use confhub_flags::FLAG_TYPE;
use confhub_proto::wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::interval;
use tonic::Code;

const FLAG: &str = "newCheckout";

fn key() -> String {
    FlagName::new(FLAG).unwrap().key().to_string()
}

fn definition() -> Value {
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"})
}

/// Writes the flag as it is before all rollouts.
async fn create(writer: &Caller) -> u64 {
    let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&definition().to_string()) };
    writer.put_content(&key(), content).await.unwrap()
}

async fn present(writer: &Caller) -> Value {
    serde_json::from_slice(&writer.get("", &key()).await.unwrap().value).unwrap()
}

/// A flag is a rule and a definition: what of it gives users a share.
async fn weights(writer: &Caller) -> Value {
    present(writer).await["targeting"]["fractional"].clone()
}

async fn connected(hub: &Hub, service: &str, name: &str) -> Client {
    client(hub, "acme").service(service).instance(name).connect().await.unwrap()
}

/// Starts a rollout by the command, and returns its id.
async fn started(operator: &Operator, more: &[&str]) -> String {
    let args = [&["rollout", "start", FLAG][..], more].concat();
    operator.json(&args).await["id"].as_str().unwrap().to_owned()
}

async fn status(operator: &Operator, id: &str) -> Value {
    operator.json(&["rollout", "status", id]).await
}

/// Waits until a rollout is in a state.
async fn until(operator: &Operator, id: &str, state: &str) -> Value {
    let mut tick = interval(Duration::from_millis(20));
    soon(state, async {
        loop {
            let rollout = status(operator, id).await;
            if rollout["state"] == state {
                return rollout;
            }
            tick.tick().await;
        }
    })
    .await
}

fn reason(rollout: &Value) -> &str {
    rollout["reason"].as_str().unwrap_or_default()
}

/// A stream that says that it reports, and does only what the test does.
async fn puppet(caller: &Caller, name: &str, id: [u8; 16]) -> Stream {
    let info = wire::ClientInfo { id: id.to_vec(), instance: name.to_owned(), ..Default::default() };
    let request =
        wire::SubscribeRequest { service: "cart".to_owned(), client: Some(info), ..Default::default() };
    let mut stream = caller.open(request).await.unwrap();
    stream.until_current().await;
    stream
}

#[tokio::test]
async fn each_step_is_applied_everywhere_and_followed_by_the_next() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let clients = [connected(&hub, "cart", "cart-1").await, connected(&hub, "ad", "ad-1").await];
    let args = ["rollout", "start", FLAG, "--steps", "10,50,100", "--hold", "50ms", "--follow"];
    let ran = operator.run(&args).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["started by tester", "10 written as version 2", "50 is applied by 2 instances", "done"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert_eq!(weights(&writer).await, json!([["on", 100], ["off", 0]]));
    // Nobody had to wait for a step: it was there when the next came.
    for client in &clients {
        assert!(client.flags().boolean(FLAG, false, &Context::of("anybody")));
    }
    let history = writer.history("", &key(), 0).await.unwrap();
    assert_eq!(history.len(), 4);
    assert!(history[0].author.starts_with("tester by rollout "), "{}", history[0].author);
    let list = operator.json(&["rollout", "list"]).await;
    let id = list["rollouts"][0]["id"].as_str().unwrap().to_owned();
    let record = operator.ok(&["rollout", "record", &id]).await;
    assert!(record.contains("100 is applied by 2 instances"), "{record}");
}

#[tokio::test]
async fn a_refusal_by_an_instance_restores_the_state_before_and_says_why() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let mut cannot = puppet(&writer, "cart-1", [1; 16]).await;
    let id = started(&operator, &["--steps", "10,100", "--hold", "1h"]).await;
    cannot.until("the first step", |state| state.get(&key()).is_some_and(|entry| entry.version() == 2)).await;
    let problem = wire::Problem { key: key(), reason: "no such variant here".to_owned() };
    let report = wire::ReportRequest {
        id: vec![1; 16],
        cursor: cannot.state.digest().to_bytes().to_vec(),
        problems: vec![problem],
        ..Default::default()
    };
    writer.fleet.clone().report(writer.request(report)).await.unwrap();
    let ended = until(&operator, &id, "rolled_back").await;
    assert!(reason(&ended).contains("`cart-1` of cart (no such variant here)"), "{ended}");
    assert_eq!(present(&writer).await, definition());
}

#[tokio::test]
async fn an_instance_that_does_not_report_restores_the_state_before() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let _good = connected(&hub, "ad", "ad-1").await;
    let _silent = puppet(&writer, "silent", [1; 16]).await;
    let steps = ["--steps", "10,100", "--hold", "10ms", "--apply-timeout", "500ms"];
    let id = started(&operator, &steps).await;
    let ended = until(&operator, &id, "rolled_back").await;
    assert!(reason(&ended).contains("not applied within 500 ms by `silent` of cart"), "{ended}");
    assert_eq!(present(&writer).await, definition());
    // It is of no concern to those who do not wait for it.
    let id = started(&operator, &[&steps[..], &["--services", "ad"]].concat()).await;
    until(&operator, &id, "done").await;
}

#[tokio::test]
async fn a_failing_check_restores_the_state_before_and_a_passing_one_lets_it_go_on() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let start = ["rollout", "start", FLAG, "--steps", "10,100", "--hold", "20ms", "--check-every", "50ms"];
    let with = |more: &[&'static str]| [&start[..], more].concat();
    let failed = operator.run(&with(&["--check-command", "echo too many errors >&2; exit 3"])).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(
        failed.out.contains("a check has failed") && failed.out.contains("too many errors"),
        "{failed:?}"
    );
    assert_eq!(present(&writer).await, definition());
    let url = |path: &str| format!("http://{}{path}", hub.addresses.http);
    for (path, code) in [("/nothing", 1), ("/readyz", 0)] {
        let url = url(path);
        let ran = operator.run(&[&start[..], &["--check-url", &url]].concat()).await;
        assert_eq!(ran.code, Some(code), "{path}: {ran:?}");
    }
    // As long as no check has passed, the first step is held.
    assert_eq!(weights(&writer).await, json!([["on", 100], ["off", 0]]));
    create(&writer).await;
    let passed = operator.run(&with(&["--check-command", "test -n \"$CONFHUB_ROLLOUT\""])).await;
    assert_eq!(passed.code, Some(0), "{passed:?}");
}

#[tokio::test]
async fn a_rollout_whose_checks_stay_away_pauses() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let request = wire::StartRolloutRequest {
        flag: FLAG.to_owned(),
        steps: vec!["10".to_owned(), "100".to_owned()],
        check_within: Some(Duration::from_millis(300).try_into().unwrap()),
        ..Default::default()
    };
    let rollout = writer.rollouts.clone().start_rollout(writer.request(request)).await.unwrap().into_inner();
    let paused = until(&operator, &rollout.id, "paused").await;
    assert!(reason(&paused).contains("nobody makes the checks"), "{paused}");
    assert_eq!(weights(&writer).await, json!([["on", 10], ["off", 90]]), "the flag stays as it is");
    operator.ok(&["rollout", "abort", &rollout.id]).await;
    until(&operator, &rollout.id, "aborted").await;
    assert_eq!(present(&writer).await, definition());
}

#[tokio::test]
async fn a_change_from_elsewhere_pauses_it_and_is_never_overwritten() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let id = started(&operator, &["--steps", "10,100", "--hold", "1h"]).await;
    until(&operator, &id, "holding").await;
    let mut theirs = definition();
    theirs["defaultVariant"] = json!("on");
    let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&theirs.to_string()) };
    let version = writer.put_content(&key(), content).await.unwrap();
    let paused = until(&operator, &id, "paused").await;
    assert!(reason(&paused).contains(&format!("it has version {version}")), "{paused}");
    assert_eq!(present(&writer).await, theirs);
    operator.ok(&["rollout", "resume", &id]).await;
    until(&operator, &id, "holding").await;
    let now = present(&writer).await;
    assert_eq!(
        (&now["defaultVariant"], weights(&writer).await),
        (&json!("on"), json!([["on", 10], ["off", 90]]))
    );
    operator.ok(&["rollout", "abort", &id]).await;
    until(&operator, &id, "aborted").await;
    assert_eq!(present(&writer).await, theirs, "that is what it was before the step");
}

#[tokio::test]
async fn an_operator_pauses_goes_on_and_ends_it() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    create(&writer).await;
    let id = started(&operator, &["--steps", "10,100", "--hold", "1h"]).await;
    until(&operator, &id, "holding").await;
    operator.ok(&["rollout", "pause", &id]).await;
    let paused = until(&operator, &id, "paused").await;
    assert!(reason(&paused).contains("paused by tester"), "{paused}");
    let again = operator.run(&["rollout", "start", FLAG, "--steps", "50", "--hold", "1s"]).await;
    assert!(again.code == Some(1) && again.err.contains(&id), "{again:?}");
    operator.ok(&["rollout", "resume", &id]).await;
    until(&operator, &id, "holding").await;
    operator.ok(&["rollout", "abort", "--keep", &id]).await;
    until(&operator, &id, "aborted").await;
    assert_eq!(weights(&writer).await, json!([["on", 10], ["off", 90]]));
    for (args, code) in [(&["pause", &*id][..], 1), (&["resume", "00ff"], 3), (&["status", "no/thing"], 3)] {
        let ran = operator.run(&[&["rollout"], args].concat()).await;
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_rollout_survives_the_death_of_its_hub() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    create(&hub.caller("acme").await).await;
    let operator = Operator::at(&hub.endpoint(), &hub.token("acme"));
    let id = started(&operator, &["--steps", "10,60,100", "--hold", "1s"]).await;
    until(&operator, &id, "holding").await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let operator = Operator::at(&hub.endpoint(), &hub.token("acme"));
    let done = until(&operator, &id, "done").await;
    let texts: Vec<_> = done["events"].as_array().unwrap().iter().map(|event| &event["text"]).collect();
    let written = texts.iter().filter(|text| text.as_str().unwrap().contains("written as")).count();
    assert_eq!(written, 3, "each step once: {texts:?}");
    assert_eq!(weights(&hub.caller("acme").await).await, json!([["on", 100], ["off", 0]]));
}

#[tokio::test]
async fn what_cannot_be_rolled_out_is_refused_and_nothing_is_written() {
    let hub = Hub::start().await;
    let (writer, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    let missing = operator.run(&["rollout", "start", FLAG, "--steps", "10", "--hold", "1s"]).await;
    assert!(missing.code == Some(3) && missing.err.contains("create it first"), "{missing:?}");
    create(&writer).await;
    let many = (1..=21).map(|step| step.to_string()).collect::<Vec<_>>().join(",");
    for (args, hint) in [
        (&["--steps", "50,10"][..], "not more than the one before"),
        (&["--steps", "10,10.0"], "not more than the one before"),
        (&["--steps", "101"], "percentage"),
        (&["--steps", "x"], "percentage"),
        (&["--steps", &many], "1 to 20"),
        (&["--steps", "10", "--on", "blue"], "blue"),
        (&["--steps", "10", "--check-url", "ftp://x"], "http"),
    ] {
        let ran = operator.run(&[&["rollout", "start", FLAG, "--hold", "1s"], args].concat()).await;
        assert!(matches!(ran.code, Some(1 | 2)) && ran.err.contains(hint), "{args:?}: {ran:?}");
    }
    let mut own = definition();
    own["targeting"] = json!({"if": [true, "on", "off"]});
    let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&own.to_string()) };
    writer.put_content(&key(), content).await.unwrap();
    let ran = operator.run(&["rollout", "start", FLAG, "--steps", "10", "--hold", "1s"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("somebody's own"), "{ran:?}");
    assert_eq!(present(&writer).await, own);
    operator.ok(&["put", &key(), &definition().to_string(), "--content-type", FLAG_TYPE]).await;
    operator.ok(&["flag", "set-percentage", FLAG, "50"]).await;
    let ran = operator.run(&["rollout", "start", FLAG, "--steps", "49.9,100", "--hold", "1s"]).await;
    assert!(ran.code == Some(1) && ran.err.contains("would lose it"), "{ran:?}");
    assert_eq!(operator.json(&["rollout", "list"]).await, json!({"rollouts": []}));
}

#[tokio::test]
async fn nobody_sees_or_steers_the_rollout_of_another_tenant_or_service() {
    let hub = Hub::start().await;
    let (acme, operator) = (hub.caller("acme").await, Operator::of(&hub, "acme"));
    let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&definition().to_string()) };
    let request = wire::PutRequest {
        key: key(),
        service: "cart".to_owned(),
        content: Some(content),
        expected_version: None,
    };
    acme.admin.clone().put(acme.request(request)).await.unwrap();
    let cart = connected(&hub, "cart", "cart-1").await;
    let id = started(&operator, &["--service", "cart", "--steps", "10,100", "--hold", "1h"]).await;
    until(&operator, &id, "holding").await;
    let ad = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "ad")).await;
    let globex = hub.caller("globex").await;
    for caller in [&ad, &globex] {
        let all = wire::ListRolloutsRequest::default();
        let listed = caller.rollouts.clone().list_rollouts(caller.request(all)).await.unwrap().into_inner();
        assert!(listed.rollouts.is_empty());
        let one = wire::ListRolloutsRequest { id: id.clone() };
        let refused = caller.rollouts.clone().list_rollouts(caller.request(one)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let abort = wire::SteerRolloutRequest {
            id: id.clone(),
            action: wire::steer_rollout_request::Action::Abort.into(),
        };
        let refused = caller.rollouts.clone().steer_rollout(caller.request(abort)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let check = wire::CheckRolloutRequest { id: id.clone(), passed: false, message: String::new() };
        let refused = caller.rollouts.clone().check_rollout(caller.request(check)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    assert_eq!(status(&operator, &id).await["state"], "holding");
    until_state(&cart, "the step", |state| state.get(&key()).is_some_and(|entry| entry.version() == 2)).await;
}
