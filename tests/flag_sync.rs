//! Whoever speaks flagd's sync protocol is told the flags of its own view, all of them
//! and only them, for as long as it may be.

use crate::support::{Hub, Syncer, flag_key, put_past_the_hub, text, toggle};
use confhub::auth::Role;
use confhub_flags::{SET_KEY, SET_TYPE};
use confhub_proto::wire;
use serde_json::json;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;

const HOUR: Duration = Duration::from_secs(3_600);

async fn syncer(hub: &Hub, token: Option<&str>) -> Syncer {
    Syncer::new(Endpoint::from_shared(hub.endpoint()).unwrap().connect().await.unwrap(), token)
}

#[tokio::test]
async fn all_flags_come_first_and_again_after_each_change_of_one_and_of_nothing_else() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let syncer = syncer(&hub, Some(&hub.token("acme"))).await;
    let mut stream = syncer.sync("").await.unwrap();
    assert_eq!(stream.next().await.unwrap(), json!({"flags": {}}), "even if there is none");
    writer.put_flag("a/b", &toggle("on")).await;
    assert_eq!(stream.next().await.unwrap(), json!({"flags": {"a/b": toggle("on")}}));
    // If any of these were sent, it would come before what is waited for.
    writer.put("tenant_config_other", "1").await.unwrap();
    writer.put("tenant_config_flagrant", "1").await.unwrap();
    let mut described = toggle("on");
    described["description"] = "means nothing to an evaluation".into();
    writer.put_flag("a/b", &described).await;
    writer.put_flag("c", &toggle("off")).await;
    let all = json!({"flags": {"a/b": toggle("on"), "c": toggle("off")}});
    assert_eq!(stream.next().await.unwrap(), all);
    assert_eq!(syncer.fetch("").await.unwrap(), all);
    let shared =
        json!({"metadata": {"team": "ads"}, "$evaluators": {"staff": {"==": [{"var": "role"}, "staff"]}}});
    let content = wire::Content { content_type: SET_TYPE.to_owned(), ..text(&shared.to_string()) };
    writer.put_content(SET_KEY, content).await.unwrap();
    assert_eq!(stream.next().await.unwrap()["metadata"], json!({"team": "ads"}));
    let mut targeted = toggle("off");
    targeted["targeting"] = json!({"if": [{"$ref": "staff"}, "on", "off"]});
    writer.put_flag("c", &targeted).await;
    let rule = json!({"if": [{"==": [{"var": "role"}, "staff"]}, "on", "off"]});
    assert_eq!(stream.next().await.unwrap()["flags"]["c"]["targeting"], rule);
    writer.delete_for("", &flag_key("a/b")).await.unwrap();
    assert_eq!(stream.names().await, ["c"]);
    assert_eq!(syncer.metadata().await.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_view_is_that_of_the_token_and_a_selector_only_narrows_it() {
    let hub = Hub::start().await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    globex.put_flag("foreign", &toggle("on")).await;
    acme.put_flag("shared", &toggle("on")).await;
    acme.put_flag("pay.a", &toggle("on")).await;
    acme.put_flag_for("ad", "pay.b", &toggle("on")).await;
    acme.put_flag_for("ad", "shared", &toggle("off")).await;
    acme.put_flag_for("cart", "pay.c", &toggle("on")).await;
    let any = syncer(&hub, Some(&hub.token("acme"))).await;
    let ad = syncer(&hub, Some(&hub.service_token("acme", "ad"))).await;
    for (syncer, selector, names) in [
        (&any, "", &["pay.a", "shared"][..]),
        (&any, "ad", &["pay.a", "pay.b", "shared"]),
        (&any, "service=ad,prefix=pay", &["pay.a", "pay.b"]),
        (&any, "prefix=pay.c", &[]),
        (&ad, "", &["pay.a", "pay.b", "shared"]),
        (&ad, "ad", &["pay.a", "pay.b", "shared"]),
        (&ad, "prefix=sh", &["shared"]),
    ] {
        let mut stream = syncer.sync(selector).await.unwrap();
        assert_eq!(stream.names().await, names, "{selector}");
        let fetched = syncer.fetch(selector).await.unwrap();
        assert_eq!(fetched["flags"].as_object().unwrap().keys().collect::<Vec<_>>(), names, "{selector}");
    }
    let document = ad.fetch("").await.unwrap();
    assert_eq!(document["flags"]["shared"]["defaultVariant"], "off", "the service's own wins");
    // What is in the metadata goes first, as with flagd.
    assert_eq!(any.sync_by("prefix=sh", "ad").await.unwrap().names().await, ["shared"]);
    for bad in ["source=x", "prefix=a,prefix=b", "a/b", "shared"] {
        let refused = any.sync(bad).await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
        assert!(refused.message().contains("`service=NAME`"), "{refused}");
        assert_eq!(any.fetch(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    for syncer_of_another in [ad.sync("cart").await.map(drop), ad.fetch("cart").await.map(drop)] {
        assert_eq!(syncer_of_another.unwrap_err().code(), Code::PermissionDenied);
    }
    let stranger = syncer(&hub, None).await;
    assert_eq!(stranger.sync("").await.map(drop).unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(stranger.fetch("").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stream_ends_with_its_right_to_be_there_and_with_a_status_of_that_name() {
    let age = Duration::from_secs(1);
    let hub = Hub::start().await;
    let short = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(2));
    let mut expires = syncer(&hub, Some(&short)).await.sync("").await.unwrap();
    let mut revoked = syncer(&hub, Some(&hub.token("globex"))).await.sync("").await.unwrap();
    expires.next().await.unwrap();
    revoked.next().await.unwrap();
    let operators = hub.token_of("operators", None, &[Role::Revoker], HOUR);
    let operators = crate::support::Caller::connect(&hub.endpoint(), &operators).await;
    let request = wire::RevokeRequest { tenant: "globex".into(), ..Default::default() };
    operators.access.clone().revoke(operators.request(request)).await.unwrap();
    let status = revoked.end().await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let status = expires.end().await;
    // Providers give up on UNAUTHENTICATED; with the old token they hear it when they are back.
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("expired"), "{status}");
    let late = syncer(&hub, Some(&short)).await.sync("").await.map(drop).unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated, "{late}");

    let mut drained = syncer(&hub, Some(&hub.token("acme"))).await.sync("").await.unwrap();
    drained.next().await.unwrap();
    let folder = hub.stop().await;
    assert_eq!(drained.end().await.code(), Code::Unavailable);

    let hub = Hub::start_on(folder, |settings| settings.times.stream_age = age).await;
    let mut old = syncer(&hub, Some(&hub.token("acme"))).await.sync("").await.unwrap();
    old.next().await.unwrap();
    let status = old.end().await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_flag_that_is_stored_badly_harms_no_other() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put_flag("good", &toggle("on")).await;
    let folder = hub.stop().await;
    put_past_the_hub(folder.path(), "acme", &flag_key("bad"), r#"{"state":"ENABLED","more":1}"#).await;
    let hub = Hub::start_on(folder, |_| {}).await;
    let syncer = syncer(&hub, Some(&hub.token("acme"))).await;
    let mut stream = syncer.sync("").await.unwrap();
    assert_eq!(stream.names().await, ["good"]);
    assert!((hub.metric("confhub_bad_flags_total").await - 1.0).abs() < 0.1);
    hub.caller("acme").await.put_flag("bad", &toggle("on")).await;
    assert_eq!(stream.names().await, ["bad", "good"]);
}

#[tokio::test]
async fn more_than_clients_take_is_refused_with_its_size_and_a_narrower_selector_is_served() {
    let hub = Hub::start_with(|settings| settings.limits.value_bytes = 512 * 1024).await;
    let writer = hub.caller("acme").await;
    let large = |text: usize| {
        let text = "x".repeat(text);
        json!({"state": "ENABLED", "variants": {"a": text}, "defaultVariant": "a"})
    };
    let names: Vec<_> = (1..=8).map(|n| format!("a{n}")).collect();
    for name in &names {
        writer.put_flag(name, &large(450_000)).await;
    }
    let syncer = syncer(&hub, Some(&hub.token("acme"))).await;
    let mut all = syncer.sync("").await.unwrap();
    let mut some = syncer.sync("prefix=a").await.unwrap();
    assert_eq!(all.names().await, names);
    assert_eq!(some.names().await, names);
    for name in ["b1", "b2"] {
        writer.put_flag(name, &large(450_000)).await;
    }
    let status = all.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("have 4500") && status.message().contains("prefix=TEXT"), "{status}");
    let refused = syncer.fetch("").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (status.code(), status.message()));
    writer.put_flag("a0", &large(10)).await;
    assert_eq!(some.names().await.len(), 9, "those who asked for less go on");
}

#[tokio::test]
async fn changes_merge_for_one_who_does_not_read_and_for_nobody_else() {
    let hub = Hub::start_with(|settings| settings.limits.value_bytes = 256 * 1024).await;
    let writer = hub.caller("acme").await;
    let token = hub.token("acme");
    let narrow = Endpoint::from_shared(hub.endpoint()).unwrap().initial_stream_window_size(65_535);
    let mut slow = Syncer::new(narrow.connect().await.unwrap(), Some(&token)).sync("").await.unwrap();
    let mut reads = syncer(&hub, Some(&token)).await.sync("").await.unwrap();
    slow.next().await.unwrap();
    reads.next().await.unwrap();
    // More than a window has room for, and than is kept encoded.
    let version = |n: usize| {
        let text = format!("{n}{}", "x".repeat(100_000));
        json!({"state": "ENABLED", "variants": {"a": text}, "defaultVariant": "a"})
    };
    const LAST: usize = 40;
    for n in 1..=LAST {
        writer.put_flag("a", &version(n)).await;
        assert_eq!(reads.next().await.unwrap()["flags"]["a"], version(n));
    }
    let mut documents = 1;
    while slow.next().await.unwrap()["flags"]["a"] != version(LAST) {
        documents += 1;
    }
    assert!(documents < 10, "{documents} documents: not merged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_all_who_follow_and_is_encoded_once_for_all() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put_flag("a", &toggle("off")).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let syncer = syncer(&hub, Some(&hub.token("acme"))).await;
        for _ in 0..75 {
            streams.push(syncer.sync("").await.unwrap());
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap()["flags"]["a"], toggle("off"));
    }
    let before = hub.metric("confhub_encodings_total").await;
    writer.put_flag("a", &toggle("on")).await;
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap()["flags"]["a"], toggle("on"));
    }
    let encodings = hub.metric("confhub_encodings_total").await - before;
    assert!((encodings - 1.0).abs() < 0.1, "{encodings} for one change");
}
