//! Flags over HTTP, for whoever holds no stream: the same flags, the same identity, and
//! no way to take what others wait for.

use crate::support::{Answered, Caller, Hub, http_get, http_send, soon, text};
use confhub::auth::Role;
use confhub::config::{AuditTo, Settings, WithoutService};
use confhub_client::flags::FlagName;
use confhub_flags::{FLAG_TYPE, HashVersion, SET_KEY, SET_TYPE};
use confhub_proto::wire;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ALL: &str = "/ofrep/v1/evaluate/flags";
const HOUR: Duration = Duration::from_secs(3_600);

fn key(name: &str) -> String {
    FlagName::new(name).unwrap().key().to_string()
}

fn flag(on: bool, targeting: Value) -> String {
    let default = if on { "on" } else { "off" };
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": default,
           "targeting": targeting})
    .to_string()
}

fn change(service: &str, key: &str, content_type: &str, value: &str) -> wire::Change {
    let content = wire::Content { content_type: content_type.to_owned(), ..text(value) };
    let action = Some(wire::change::Action::Put(content));
    wire::Change { key: key.to_owned(), service: service.to_owned(), expected_version: None, action }
}

/// Writes flags of a service (empty: shared), all at once.
async fn write(writer: &Caller, service: &str, flags: &[(&str, String)]) {
    let changes = flags.iter().map(|(name, flag)| change(service, &key(name), FLAG_TYPE, flag));
    writer.apply(changes.collect()).await.unwrap();
}

