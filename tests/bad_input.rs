//! Bad input gets a clear error, and nothing changes.

use crate::support::{Caller, Hub, put, soon, text};
use confhub_proto::wire;
use std::time::Duration;
use tokio::time::interval;
use tonic::{Code, Status};

const KEY: &str = "tenant_config_a";

/// A hub with an entry, and someone who sees that nothing else ever happens.
struct Bench {
    _hub: Hub,
    caller: Caller,
    before: Vec<wire::Entry>,
}

impl Bench {
    async fn new(change: impl FnOnce(&mut confhub::config::Settings)) -> Self {
        let hub = Hub::start_with(change).await;
        let caller = hub.caller("acme").await;
        caller.put(KEY, "1").await.unwrap();
        let before = caller.list().await;
        Self { _hub: hub, caller, before }
    }

    /// Checks that it was refused with this code and these words, and that the
    /// tenant is as it was.
    async fn refused<T>(&self, outcome: Result<T, Status>, code: Code, words: &[&str]) {
        let status = outcome.err().unwrap_or_else(|| panic!("accepted instead of {code:?} {words:?}"));
        assert_eq!(status.code(), code, "{status}");
        for word in words {
            assert!(status.message().contains(word), "`{word}` is not in: {status}");
        }
        assert_eq!(self.caller.list().await, self.before);
        let kept = self.caller.history("", KEY, 0).await.unwrap();
        assert_eq!(kept.len(), 1, "the history has grown");
    }
}

#[tokio::test]
async fn an_unknown_prefix_is_answered_with_the_known_ones() {
    let bench = Bench::new(|_| {}).await;
    let known = ["`other_a`", "`param_config_`", "`tenant_config_`"];
    for key in ["other_a", "tenant_confi", "Tenant_config_a", "xtenant_config_a"] {
        let words = [key, known[1], known[2]];
        let put = bench.caller.put(key, "1").await;
        bench.refused(put, Code::InvalidArgument, &words).await;
    }
    let caller = &bench.caller;
    bench.refused(caller.delete_for("", "other_a").await, Code::InvalidArgument, &known).await;
    bench.refused(caller.get("", "other_a").await, Code::InvalidArgument, &known).await;
    bench.refused(caller.batch_get("", &[KEY, "other_a"]).await, Code::InvalidArgument, &known).await;
    bench.refused(caller.history("", "other_a", 0).await, Code::InvalidArgument, &known).await;
    bench.refused(caller.rollback("other_a", 1).await, Code::InvalidArgument, &known).await;
    bench.refused(caller.reveal("", "other_a").await, Code::InvalidArgument, &known).await;
    bench.refused(caller.apply(vec![put("", "other_a", "")]).await, Code::InvalidArgument, &known).await;
}

#[tokio::test]
async fn names_outside_the_alphabet_or_too_long_are_refused() {
    let bench = Bench::new(|_| {}).await;
    let long_key = format!("tenant_config_{}", "k".repeat(243));
    let long_service = "s".repeat(65);
    for (service, key, word) in [
        ("", "", "key `` is empty"),
        ("", "tenant_config_a b", "' ' at byte 15"),
        ("", "tenant_config_a/../b", "'/' at byte 15"),
        ("", "tenant_config_\u{e9}", "at byte 14"),
        ("", "tenant_config_\0", "at byte 14"),
        ("", "_tenant_config_a", "must start with"),
        ("", &long_key, "has 257 bytes; at most 256"),
        ("a/b", KEY, "service `a/b`"),
        ("a|b", KEY, "'|' at byte 1"),
        ("..", KEY, "must start with"),
        ("shared", KEY, "is reserved"),
        (&long_service, KEY, "has 65 bytes; at most 64"),
    ] {
        let caller = &bench.caller;
        let code = Code::InvalidArgument;
        bench.refused(caller.put_for(service, key, "x", None).await, code, &[word]).await;
        bench.refused(caller.delete_for(service, key).await, code, &[word]).await;
        bench.refused(caller.get(service, key).await, code, &[word]).await;
        bench.refused(caller.history(service, key, 0).await, code, &[word]).await;
        bench.refused(caller.apply(vec![put(service, key, "x")]).await, code, &["change 1", word]).await;
        if !service.is_empty() {
            bench.refused(caller.subscribe(service, b"").await, code, &[word]).await;
            bench.refused(caller.snapshot(service, &[]).await, code, &[word]).await;
        }
    }
    let longest = format!("tenant_config_{}", "k".repeat(242));
    let outcome = bench.caller.put_for(&"s".repeat(64), &longest, "x", None).await;
    assert_eq!(outcome.unwrap(), 1, "the longest names are good");
}

