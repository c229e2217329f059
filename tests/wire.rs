//! Bytes on the wire, spoken by a client that shares no code with ours: where
//! hub and SDK could share one mistake, this one does not.

use crate::support::raw::{Answer, Raw, Value, bytes, field, fields, framed, number};
use crate::support::{Hub, golden, soon};
use confhub::clock::Clock;
use http::Request;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const SUBSCRIBE: &str = "confhub.v1.ConfigService/Subscribe";
const GET_SNAPSHOT: &str = "confhub.v1.ConfigService/GetSnapshot";
const GET: &str = "confhub.v1.ConfigService/Get";
const PUT: &str = "confhub.v1.AdminService/Put";
const DELETE: &str = "confhub.v1.AdminService/Delete";

/// 2026-01-01T00:00:00Z, for ever.
const NOW: u64 = 1_767_225_600;

#[tokio::test]
async fn a_stream_from_its_welcome_to_its_goodbye() {
    let (hub, raw) = at_noon().await;
    golden::check("put_response.hex", &put(&raw, "", "tenant_config_greeting", "hello", "text/plain").await);
    put(&raw, "checkout", "param_config_limits", r#"{"max":3}"#, "application/json").await;

    let mut stream = raw.call(SUBSCRIBE, &bytes(1, "checkout")).await;
    assert_eq!(stream.content_type(), "application/grpc");
    assert!(!stream.headers.contains_key("grpc-status"), "the status of a stream comes at its end");
    golden::check("welcome.hex", &stream.framed().await.unwrap());
    let reset = stream.framed().await.unwrap();
    golden::check("reset.hex", &reset);
    let shared = digest("tenant_config_greeting", "", "text/plain", 1, false, b"hello");
    let own = digest("param_config_limits", "checkout", "application/json", 1, false, br#"{"max":3}"#);
    assert_eq!(cursor(&reset), shared.wrapping_add(own));
    golden::check("heartbeat.hex", &stream.framed().await.unwrap());

    put(&raw, "", "tenant_config_greeting", "hi", "text/plain").await;
    let delta = stream.framed().await.unwrap();
    golden::check("delta.hex", &delta);
    let shared = digest("tenant_config_greeting", "", "text/plain", 2, false, b"hi");
    assert_eq!(cursor(&delta), shared.wrapping_add(own));

    let address = [bytes(1, "tenant_config_greeting"), bytes(2, "")].concat();
    raw.call(DELETE, &address).await.message().await;
    let remove = stream.framed().await.unwrap();
    golden::check("remove.hex", &remove);
    assert_eq!(cursor(&remove), own);

    let stopping = tokio::spawn(hub.stop());
    let goodbye = stream.framed().await.unwrap();
    golden::check("goodbye.hex", &goodbye);
    let retry_after = field(&field(&goodbye[5..], 4), 2);
    let seconds = fields(&retry_after).into_iter().find(|(number, _)| *number == 1);
    assert!(seconds.is_none_or(|(_, seconds)| seconds == Value::Number(1)), "below two seconds");
    let outcome = stream.outcome().await;
    assert_eq!(outcome.status, "14", "UNAVAILABLE");
    assert_eq!(outcome.message, "the%20hub%20is%20shutting%20down");
    drop(raw);
    soon("the hub to stop", stopping).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_a_version_without_a_value() {
    let (_hub, raw) = at_noon().await;
    let content = [bytes(1, "hunter2"), bytes(2, "text/plain"), number(3, 1)].concat();
    let request = [bytes(1, "param_config_password"), bytes(3, content)].concat();
    raw.call(PUT, &request).await.message().await;
    let mut snapshot = raw.call(GET_SNAPSHOT, b"").await;
    let only = snapshot.framed().await.unwrap();
    golden::check("secret.hex", &only);
    assert_eq!(cursor(&only), digest("param_config_password", "", "text/plain", 1, true, b""));
    assert_eq!(snapshot.content_type(), "application/grpc");
    assert_eq!(snapshot.outcome().await.status, "0");
}

#[tokio::test]
async fn a_cursor_of_ours_is_a_cursor_of_the_hubs() {
    let (_hub, raw) = at_noon().await;
    put(&raw, "", "tenant_config_a", "1", "").await;
    let own = digest("tenant_config_a", "", "application/octet-stream", 1, false, b"1");
    let mut stream = raw.call(SUBSCRIBE, &bytes(3, own.to_be_bytes())).await;
    assert_eq!(fields(&stream.message().await)[0].0, 1, "a Welcome");
    let heartbeat = field(&stream.message().await, 3);
    assert_eq!(field(&heartbeat, 1), own.to_be_bytes(), "nothing to send, and so a heartbeat at once");
}

#[tokio::test]
async fn bodies_that_are_not_one_whole_message_are_refused() {
    let (_hub, raw) = at_noon().await;
    let one = framed(&bytes(1, "checkout"));
    let mut compressed = one.clone();
    compressed[0] = 1;
    let mut longer = one.clone();
    longer[4] += 1;
    let mut shorter = one.clone();
    shorter[4] -= 1;
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("nothing", Vec::new(), "3"),
        ("half a prefix", one[..3].to_vec(), "3"),
        ("a prefix alone", one[..5].to_vec(), "3"),
        ("a length beyond the body", longer, "3"),
        ("a length within the message", shorter, "3"),
        ("compressed", compressed, "12"),
        ("two messages", [one.clone(), one.clone()].concat(), "3"),
        ("trailing bytes", [one.clone(), vec![0]].concat(), "3"),
        ("no protobuf", framed(&[0xff; 8]), "3"),
    ];
    for method in [SUBSCRIBE, GET_SNAPSHOT] {
        for (what, body, status) in &cases {
            let outcome = raw.send(method, body.clone()).await.outcome().await;
            assert_eq!(&outcome.status, status, "{method}, {what}: {outcome:?}");
            assert!(!outcome.message.is_empty(), "{method}, {what}");
        }
        let too_long = raw.send(method, framed(&bytes(2, "x".repeat(64 * 1024)))).await.outcome().await;
        assert_eq!(too_long.status, "3", "{too_long:?}");
    }
    assert_eq!(raw.call(GET_SNAPSHOT, b"").await.outcome().await.status, "0", "the connection still serves");
}

#[tokio::test]
async fn a_malformed_write_changes_nothing() {
    let (_hub, raw) = at_noon().await;
    let write = |value| framed(&request("", "tenant_config_a", value, ""));
    let one = write("1");
    let mut compressed = one.clone();
    compressed[0] = 1;
    let mut longer = one.clone();
    longer[4] += 1;
    let mut shorter = one.clone();
    shorter[4] -= 1;
    let cases = [
        ("nothing", Vec::new()),
        ("half a prefix", one[..3].to_vec()),
        ("half a message", one[..one.len() - 1].to_vec()),
        ("a length beyond the body", longer),
        ("a length within the message", shorter),
        ("compressed", compressed),
        ("two messages", [one.clone(), write("2")].concat()),
        ("trailing bytes", [one, vec![0]].concat()),
        ("no protobuf", framed(&[0xff; 8])),
    ];
    for (what, body) in cases {
        let outcome = raw.send(PUT, body).await.outcome().await;
        assert_ne!(outcome.status, "0", "{what}: {outcome:?}");
        assert!(!outcome.message.is_empty(), "{what}");
    }
    let found = raw.call(GET, &bytes(1, "tenant_config_a")).await.outcome().await;
    assert_eq!(found.status, "5", "NOT_FOUND: {found:?}");
}

#[tokio::test]
async fn an_unknown_method_is_refused() {
    let (_hub, raw) = at_noon().await;
    for method in ["confhub.v1.ConfigService/Nothing", "confhub.v1.Nothing/Get", "nothing", ""] {
        let outcome = raw.call(method, b"").await.outcome().await;
        assert_eq!(outcome.status, "12", "UNIMPLEMENTED for `{method}`: {outcome:?}");
    }
}

/// A hub for which time stands still, and a connection with every right in it.
async fn at_noon() -> (Hub, Raw) {
    let clock: Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let hub = Hub::start_at(Arc::new(tempfile::tempdir().unwrap()), clock, |_| {}).await;
    let raw = Raw::connect(hub.addresses.grpc, &hub.token("acme")).await;
    (hub, raw)
}

/// Writes an entry; returns the framed answer.
async fn put(raw: &Raw, service: &str, key: &str, value: &str, content_type: &str) -> Vec<u8> {
    let mut answer: Answer = raw.call(PUT, &request(service, key, value, content_type)).await;
    let message = answer.framed().await.expect("an answer");
    assert_eq!(answer.outcome().await.status, "0");
    message
}

/// A `PutRequest`.
fn request(service: &str, key: &str, value: &str, content_type: &str) -> Vec<u8> {
    let content = [bytes(1, value), bytes(2, content_type)].concat();
    [bytes(1, key), bytes(2, service), bytes(3, content)].concat()
}

/// The cursor of the commit of a framed update.
fn cursor(framed: &[u8]) -> u128 {
    let commit = field(&field(&framed[5..], 2), 4);
    u128::from_be_bytes(field(&commit, 1).try_into().unwrap())
}

/// An entry's share in a cursor, from the definition: the first 16 bytes,
/// big-endian, of BLAKE3 keyed with the derived key of the context below, over
/// key, service and content type (each after its length in four bytes), the
/// version in eight, the time of modification (noon, to the second) in eight
/// for its seconds and four for its nanoseconds, secrecy in one, and the BLAKE3
/// hash of the value.
fn digest(key: &str, service: &str, content_type: &str, version: u64, secret: bool, value: &[u8]) -> u128 {
    let mut input = Vec::new();
    for text in [key, service, content_type] {
        input.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        input.extend(text.as_bytes());
    }
    input.extend(version.to_be_bytes());
    input.extend(NOW.to_be_bytes());
    input.extend([0; 4]);
    input.push(u8::from(secret));
    input.extend(blake3::hash(value).as_bytes());
    let domain = blake3::derive_key("confhub.v1 entry digest", b"");
    let hash = blake3::keyed_hash(&domain, &input);
    u128::from_be_bytes(hash.as_bytes()[..16].try_into().unwrap())
}

#[tokio::test]
async fn a_caller_that_gives_no_time_is_answered_at_once() {
    let (hub, raw) = at_noon().await;
    let ask = |time: &str| {
        let token = hub.token("acme");
        let request = Request::builder().uri(format!("http://hub/{PUT}"));
        request.header("authorization", format!("Bearer {token}")).header("grpc-timeout", time)
    };
    let write = request("", "tenant_config_a", "1", "");
    // Longer than the hub's own patience, which a word of the caller's does not stretch.
    let (_, answer) = raw.ask(ask("9H"), &write).await;
    assert_eq!(answer.outcome().await.status, "0");
    let (_, answer) = raw.ask(ask("0S"), &write).await;
    let outcome = answer.outcome().await;
    assert_eq!(outcome.status, "4", "DEADLINE_EXCEEDED");
    assert!(outcome.message.contains("not%20begun"), "{}", outcome.message);
}