/// Asks with a token and further headers.
async fn ask(hub: &Hub, token: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    let bearer = format!("Bearer {token}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend(headers);
    http_send(hub.addresses.http, &format!("POST {path}"), &all, body).await.unwrap()
}

/// One flag for a context.
async fn one(hub: &Hub, token: &str, name: &str, context: Value) -> Answered {
    ask(hub, token, &format!("{ALL}/{name}"), &[], &json!({ "context": context }).to_string()).await
}

/// Asks until the answer is as wanted: a change takes a moment to arrive.
async fn until(
    what: &str,
    mut ask: impl AsyncFnMut() -> Answered,
    wanted: impl Fn(&Answered) -> bool,
) -> Answered {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let reached = async {
        loop {
            looks.tick().await;
            let answered = ask().await;
            if wanted(&answered) {
                return answered;
            }
        }
    };
    soon(what, reached).await
}

#[tokio::test]
async fn a_flag_is_evaluated_for_the_context_of_the_request() {
    let hub = Hub::start().await;
    let (writer, token) = (hub.caller("acme").await, hub.token("acme"));
    let german = json!({"if": [{"==": [{"var": "country"}, "de"]}, "on"]});
    let off = json!({"state": "DISABLED", "variants": {"a": {"x": 1}}, "metadata": {"owner": "ads"}});
    write(
        &writer,
        "",
        &[("plain", flag(true, json!({}))), ("a/b", flag(false, german)), ("none", off.to_string())],
    )
    .await;
    let plain = one(&hub, &token, "plain", json!({})).await;
    assert_eq!(plain.status, 200, "{plain:?}");
    assert_eq!(plain.json(), json!({"key": "plain", "value": true, "variant": "on", "reason": "STATIC"}));
    assert_eq!(plain.header("content-type"), Some("application/json"));
    // A name with a slash, as it is and as clients encode it.
    for name in ["a/b", "a%2Fb"] {
        let told = one(&hub, &token, name, json!({"targetingKey": "u", "country": "de"})).await;
        let wanted = json!({"key": "a/b", "value": true, "variant": "on", "reason": "TARGETING_MATCH"});
        assert_eq!(told.json(), wanted);
        let told = one(&hub, &token, name, json!({"country": "fr"})).await.json();
        assert_eq!((&told["value"], &told["reason"]), (&json!(false), &json!("DEFAULT")));
    }
    // The default is the code's: there is no value.
    let told = one(&hub, &token, "none", json!({})).await;
    assert_eq!(
        told.json(),
        json!({"key": "none", "reason": "DISABLED", "variant": "", "metadata": {"owner": "ads"}})
    );

    write(&writer, "", &[("plain", flag(false, json!({})))]).await;
    let seen = async || one(&hub, &token, "plain", json!({})).await;
    until("the change", seen, |told| told.json()["value"] == false).await;
}

#[tokio::test]
async fn what_cannot_be_evaluated_is_told_with_the_codes_that_clients_know() {
    let hub = Hub::start().await;
    let (writer, token) = (hub.caller("acme").await, hub.token("acme"));
    write(&writer, "", &[("strange", flag(false, json!({"if": [{"var": "x"}, {"var": "x"}]})))]).await;
    let code =
        |told: &Answered| (told.status, told.json()["errorCode"].as_str().unwrap_or_default().to_owned());
    let missing = one(&hub, &token, "nothing", json!({})).await;
    assert_eq!(code(&missing), (404, "FLAG_NOT_FOUND".to_owned()), "{missing:?}");
    assert_eq!(missing.json()["key"], "nothing");
    assert_eq!(one(&hub, &token, "%ff", json!({})).await.status, 404);
    // A variant that does not exist.
    assert_eq!(code(&one(&hub, &token, "strange", json!({"x": "y"})).await), (400, "GENERAL".to_owned()));
    for (body, wanted) in [
        ("", "PARSE_ERROR"),
        ("{", "PARSE_ERROR"),
        ("{}", "INVALID_CONTEXT"),
        (r#"{"context":"user"}"#, "INVALID_CONTEXT"),
        (r#"{"context":{"targetingKey":7}}"#, "INVALID_CONTEXT"),
    ] {
        for path in [ALL.to_owned(), format!("{ALL}/strange")] {
            assert_eq!(
                code(&ask(&hub, &token, &path, &[], body).await),
                (400, wanted.to_owned()),
                "{path} {body}"
            );
        }
    }
    let large = json!({"context": {"a": "x".repeat(64 * 1024)}}).to_string();
    assert_eq!(code(&ask(&hub, &token, ALL, &[], &large).await), (413, "GENERAL".to_owned()));
}

#[tokio::test]
async fn all_flags_come_with_a_tag_and_are_not_sent_again_while_they_are_the_same() {
    let hub = Hub::start().await;
    let (writer, token) = (hub.caller("acme").await, hub.token("acme"));
    let late = json!({"if": [{">": [{"var": "$flagd.timestamp"}, 4_000_000_000_u64]}, "on"]});
    let mut changes: Vec<_> = [("b", flag(true, json!({}))), ("a", flag(false, late))]
        .iter()
        .map(|(name, flag)| change("", &key(name), FLAG_TYPE, flag))
        .collect();
    changes.push(change("", SET_KEY, SET_TYPE, r#"{"metadata":{"set":"shop"}}"#));
    // Not a flag: it is not among them.
    changes.push(change("", "tenant_config_flagship", "text/plain", "x"));
    writer.apply(changes).await.unwrap();
    let body = json!({"context": {"targetingKey": "u"}}).to_string();
    let first = ask(&hub, &token, ALL, &[], &body).await;
    assert_eq!(first.status, 200, "{first:?}");
    let metadata = json!({"set": "shop"});
    let wanted = json!({"flags": [
        {"key": "a", "value": false, "variant": "off", "reason": "DEFAULT", "metadata": metadata},
        {"key": "b", "value": true, "variant": "on", "reason": "STATIC", "metadata": metadata},
    ], "metadata": metadata});
    assert_eq!(first.json(), wanted);
    let tag = first.header("etag").unwrap().to_owned();
    let again = ask(&hub, &token, ALL, &[("if-none-match", &tag)], &body).await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag.as_str())));

    write(&writer, "", &[("c", flag(true, json!({})))]).await;
    let seen = async || ask(&hub, &token, ALL, &[("if-none-match", &tag)], &body).await;
    let changed = until("another answer", seen, |told| told.status == 200).await;
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert_eq!(changed.json()["flags"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_flag_that_is_stored_badly_is_told_as_such_and_all_others_go_on() {
    let hub = Hub::start().await;
    write(&hub.caller("acme").await, "", &[("good", flag(true, json!({})))]).await;
    // As somebody who writes to the store without asking the hub would.
    let bad = wire::Content { content_type: "application/json".to_owned(), ..text("[]") };
    let hub = hub.written_behind("acme", vec![(&key("bad"), bad)]).await;
    let token = hub.token("acme");
    let all = ask(&hub, &token, ALL, &[], r#"{"context":{}}"#).await.json();
    assert_eq!(all["flags"][0]["errorCode"], "PARSE_ERROR", "{all}");
    assert_eq!(all["flags"][1]["value"], true, "{all}");
    let told = one(&hub, &token, "bad", json!({})).await;
    assert_eq!((told.status, &told.json()["errorCode"]), (400, &json!("PARSE_ERROR")));
}

#[tokio::test]
async fn users_are_placed_as_the_settings_say() {
    let mut placed = Vec::new();
    for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
        let hub = Hub::start_with(|settings| settings.flags.hash = hash).await;
        let half = json!({"fractional": [["on", 50], ["off", 50]]});
        write(&hub.caller("acme").await, "", &[("half", flag(true, half))]).await;
        let (token, mut variants) = (hub.token("acme"), Vec::new());
        for user in 0..20 {
            let told =
                one(&hub, &token, "half", json!({"targetingKey": format!("user-{user}")})).await.json();
            variants.push(told["variant"].as_str().unwrap().to_owned());
        }
        assert!(
            variants.iter().any(|it| it == "on") && variants.iter().any(|it| it == "off"),
            "{variants:?}"
        );
        placed.push(variants);
    }
    assert_ne!(placed[0], placed[1]);
}

#[tokio::test]
async fn whoever_has_no_good_token_gets_nothing_and_is_on_record() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("audit.log");
    let to = AuditTo::File(log.clone());
    let hub = Hub::start_on(folder, |settings| settings.audit.to = to).await;
    write(&hub.caller("acme").await, "", &[("a", flag(true, json!({})))]).await;
    let body = r#"{"context":{}}"#;
    let missing = http_send(hub.addresses.http, &format!("POST {ALL}/a"), &[], body).await.unwrap();
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer")));
    assert!(!missing.body.contains("true"), "{missing:?}");
    assert_eq!(ask(&hub, "no.such.token", ALL, &[], body).await.status, 401);

    let token = hub.token_of("acme", None, &[Role::Reader], HOUR);
    assert_eq!(ask(&hub, &token, ALL, &[], body).await.status, 200);
    let operator = hub.caller("acme").await;
    let revoke = wire::RevokeRequest {
        which: Some(wire::revoke_request::Which::Subject("tester".into())),
        ..wire::RevokeRequest::default()
    };
    operator.access.clone().revoke(operator.request(revoke)).await.unwrap();
    let seen = async || ask(&hub, &token, ALL, &[("x-request-id", "the-refused-one")], body).await;
    let revoked = until("the revocation", seen, |told| told.status != 200).await;
    assert_eq!((revoked.status, revoked.header("x-request-id")), (403, Some("the-refused-one")));
    let recorded = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let one = text.lines().rfind(|line| line.contains("the-refused-one")).map(str::to_owned);
            if let Some(one) = one.and_then(|line| serde_json::from_str::<Value>(&line).ok()) {
                return one;
            }
        }
    };
    let record = soon("the record", recorded).await;
    assert_eq!((&record["outcome"], &record["tenant"]), (&json!("refused"), &json!("acme")), "{record}");
    assert_eq!(record["method"], "/ofrep/v1/evaluate/flags", "{record}");
    assert!(hub.metrics("confhub_evaluations_total", &["refused"]).await >= 3.0);
    assert!(hub.metrics("confhub_evaluations_total", &["done"]).await >= 1.0);
}

#[tokio::test]
async fn a_token_sees_its_own_tenant_and_its_own_service() {
    let hub = Hub::start_with(|settings| settings.auth.without_service = WithoutService::Shared).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    write(&acme, "", &[("a", flag(false, json!({})))]).await;
    write(&acme, "cart", &[("a", flag(true, json!({}))), ("of-cart", flag(true, json!({})))]).await;
    write(&globex, "", &[("of-globex", flag(true, json!({})))]).await;

    let value = async |token: &str, service: &str, name: &str| {
        let body = r#"{"context":{}}"#;
        let told = ask(&hub, token, &format!("{ALL}/{name}"), &[("x-confhub-service", service)], body).await;
        (told.status, told.json()["value"].as_bool())
    };
    let (of_cart, reader) =
        (hub.service_token("acme", "cart"), hub.token_of("acme", None, &[Role::Reader], HOUR));
    // Whatever the request says, a token with a service gets that one.
    for asked in ["", "cart", "other"] {
        assert_eq!(value(&of_cart, asked, "a").await, (200, Some(true)), "{asked}");
    }
    assert_eq!(value(&reader, "", "a").await, (200, Some(false)));
    assert_eq!(value(&reader, "", "of-cart").await.0, 404);
    // One that may not choose.
    assert_eq!(value(&reader, "cart", "a").await.0, 403);
    // A writer may.
    assert_eq!(value(&hub.token("acme"), "cart", "a").await, (200, Some(true)));
    assert_eq!(value(&hub.token("acme"), "a b", "a").await.0, 400);
    // Nor is there any way to another tenant's.
    assert_eq!(value(&hub.token("acme"), "", "of-globex").await.0, 404);
    let all = ask(&hub, &hub.token("globex"), ALL, &[], r#"{"context":{"tenant":"acme"}}"#).await.json();
    assert_eq!(all["flags"].as_array().unwrap().len(), 1, "{all}");
}

#[tokio::test]
async fn a_tenant_over_its_pace_is_told_when_to_come_back() {
    let hub = Hub::start_with(|settings: &mut Settings| settings.limits.calls_per_second = 1).await;
    let token = hub.token("acme");
    // Its burst, and then those that wait for their turn.
    let asked = (0..40).map(|_| one(&hub, &token, "a", json!({})));
    let told = soon("all answers", futures_util::future::join_all(asked)).await;
    let refused: Vec<_> = told.iter().filter(|told| told.status == 429).collect();
    assert!(!refused.is_empty());
    for refused in refused {
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..60).contains(&seconds), "{refused:?}");
        assert!(refused.body.contains("limits.calls-per-second"), "{refused:?}");
    }
    assert!(hub.metrics("confhub_limited_total", &["limits.calls-per-second"]).await > 0.0);
    // Nobody else waits.
    assert_eq!(one(&hub, &hub.token("globex"), "a", json!({})).await.status, 404);
}

#[tokio::test]
async fn evaluations_that_take_long_are_given_up_and_counted_as_many() {
    let hub = Hub::start_with(|settings| settings.limits.calls_per_second = 100).await;
    let (writer, token) = (hub.caller("acme").await, hub.token("acme"));
    // Each looks at a thousand items for each of a thousand.
    let items: Vec<_> = (0..1_000).collect();
    let none = json!({"some": [items, {"==": [{"var": ""}, -1]}]});
    let slow = flag(false, json!({"if": [{"some": [items, none]}, "on"]}));
    let names: Vec<_> = (0..60).map(|n| format!("slow-{n}")).collect();
    for names in names.chunks(20) {
        let flags: Vec<_> = names.iter().map(|name| (name.as_str(), slow.clone())).collect();
        write(&writer, "", &flags).await;
    }
    let body = r#"{"context":{}}"#;
    let told = ask(&hub, &token, ALL, &[], body).await;
    assert_eq!(told.status, 500, "{}", &told.body[..told.body.len().min(300)]);
    assert!(told.body.contains("evaluating all flags takes more than 1s"), "{told:?}");
    // Others are served at once, and this tenant pays for the second that it took.
    assert_eq!(one(&hub, &hub.token("globex"), "a", json!({})).await.status, 404);
    assert_eq!(one(&hub, &token, "a", json!({})).await.status, 429);
}

#[tokio::test]
async fn connections_are_bounded_and_those_who_leave_make_room() {
    let hub = Hub::start_with(|settings| settings.limits.http_connections = 2).await;
    let connect = async || TcpStream::connect(hub.addresses.http).await.unwrap();
    let (first, mut second) = (connect().await, connect().await);
    // It is served: so both have their places.
    second.write_all(b"GET /livez HTTP/1.1\r\nhost: hub\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    soon("the answer", second.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut third = connect().await;
    let mut rest = Vec::new();
    let closed = soon("the third to be closed", third.read_to_end(&mut rest)).await;
    assert!(closed.is_err() || rest.is_empty(), "{rest:?}");
    drop(first);
    let probed = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !http_get(hub.addresses.http, "/livez").await.is_ok_and(|(status, _)| status == 200) {
            looks.tick().await;
        }
    };
    soon("room for a probe", probed).await;
    assert!(hub.metrics("confhub_limited_total", &["limits.http-connections"]).await >= 1.0);
}

#[tokio::test]
async fn a_page_may_ask_only_if_its_origin_is_in_the_settings() {
    let preflight = async |hub: &Hub, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        http_send(hub.addresses.http, &format!("OPTIONS {ALL}"), &headers, "").await.unwrap()
    };
    let allowed = |told: &Answered| told.header("access-control-allow-origin").map(str::to_owned);
    let closed = Hub::start().await;
    assert_eq!(allowed(&preflight(&closed, "https://shop.example").await), None);

    let hub =
        Hub::start_with(|settings| settings.flags.cors_origins = vec!["https://shop.example".to_owned()])
            .await;
    let told = preflight(&hub, "https://shop.example").await;
    assert_eq!((told.status, allowed(&told).as_deref()), (200, Some("https://shop.example")));
    assert!(told.header("access-control-allow-headers").unwrap().contains("authorization"), "{told:?}");
    assert_eq!(allowed(&preflight(&hub, "https://other.example").await), None);
    // The answer itself, and refusals too, which a page has to be able to read.
    let token = hub.token("acme");
    for (token, status) in [(token.as_str(), 200), ("x", 401)] {
        let told = ask(&hub, token, ALL, &[("origin", "https://shop.example")], r#"{"context":{}}"#).await;
        assert_eq!((told.status, allowed(&told).as_deref()), (status, Some("https://shop.example")));
        assert!(told.header("access-control-expose-headers").unwrap().contains("etag"), "{told:?}");
    }
    // Nothing else on the port is for pages.
    let told = http_send(hub.addresses.http, "GET /metrics", &[("origin", "https://shop.example")], "")
        .await
        .unwrap();
    assert_eq!((told.status, allowed(&told)), (200, None));
}