#[tokio::test]
async fn a_value_or_a_type_over_the_limit_is_refused() {
    let bench = Bench::new(|_| {}).await;
    let over = bench.caller.put(KEY, &"x".repeat(64 * 1024 + 1)).await;
    bench.refused(over, Code::InvalidArgument, &["65537 bytes", "65536"]).await;
    for content_type in ["t".repeat(129), "text/\n".to_owned(), "t\u{e9}xt".to_owned()] {
        let content = wire::Content { content_type, ..text("x") };
        let outcome = bench.caller.put_content(KEY, content).await;
        bench.refused(outcome, Code::InvalidArgument, &["content type"]).await;
    }
    let nothing = wire::PutRequest { key: KEY.to_owned(), ..wire::PutRequest::default() };
    let outcome = bench.caller.admin.clone().put(bench.caller.request(nothing)).await;
    bench.refused(outcome, Code::InvalidArgument, &["`content` is missing"]).await;
    assert_eq!(bench.caller.put("tenant_config_b", &"x".repeat(64 * 1024)).await.unwrap(), 1);
}

#[tokio::test]
async fn an_apply_that_is_empty_too_long_or_repeats_itself_is_refused() {
    let bench = Bench::new(|_| {}).await;
    let code = Code::InvalidArgument;
    bench.refused(bench.caller.apply(vec![]).await, code, &["0 changes", "1 to 1000"]).await;
    let many =
        |count: usize| (0..count).map(|i| put("", &format!("tenant_config_x{i}"), "")).collect::<Vec<_>>();
    bench.refused(bench.caller.apply(many(1_001)).await, code, &["1001 changes"]).await;
    let twice = vec![put("", "tenant_config_x", "1"), put("cart", KEY, "1"), put("", "tenant_config_x", "2")];
    bench.refused(bench.caller.apply(twice).await, code, &["change 3", "tenant_config_x", "twice"]).await;
    let mut one_bad = many(1_000);
    one_bad[999].key = "tenant_config_bad key".to_owned();
    bench.refused(bench.caller.apply(one_bad).await, code, &["change 1000", "tenant_config_bad key"]).await;
    assert_eq!(bench.caller.apply(many(1_000)).await.unwrap().len(), 1_000);
}

#[tokio::test]
async fn a_batch_that_is_empty_too_long_or_repeats_itself_is_refused() {
    let bench = Bench::new(|_| {}).await;
    let code = Code::InvalidArgument;
    let keys: Vec<_> = (0..101).map(|i| format!("tenant_config_{i}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    bench.refused(bench.caller.batch_get("", &keys).await, code, &["101 keys", "1 to 100"]).await;
    bench.refused(bench.caller.batch_get("", &[]).await, code, &["0 keys"]).await;
    bench.refused(bench.caller.batch_get("", &[KEY, KEY]).await, code, &[KEY, "twice"]).await;
}

#[tokio::test]
async fn a_write_that_would_make_the_tenant_too_large_is_refused() {
    let bench = Bench::new(|settings| settings.limits.tenant_entries = 3).await;
    let code = Code::ResourceExhausted;
    let three = (0..3).map(|i| put("cart", &format!("param_config_{i}"), "x")).collect();
    bench.refused(bench.caller.apply(three).await, code, &["4 entries", "at most 3"]).await;
    bench.caller.put("tenant_config_b", "x").await.unwrap();
    bench.caller.put_for("cart", KEY, "x", None).await.unwrap();
    let status = bench.caller.put("tenant_config_c", "x").await.unwrap_err();
    assert_eq!(status.code(), code);
    bench.caller.put(KEY, "2").await.unwrap();
    bench.caller.delete_for("cart", KEY).await.unwrap();
    bench.caller.put("tenant_config_c", "x").await.unwrap();

    let bench = Bench::new(|settings| settings.limits.tenant_bytes = 1_000).await;
    let outcome = bench.caller.put("tenant_config_b", &"x".repeat(1_000)).await;
    bench.refused(outcome, code, &["bytes", "at most 1000"]).await;
    let outcome = bench.caller.put_content(KEY, crate::support::secret(&"x".repeat(1_000))).await;
    bench.refused(outcome, code, &["bytes", "at most 1000"]).await;
    bench.caller.put("tenant_config_b", &"x".repeat(500)).await.unwrap();
    let (snapshot, _) = bench.caller.snapshot("", &[]).await.unwrap();
    assert_eq!(snapshot.len(), 2, "a tenant below its limits is served");
}

#[tokio::test]
async fn a_tenant_that_has_outgrown_new_limits_is_told_so_and_can_shrink() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.apply((0..10).map(|i| put("", &format!("tenant_config_{i}"), "x")).collect()).await.unwrap();
    drop(writer);
    let hub = Hub::start_on(hub.stop().await, |settings| settings.limits.tenant_entries = 8).await;
    let caller = hub.caller("acme").await;
    for outcome in [caller.subscribe("", b"").await.map(drop), caller.snapshot("", &[]).await.map(drop)] {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("10 entries; at most 8"), "{status}");
    }
    for i in 0..2 {
        caller.delete_for("", &format!("tenant_config_{i}")).await.unwrap();
    }
    // The refusal is remembered for about a second, so that it costs no load each time.
    let mut stream = soon("the tenant to be served again", async {
        let mut tries = interval(Duration::from_millis(50));
        loop {
            tries.tick().await;
            if let Ok(stream) = caller.subscribe("", b"").await {
                return stream;
            }
        }
    })
    .await;
    stream.until("what is left", |state| state.len() == 8).await;
}

