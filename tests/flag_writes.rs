//! A write that would leave a flag bad is refused, with the flag, the place and what to do,
//! and changes nothing.

use crate::support::{Caller, Hub, Operator, client, put, secret, text, until_state};
use confhub_flags::{FLAG_TYPE, FlagName, SET_KEY, SET_TYPE};
use confhub_proto::wire;
use confhub_proto::wire::change::Action;
use tonic::{Code, Status};

fn key(name: &str) -> String {
    FlagName::new(name).unwrap().key().to_string()
}

/// A flag with a rule.
fn flag(targeting: &str) -> String {
    format!(
        r#"{{"state":"ENABLED","variants":{{"on":true,"off":false}},"defaultVariant":"off","targeting":{targeting}}}"#
    )
}

/// One that refers to an evaluator.
fn using(evaluator: &str) -> String {
    flag(&format!(r#"{{"if":[{{"$ref":"{evaluator}"}},"on",null]}}"#))
}

fn evaluators(names: &[&str]) -> String {
    let rules: Vec<_> =
        names.iter().map(|name| format!(r#""{name}":{{"==":[{{"var":"plan"}},"{name}"]}}"#)).collect();
    format!(r#"{{"$evaluators":{{{}}}}}"#, rules.join(","))
}

fn content(key: &str, value: &str) -> wire::Content {
    let content_type = if key == SET_KEY { SET_TYPE } else { FLAG_TYPE };
    wire::Content { content_type: content_type.to_owned(), ..text(value) }
}

fn change(service: &str, key: &str, value: Option<&str>) -> wire::Change {
    let action = match value {
        Some(value) => Action::Put(content(key, value)),
        None => Action::Delete(wire::Deletion {}),
    };
    wire::Change {
        key: key.to_owned(),
        service: service.to_owned(),
        expected_version: None,
        action: Some(action),
    }
}

async fn write(writer: &Caller, service: &str, key: &str, value: &str) -> Result<Vec<u64>, Status> {
    writer.apply(vec![change(service, key, Some(value))]).await
}

/// Expects a refusal that says all of this.
fn refused(answer: Result<impl std::fmt::Debug, Status>, said: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    for said in said {
        assert!(status.message().contains(said), "{said}: {}", status.message());
    }
}

#[tokio::test]
async fn a_bad_flag_is_refused_with_its_name_the_place_and_what_to_do() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let good = flag("{}");
    assert_eq!(write(&writer, "", &key("a"), &good).await.unwrap(), [1]);
    for (bad, said) in [
        ("{".to_owned(), "EOF"),
        ("[]".to_owned(), "this must be a JSON object"),
        (
            flag(r#"{"if":[true,"onn"]}"#),
            "`/targeting/if/1` = \"onn\": there is no such variant: use `off`, `on`",
        ),
        (
            flag(r#"{"fractional":[["on",-1],["off",101]]}"#),
            "`/targeting/fractional/0/1` = -1: a weight must be",
        ),
        (flag(r#"{"likes":[1]}"#), "`likes` is no operator"),
        (using("staff"), "`/targeting/if/0/$ref` = \"staff\": there is no such evaluator"),
        (r#"{"state":"ON","variants":{"on":true,"off":0}}"#.to_owned(), "`/state` = \"ON\""),
        (
            r#"{"state":"ENABLED","variants":{"on":true,"off":0}}"#.to_owned(),
            "all variants must be of one type",
        ),
    ] {
        refused(write(&writer, "", &key("a"), &bad).await, &["flag `a`: ", said]);
        refused(write(&writer, "cart", &key("a"), &bad).await, &["of service `cart`, flag `a`: ", said]);
    }
    // Nothing of what comes with it is written either, and all mistakes are told at once.
    let both = vec![
        put("", "tenant_config_other", "1"),
        change("", &key("a"), Some("[]")),
        change("", &key("b"), Some(&using("x"))),
        change("", SET_KEY, Some(r#"{"metadata":{}}"#)),
    ];
    refused(writer.apply(both).await, &["flag `a`", "flag `b`"]);
    refused(
        write(&writer, "", SET_KEY, r#"{"$evaluators":{"a":{"==":[1]}}}"#).await,
        &["`/$evaluators/a/==` = [1]"],
    );
    let entry = writer.get("", &key("a")).await.unwrap();
    assert_eq!((entry.version, &*entry.value), (1, good.as_bytes()));
    assert_eq!(writer.get("", "tenant_config_other").await.unwrap_err().code(), Code::NotFound);
    assert!(hub.metrics("confhub_writes_total", &["outcome=\"refused\""]).await >= 18.0);
}

#[tokio::test]
async fn a_flag_has_its_key_and_its_type_and_is_no_secret() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for (key, content) in [
        (key("a"), text(&flag("{}"))),
        ("tenant_config_other".to_owned(), content("", &flag("{}"))),
        ("param_config_other".to_owned(), content(SET_KEY, "{}")),
        (SET_KEY.to_owned(), content("", &flag("{}"))),
    ] {
        refused(writer.put_content(&key, content).await, &[&key, "do not belong together"]);
    }
    let hidden = wire::Content { content_type: FLAG_TYPE.to_owned(), ..secret(&flag("{}")) };
    refused(writer.put_content(&key("a"), hidden).await, &["cannot be a secret"]);
    refused(write(&writer, "", "tenant_config_flag.a..b", &flag("{}")).await, &["is no flag's: write it as"]);
}

#[tokio::test]
async fn an_evaluator_that_flags_use_stays_until_they_are_changed() {
    let mut hub = Hub::start().await;
    // Once in a tenant that nobody listens to, and once in one that is in memory.
    for listened in [false, true] {
        let writer = hub.caller("acme").await;
        let mut service = None;
        if listened {
            service = Some(client(&hub, "acme").service("cart").connect().await.unwrap());
        }
        let gold = evaluators(&["gold"]);
        let first = vec![change("", &key("a"), Some(&using("gold"))), change("", SET_KEY, Some(&gold))];
        writer.apply(first).await.unwrap();
        write(&writer, "cart", &key("b"), &using("gold")).await.unwrap();
        for (service, value) in
            [("", None), ("", Some(evaluators(&["silver"]))), ("cart", Some("{}".to_owned()))]
        {
            let answer = writer.apply(vec![change(service, SET_KEY, value.as_deref())]).await;
            refused(
                answer,
                &["would leave a flag bad", "flag `a`: `/targeting/if/0/$ref` = \"gold\"", "flag `b`"],
            );
        }
        write(&writer, "", SET_KEY, &evaluators(&["gold", "silver"])).await.unwrap();
        // A service's own entry has to have what the flags that it sees use.
        write(&writer, "cart", SET_KEY, &evaluators(&["gold", "cash"])).await.unwrap();
        refused(
            write(&writer, "", &key("c"), &using("silver")).await,
            &["as service `cart` would see it", "flag `c`"],
        );
        write(&writer, "cart", &key("c"), &using("cash")).await.unwrap();
        refused(writer.delete_for("cart", SET_KEY).await, &["of service `cart`, flag `c`", "\"cash\""]);
        // All at once, whatever the order.
        let last = vec![
            change("cart", SET_KEY, None),
            change("", SET_KEY, None),
            change("", &key("a"), None),
            change("cart", &key("b"), None),
            change("cart", &key("c"), Some(&flag("{}"))),
        ];
        writer.apply(last).await.unwrap();
        writer.delete_for("cart", &key("c")).await.unwrap();
        drop(service);
        hub = Hub::start_on(hub.stop().await, |_| {}).await;
    }
}

#[tokio::test]
async fn what_other_tenants_have_counts_for_nobody() {
    let hub = Hub::start().await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    write(&acme, "", SET_KEY, &evaluators(&["gold"])).await.unwrap();
    write(&acme, "", &key("a"), &using("gold")).await.unwrap();
    refused(write(&globex, "", &key("a"), &using("gold")).await, &["there is no such evaluator"]);
    write(&globex, "", SET_KEY, &evaluators(&["silver"])).await.unwrap();
    globex.delete_for("", SET_KEY).await.unwrap();
}

#[tokio::test]
async fn a_rollback_to_what_would_be_bad_now_is_refused() {
    let hub = Hub::start().await;
    let bad = flag(r#"{"likes":[1]}"#);
    let hub = hub.written_behind("acme", vec![(&key("a"), content(&key("a"), &bad))]).await;
    let writer = hub.caller("acme").await;
    let back = |name: &str, to_version| {
        let request = wire::RollbackRequest { key: key(name), to_version, ..Default::default() };
        let mut admin = writer.admin.clone();
        let request = writer.request(request);
        async move { admin.rollback(request).await }
    };
    write(&writer, "", &key("a"), &flag("{}")).await.unwrap();
    refused(back("a", 1).await, &["flag `a`: ", "`likes` is no operator"]);
    write(&writer, "", SET_KEY, &evaluators(&["gold"])).await.unwrap();
    write(&writer, "", &key("b"), &using("gold")).await.unwrap();
    write(&writer, "", &key("b"), &flag("{}")).await.unwrap();
    writer.delete_for("", SET_KEY).await.unwrap();
    refused(back("b", 1).await, &["flag `b`: ", "\"gold\""]);
    assert_eq!(back("b", 2).await.unwrap().into_inner().version, 3);
    assert_eq!(back("b", 99).await.unwrap_err().code(), Code::NotFound);
}

/// Whoever is first, no flag is left without its evaluator.
#[tokio::test]
async fn writes_at_the_same_time_cannot_outrun_each_others_checks() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let client = client(&hub, "acme").connect().await.unwrap();
    let (gold, uses, plain) = (evaluators(&["gold"]), using("gold"), flag("{}"));
    let (mut flags, mut sets) = (0, 0);
    for round in 0..40 {
        let reset = vec![change("", &key("a"), Some(&plain)), change("", SET_KEY, Some(&gold))];
        writer.apply(reset).await.unwrap();
        let uses = write(&writer, "", "tenant_config_flag.a", &uses);
        let loses = write(&writer, "", SET_KEY, "{}");
        let (flag, set) = match round % 2 {
            0 => tokio::join!(uses, loses),
            _ => {
                let (set, flag) = tokio::join!(loses, uses);
                (flag, set)
            }
        };
        assert!(flag.is_err() != set.is_err(), "round {round}: {flag:?} {set:?}");
        flags += usize::from(flag.is_ok());
        sets += usize::from(set.is_ok());
    }
    assert_eq!(flags + sets, 40);
    let last = write(&writer, "", "tenant_config_flag.last", &plain).await.unwrap()[0];
    until_state(&client, "the end", |state| {
        state.get("tenant_config_flag.last").is_some_and(|entry| entry.version() == last)
    })
    .await;
    assert!(client.flags().errors().is_empty(), "{:?}", client.flags().errors());
}

#[tokio::test]
async fn a_file_with_a_bad_flag_is_refused_before_anything_is_written() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let bad = format!(
        r#"{{"flags":{{"a":{},"b":{},"c":{}}}}}"#,
        flag("{}"),
        using("nobody"),
        flag(r#"{"if":[true,"x"]}"#)
    );
    for args in
        [&["import", "-"][..], &["flag", "import", "-"], &["flag", "import", "--service", "cart", "-"]]
    {
        let ran = operator.feed(args, &bad).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        for said in ["flag `b`: ", "\"nobody\"", "flag `c`: ", "there is no such variant", "nothing was sent"]
        {
            assert!(ran.err.contains(said), "{said}: {ran:?}");
        }
    }
    assert_eq!(operator.json(&["flag", "list"]).await["flags"], serde_json::json!([]));
    // What the hub has already counts too.
    write(&hub.caller("acme").await, "", SET_KEY, &evaluators(&["nobody"])).await.unwrap();
    let good = format!(r#"{{"flags":{{"b":{}}}}}"#, using("nobody"));
    assert_eq!(operator.feed(&["import", "-"], &good).await.code, Some(0));
}
