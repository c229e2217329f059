//! What instances have applied is known, and a write can wait for it.

use crate::support::{Caller, Hub, Operator, Proxy, Stream, client, has, soon, text, until_state};
use confhub_client::{Builder, Client};
use confhub_proto::wire;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::interval;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

const KEY: &str = "tenant_config_limit";

/// A client that has a name.
fn named(hub: &Hub, tenant: &str, service: &str, name: &str) -> Builder {
    client(hub, tenant).service(service).instance(name).version("1.2.3")
}

async fn connected(hub: &Hub, service: &str, name: &str) -> Client {
    named(hub, "acme", service, name).connect().await.unwrap()
}

/// Waits until the instances that a caller sees are as wanted.
async fn until(
    caller: &Caller,
    what: &str,
    wanted: impl Fn(&[wire::Instance]) -> bool,
) -> Vec<wire::Instance> {
    let mut tick = interval(Duration::from_millis(5));
    soon(what, async {
        loop {
            let instances = caller.instances(&[]).await.unwrap();
            if wanted(&instances) {
                return instances;
            }
            tick.tick().await;
        }
    })
    .await
}

fn name(instance: &wire::Instance) -> &str {
    &instance.client.as_ref().unwrap().instance
}

fn current(instance: &wire::Instance) -> bool {
    instance.changes_behind == Some(0)
}

/// The names of instances in the JSON of a command.
fn lacking(json: &Value) -> BTreeSet<String> {
    let lacking = json["applied"]["lacking"].as_array().unwrap();
    lacking.iter().map(|instance| instance["name"].as_str().unwrap().to_owned()).collect()
}