#[tokio::test]
async fn a_malformed_cursor_is_refused() {
    let bench = Bench::new(|_| {}).await;
    for length in [1, 15, 17, 32, 4_096] {
        let outcome = bench.caller.subscribe("", &vec![7; length]).await;
        let count = length.to_string();
        bench.refused(outcome, Code::InvalidArgument, &["16 bytes", &count]).await;
    }
}

#[tokio::test]
async fn a_view_with_bad_or_too_many_prefixes_is_refused() {
    let bench = Bench::new(|_| {}).await;
    let code = Code::InvalidArgument;
    let many: Vec<_> = (0..17).map(|i| format!("tenant_config_{i}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let (bad, empty) = (["tenant config"], [""]);
    for (prefixes, words) in [
        (&many[..], ["17 prefixes", "at most 16"]),
        (&bad[..], ["prefix `tenant config`", "' '"]),
        (&empty[..], ["prefix", "empty"]),
    ] {
        let request = wire::SubscribeRequest {
            prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            ..wire::SubscribeRequest::default()
        };
        bench.refused(bench.caller.open(request).await, code, &words).await;
        bench.refused(bench.caller.snapshot("", prefixes).await, code, &words).await;
        bench.refused(bench.caller.list_parts(prefixes).await, code, &words).await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let bench = Bench::new(|_| {}).await;
    let value = "x".repeat(60_000);
    let large = (0..80).map(|i| put("", &format!("tenant_config_x{i}"), &value)).collect();
    let outcome = bench.caller.apply(large).await;
    bench.refused(outcome, Code::OutOfRange, &["limit"]).await;
    let outcome = bench.caller.subscribe("", &vec![0; 20_000]).await;
    bench.refused(outcome, Code::InvalidArgument, &["bytes"]).await;
    let client = wire::ClientInfo { instance: "x".repeat(129), ..wire::ClientInfo::default() };
    let request = wire::SubscribeRequest { client: Some(client), ..wire::SubscribeRequest::default() };
    bench.refused(bench.caller.open(request).await, Code::InvalidArgument, &["128 bytes"]).await;
}

#[tokio::test]
async fn too_many_views_or_streams_are_refused_and_room_is_found_again() {
    let limit = |settings: &mut confhub::config::Settings| {
        settings.limits.views_per_tenant = 2;
        settings.limits.streams_per_tenant = 3;
    };
    let bench = Bench::new(limit).await;
    let code = Code::ResourceExhausted;
    let mut first = bench.caller.subscribe("cart", b"").await.unwrap();
    first.until_current().await;
    let second = bench.caller.subscribe("order", b"").await.unwrap();
    bench
        .refused(bench.caller.subscribe("", b"").await, code, &["2 different views", "services and lists"])
        .await;
    let third = bench.caller.subscribe("cart", b"").await.unwrap();
    bench.refused(bench.caller.subscribe("cart", b"").await, code, &["3 streams"]).await;
    drop((second, third));
    // The hub learns of it in a moment.
    let found = async {
        loop {
            match bench.caller.subscribe("", b"").await {
                Ok(stream) => return stream,
                Err(status) => assert_eq!(status.code(), code),
            }
        }
    };
    let mut stream = soon("room for another view", found).await;
    stream.until_current().await;
    bench.caller.put("tenant_config_b", "1").await.unwrap();
    stream.until("the write", |state| state.len() == 2).await;
    first.until("the write", |state| state.len() == 2).await;
}

#[tokio::test]
async fn too_many_streams_in_all_are_refused_whoever_has_them() {
    let hub = Hub::start_with(|settings| settings.limits.streams = 2).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let streams = [acme.subscribe("", b"").await.unwrap(), globex.subscribe("", b"").await.unwrap()];
    let status = acme.subscribe("", b"").await.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("2 streams"), "{status}");
    acme.put(KEY, "1").await.unwrap();
    drop(streams);
}

#[tokio::test]
async fn an_unknown_version_is_named_with_those_that_are_kept() {
    let bench = Bench::new(|_| {}).await;
    let outcome = bench.caller.rollback(KEY, 7).await;
    bench.refused(outcome, Code::NotFound, &["no version 7", "kept are 1 to 1"]).await;
    let outcome = bench.caller.rollback("tenant_config_never", 1).await;
    bench.refused(outcome, Code::NotFound, &["no version 1", "none"]).await;
    let outcome = bench.caller.delete_for("", "tenant_config_never").await;
    bench.refused(outcome, Code::NotFound, &["tenant_config_never"]).await;
}