fn parsed(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// A stream that says that it reports, and does only what the test does.
async fn puppet(caller: &Caller, service: &str, id: [u8; 16], name: &str) -> Stream {
    let info = wire::ClientInfo { id: id.to_vec(), instance: name.to_owned(), ..Default::default() };
    let request =
        wire::SubscribeRequest { service: service.to_owned(), client: Some(info), ..Default::default() };
    let mut stream = caller.open(request).await.unwrap();
    stream.until_current().await;
    stream
}

async fn report(caller: &Caller, report: wire::ReportRequest) -> Result<wire::ReportResponse, Status> {
    caller.fleet.clone().report(caller.request(report)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn what_an_instance_has_applied_is_listed() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put(KEY, "1").await.unwrap();
    let cart = connected(&hub, "cart", "cart-1").await;
    let _ad = connected(&hub, "ad", "ad-1").await;
    let shown = until(&writer, "both to be current", |all| all.len() == 2 && all.iter().all(current)).await;
    assert_eq!(shown.iter().map(name).collect::<Vec<_>>(), ["ad-1", "cart-1"], "by service");
    let (info, first) = (shown[1].client.clone().unwrap(), &shown[1]);
    assert_eq!((info.version.as_str(), first.service.as_str()), ("1.2.3", "cart"));
    assert!(info.sdk.starts_with("confhub-rust/") && first.address.starts_with("127.0.0.1:"), "{first:?}");
    assert_eq!(first.cursor, cart.cursor().to_bytes());
    assert!(first.connected_at.is_some() && first.reported_at.is_some() && !first.away);

    writer.put_for("cart", KEY, "2", None).await.unwrap();
    until_state(&cart, "2", |state| has(state, KEY, "2")).await;
    let cursor = cart.cursor().to_bytes();
    until(&writer, "the new cursor", |all| all.iter().any(|one| one.cursor == cursor && current(one))).await;
    assert_eq!(writer.instances(&["ad"]).await.unwrap().len(), 1);

    let operator = Operator::of(&hub, "acme");
    let json = operator.json(&["fleet", "--service", "cart"]).await;
    let listed = &json["instances"][0];
    assert_eq!(
        (&listed["name"], &listed["behind_ms"], &listed["refused"]),
        (&"cart-1".into(), &0.into(), &Value::Null)
    );
    let table = operator.ok(&["fleet"]).await;
    assert!(table.contains("cart-1") && table.contains("current") && table.lines().count() == 3, "{table}");
}

#[tokio::test]
async fn an_instance_that_leaves_vanishes_and_one_that_reconnects_is_the_same() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let (leaves, stays) = (connected(&hub, "cart", "leaves").await, connected(&hub, "cart", "stays").await);
    let before = until(&caller, "both", |all| all.len() == 2 && all.iter().all(current)).await;
    leaves.close().await;
    let left = until(&caller, "one", |all| all.len() == 1).await;
    assert_eq!(name(&left[0]), "stays");
    let folder = hub.stop().await;
    let hub = Hub::start_on(folder, |_| {}).await;
    // It finds the hub at its old address only by chance: a new client stands in for that.
    let caller = hub.caller("acme").await;
    assert!(caller.instances(&[]).await.unwrap().is_empty(), "nothing is remembered of before");
    let _again = connected(&hub, "cart", "stays").await;
    let after = until(&caller, "it to be back", |all| all.len() == 1 && current(&all[0])).await;
    assert!(before.iter().all(|one| one.id != after[0].id), "another client is another instance");
    drop(stays);
}

#[tokio::test]
async fn a_put_that_waits_returns_when_everybody_has_it() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let alone = operator.run(&["put", KEY, "0", "--wait"]).await;
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(alone.out.contains("no instance that reports is connected"), "{alone:?}");

    let mut clients = Vec::new();
    for index in 0..6 {
        let service = ["cart", "ad", "order"][index % 3];
        clients.push(connected(&hub, service, &format!("{service}-{index}")).await);
    }
    let ran = operator.run(&["put", KEY, "1", "--wait", "--output", "json"]).await;
    let json = parsed(&ran.out);
    assert_eq!((ran.code, &json["applied"]["state"]), (Some(0), &"applied".into()), "{ran:?}");
    assert_eq!((&json["applied"]["instances"], &json["version"]), (&6.into(), &2.into()));
    assert!(clients.iter().all(|client| has(&client.snapshot(), KEY, "1")), "it was applied, not just sent");

    let ran = operator.run(&["put", KEY, "2", "--service", "cart", "--wait", "--output", "json"]).await;
    assert_eq!(parsed(&ran.out)["applied"]["instances"], 2, "it is for the cart alone: {ran:?}");
    for args in [&["delete", "--service", "cart", KEY][..], &["rollback", KEY, "1"]] {
        let json = operator.json(&[args, &["--wait", "--services", "cart,ad"]].concat()).await;
        assert_eq!(json["applied"]["state"], "applied", "{json}");
    }
    assert!(clients.iter().all(|client| has(&client.snapshot(), KEY, "0")));
    let file = hub.folder.path().join("changes.json");
    std::fs::write(&file, format!(r#"{{"changes": [{{"delete": {{"key": "{KEY}"}}}}]}}"#)).unwrap();
    let json = operator.json(&["apply", "-f", file.to_str().unwrap(), "--wait"]).await;
    assert_eq!((&json["applied"]["state"], &json["applied"]["instances"]), (&"applied".into(), &6.into()));
    assert!(clients.iter().all(|client| client.get(KEY).is_none()));
}

#[tokio::test]
async fn who_lags_is_named_at_the_deadline_and_another_service_is_not_waited_for() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let _good = connected(&hub, "cart", "good").await;
    // One whose network takes nothing any more.
    let proxy = Proxy::to(hub.addresses.grpc).await;
    let stuck = Client::builder().endpoint(proxy.endpoint()).token(hub.token("acme"));
    let stuck = stuck.service("cart").instance("stuck").connect().await.unwrap();
    let caller = hub.caller("acme").await;
    until(&caller, "both", |all| all.len() == 2 && all.iter().all(current)).await;
    proxy.silence();
    let ran = operator.run(&["put", KEY, "1", "--wait", "--wait-timeout", "1s", "--output", "json"]).await;
    let json = parsed(&ran.out);
    assert_eq!((ran.code, &json["applied"]["state"]), (Some(8), &"pending".into()), "{ran:?}");
    assert_eq!((lacking(&json), &json["applied"]["instances"]), (["stuck".to_owned()].into(), &2.into()));
    assert_eq!(json["version"], 1, "the write is made all the same");
    let behind = caller.instances(&[]).await.unwrap();
    let behind = behind.iter().find(|one| name(one) == "stuck").unwrap();
    assert!(behind.changes_behind == Some(1) && behind.time_behind.is_some(), "{behind:?}");
    let ran = operator.run(&["put", KEY, "2", "--wait", "--services", "ad"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = operator.run(&["put", KEY, "3", "--wait", "--wait-timeout", "300ms"]).await;
    assert!(
        text.out.contains("not yet applied by 1 of 2 instances") && text.out.contains("stuck of cart"),
        "{text:?}"
    );
    drop(stuck);
}

#[tokio::test]
async fn a_refusal_ends_the_wait_at_once_and_says_why_without_the_value() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let writer = hub.caller("acme").await;
    writer.put_json(KEY, "5").await.unwrap();
    let parses = connected(&hub, "cart", "parses").await;
    let limit = parses.typed::<u32>(KEY).unwrap();
    let ran = operator.run(&["put", KEY, "hunter2", "--wait", "--output", "json"]).await;
    let json = parsed(&ran.out);
    assert_eq!((ran.code, &json["applied"]["state"]), (Some(8), &"refused".into()), "{ran:?}");
    let problem = &json["applied"]["lacking"][0]["problems"][0];
    assert_eq!(problem["key"], KEY);
    assert!(problem["reason"].as_str().is_some_and(|reason| reason.contains("u32")), "{json}");
    assert!(!ran.out.contains("hunter2") && *limit.load() == 5);
    let ran = operator.run(&["put", KEY, "7", "--wait"]).await;
    assert_eq!((ran.code, *limit.load()), (Some(0), 7), "{ran:?}");

    let small = named(&hub, "acme", "ad", "small").max_state_bytes(2_000).connect().await.unwrap();
    let large = "x".repeat(4_000);
    let ran = operator.run(&["put", "tenant_config_large", &large, "--wait", "--output", "json"]).await;
    let json = parsed(&ran.out);
    assert_eq!((ran.code, lacking(&json)), (Some(8), ["small".to_owned()].into()), "{ran:?}");
    let refused = json["applied"]["lacking"][0]["refused"].as_str().unwrap();
    assert!(refused.contains("limit of 2000 bytes"), "{refused}");
    drop((parses, small));
}

#[tokio::test]
async fn a_flag_that_an_instance_cannot_use_is_a_refusal() {
    let hub = Hub::start().await;
    let client = connected(&hub, "cart", "cart-1").await;
    let flags = client.flags();
    let key = confhub_client::flags::FlagName::new("ad").unwrap().key().to_string();
    // As somebody who writes to the store without asking the hub would.
    let json = confhub_proto::Content::JSON.to_owned();
    let bad = wire::Content { content_type: json, ..text(r#"{"state":"ENABLED"}"#) };
    let hub = hub.written_behind("acme", vec![(&key, bad)]).await;
    until_state(&client, "the flag", |state| state.get(&key).is_some()).await;
    let changes = vec![wire::Written { key: key.clone(), service: String::new(), version: 1 }];
    let request = wire::WaitAppliedRequest { changes, ..Default::default() };
    let writer = hub.caller("acme").await;
    let answer = writer.fleet.clone().wait_applied(writer.request(request)).await.unwrap().into_inner();
    assert_eq!(answer.state(), wire::wait_applied_response::State::Refused, "{answer:?}");
    assert_eq!(answer.lacking[0].problems[0].key, key);
    assert_eq!(flags.errors().len(), 1);
}

#[tokio::test]
async fn nobody_sees_or_speaks_for_another_tenant_or_service() {
    let hub = Hub::start().await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let cart = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "cart")).await;
    let ad = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "ad")).await;
    let _streams =
        (puppet(&acme, "cart", [1; 16], "cart-1").await, puppet(&acme, "ad", [2; 16], "ad-1").await);
    let _others = puppet(&globex, "cart", [3; 16], "theirs").await;
    let names = |all: Vec<wire::Instance>| all.iter().map(|one| name(one).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(acme.instances(&[]).await.unwrap()), ["ad-1", "cart-1"]);
    assert_eq!(names(cart.instances(&[]).await.unwrap()), ["cart-1"]);
    assert_eq!(names(globex.instances(&[]).await.unwrap()), ["theirs"]);
    assert_eq!(cart.instances(&["ad"]).await.unwrap_err().code(), Code::PermissionDenied);
    let of = |id: [u8; 16]| wire::ReportRequest { id: id.to_vec(), ..Default::default() };
    for (caller, id) in [(&globex, [1; 16]), (&ad, [1; 16]), (&cart, [2; 16]), (&acme, [9; 16])] {
        assert_eq!(report(caller, of(id)).await.unwrap_err().code(), Code::NotFound);
    }
    for (caller, id) in [(&acme, [1; 16]), (&cart, [1; 16]), (&globex, [3; 16])] {
        assert!(report(caller, of(id)).await.unwrap().pace.is_some());
    }
    // One who takes the id of another service's instance is somebody else.
    let _thief = puppet(&ad, "ad", [1; 16], "thief").await;
    let all = acme.instances(&["cart"]).await.unwrap();
    assert_eq!((all.len(), name(&all[0]), all[0].reported_at.is_some()), (1, "cart-1", true));
    let changes = vec![wire::Written { key: KEY.to_owned(), service: "cart".to_owned(), version: 1 }];
    let request = wire::WaitAppliedRequest { changes, ..Default::default() };
    let refused = ad.fleet.clone().wait_applied(ad.request(request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_malformed_report_is_refused_and_changes_nothing() {
    let hub = Hub::start().await;
    let acme = hub.caller("acme").await;
    let mut stream = puppet(&acme, "cart", [1; 16], "cart-1").await;
    let good = wire::ReportRequest { id: vec![1; 16], ..Default::default() };
    let problem = |key: &str, bytes: usize| wire::Problem { key: key.to_owned(), reason: "x".repeat(bytes) };
    let bad = [
        wire::ReportRequest { id: Vec::new(), ..good.clone() },
        wire::ReportRequest { id: vec![1; 15], ..good.clone() },
        wire::ReportRequest { cursor: vec![1; 17], ..good.clone() },
        wire::ReportRequest { refused: "x".repeat(257), ..good.clone() },
        wire::ReportRequest { problems: vec![problem(KEY, 257)], ..good.clone() },
        wire::ReportRequest { problems: vec![problem("a b", 1)], ..good.clone() },
        wire::ReportRequest { problems: vec![problem(KEY, 1); 17], ..good.clone() },
    ];
    for request in bad {
        assert_eq!(
            report(&acme, request.clone()).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{request:?}"
        );
    }
    assert!(acme.instances(&[]).await.unwrap()[0].reported_at.is_none());
    // Nor does a state that is none of the view's pass for one.
    acme.put(KEY, "1").await.unwrap();
    stream.until("1", |state| state.get(KEY).is_some()).await;
    report(&acme, wire::ReportRequest { cursor: vec![7; 16], ..good }).await.unwrap();
    assert_eq!(acme.instances(&[]).await.unwrap()[0].changes_behind, None);
    let info = wire::ClientInfo { id: vec![1; 3], ..Default::default() };
    let request = wire::SubscribeRequest { client: Some(info), ..Default::default() };
    assert_eq!(acme.open(request).await.err().map(|status| status.code()), Some(Code::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_reports_is_limited_and_holds_up_no_delivery_and_no_writer() {
    let hub = Hub::start().await;
    let acme = hub.caller("acme").await;
    let client = connected(&hub, "cart", "honest").await;
    let _stream = puppet(&acme, "cart", [1; 16], "flood").await;
    let flooding = Endpoint::from_shared(hub.endpoint()).unwrap();
    let flooding = Caller::over(flooding, &hub.token("acme")).await;
    let request = wire::ReportRequest { id: vec![1; 16], ..Default::default() };
    let flood = async {
        // More at once than there are places, and more in all than the pace has room for;
        // no more once some were refused, or the connection would be closed for that.
        for _ in 0..30 {
            let calls = (0..900).map(|_| report(&flooding, request.clone()));
            let mut refused = 0;
            for answer in futures_util::future::join_all(calls).await {
                match answer {
                    Ok(_) => {}
                    Err(status) if status.code() == Code::ResourceExhausted => refused += 1,
                    Err(status) => panic!("{status}"),
                }
            }
            if refused > 0 {
                return refused;
            }
        }
        0
    };
    let writes = async {
        for value in 0..20 {
            acme.put(KEY, &value.to_string()).await.unwrap();
        }
        until_state(&client, "the last one", |state| has(state, KEY, "19")).await;
    };
    let (refused, ()) = tokio::join!(flood, writes);
    assert!(refused > 0, "no report was refused");
}

#[tokio::test]
async fn a_flag_that_is_turned_on_with_wait_is_on_everywhere_when_the_command_returns() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let (cart, ad) = (connected(&hub, "cart", "cart-1").await, connected(&hub, "ad", "ad-1").await);
    let context = confhub_client::flags::Context::of("anybody");
    let created = operator.json(&["flag", "create", "sale", "--wait"]).await;
    assert_eq!(
        (&created["applied"]["state"], &created["applied"]["instances"]),
        (&"applied".into(), &2.into())
    );
    let switched = operator.ok(&["flag", "on", "sale", "--wait", "--services", "cart,ad"]).await;
    assert!(switched.contains("applied by all 2 instances"), "{switched}");
    assert!(cart.flags().boolean("sale", false, &context) && ad.flags().boolean("sale", false, &context));
}
