//! Whose a call is, its token says: nothing else in it, however it is put, can
//! name another tenant or reach beyond the token's service.

use crate::support::raw::{Answer, Raw, bytes, number};
use crate::support::{Caller, Hub, Operator, Stream, secret, soon};
use confhub::auth::Role;
use confhub_proto::wire;
use http::Request;
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

const KEY: &str = "tenant_config_a";
const SECRET: &str = "tenant_config_secret";

/// Names of the one who attacks, and of the others.
const SELF: &str = "acme";
const OTHER: &str = "globex";

/// What may be seen of others in what comes to `acme`, or to its `cart`: nothing.
const FOREIGN: &str = "of-globex";
const OTHER_SERVICE: &str = "of-acme-order";

/// Two tenants with the same keys and services, and what the second one had
/// before anybody tried anything.
struct Bench {
    hub: Hub,
    other: Caller,
    before: Vec<wire::Entry>,
    listening: Stream,
}

impl Bench {
    async fn new() -> Self {
        let hub = Hub::start().await;
        for tenant in [SELF, OTHER] {
            let caller = hub.caller(tenant).await;
            for service in ["", "cart", "order"] {
                let value = format!("of-{tenant}-{service}");
                caller.put_for(service, KEY, &value, None).await.unwrap();
            }
            caller.put_content(SECRET, secret(&format!("secret of-{tenant}"))).await.unwrap();
        }
        let other = hub.caller(OTHER).await;
        let before = other.list().await;
        let mut listening = other.subscribe("cart", b"").await.unwrap();
        listening.until_current().await;
        Self { hub, other, before, listening }
    }

    async fn raw(&self, token: &str) -> Raw {
        Raw::connect(self.hub.addresses.grpc, token).await
    }

    /// The other tenant has noticed nothing: neither in its store, nor in its
    /// history, nor on its stream.
    async fn untouched(mut self) {
        assert_eq!(self.other.list().await, self.before);
        for service in ["", "cart", "order"] {
            assert_eq!(self.other.history(service, KEY, 0).await.unwrap().len(), 1);
        }
        assert_eq!(self.listening.updates, 1);
        self.other.put_for("cart", KEY, "the next", None).await.unwrap();
        self.listening
            .until("the next", |state| state.get(KEY).is_some_and(|e| e.value() == "the next"))
            .await;
        assert_eq!(self.listening.updates, 2, "something has reached its stream");
    }
}

/// A good request to each method, to which things are added. All are harmless to
/// repeat: writes write the same.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let put = [bytes(1, KEY), bytes(3, bytes(1, "of-acme-"))].concat();
    let change = [bytes(1, KEY), bytes(4, bytes(1, "of-acme-"))].concat();
    vec![
        ("ConfigService/Subscribe", Vec::new()),
        ("ConfigService/GetSnapshot", Vec::new()),
        ("ConfigService/Get", bytes(1, KEY)),
        ("ConfigService/BatchGet", bytes(1, KEY)),
        ("ConfigService/Reveal", bytes(1, SECRET)),
        ("AdminService/Put", put),
        ("AdminService/Delete", bytes(1, "tenant_config_never")),
        ("AdminService/Apply", bytes(1, change)),
        ("AdminService/History", [bytes(1, KEY), number(3, 1)].concat()),
        ("AdminService/Rollback", [bytes(1, KEY), number(3, 1)].concat()),
        ("AdminService/List", Vec::new()),
        ("AdminService/Status", Vec::new()),
        ("AdminService/Reconcile", Vec::new()),
        ("RolloutService/StartRollout", [bytes(1, "never"), bytes(5, "50")].concat()),
        ("RolloutService/SteerRollout", [bytes(1, "00"), number(2, 1)].concat()),
        ("RolloutService/CheckRollout", bytes(1, "00")),
        ("RolloutService/ListRollouts", Vec::new()),
        ("FleetService/Report", bytes(1, [7; 16])),
        ("FleetService/ListInstances", Vec::new()),
        ("FleetService/WaitApplied", bytes(1, [bytes(1, KEY), number(3, 1)].concat())),
    ]
}

#[test]
fn every_method_of_the_two_services_is_tried() {
    let set = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let file = set.file.iter().find(|file| file.package() == "confhub.v1").unwrap();
    // Those of `AccessService` name tenants openly, and have tests of their own.
    let services = file.service.iter().filter(|service| service.name() != "AccessService");
    let path = |service: &str, method: &str| format!("{service}/{method}");
    let mut methods: Vec<_> = services
        .flat_map(|service| service.method.iter().map(|method| path(service.name(), method.name())))
        .collect();
    let mut tried: Vec<_> = requests().into_iter().map(|(method, _)| method.to_owned()).collect();
    methods.sort();
    tried.sort();
    assert_eq!(methods, tried);
}

/// Takes what comes, up to the end of a call or to the first heartbeat of a
/// stream, and the status, if there is one.
async fn taken(mut answer: Answer) -> (Vec<u8>, Option<String>) {
    let mut all = Vec::new();
    while let Some(framed) = answer.framed().await {
        all.extend_from_slice(&framed);
        let frame = wire::Frame::decode(&framed[5..]);
        if matches!(frame.ok().and_then(|frame| frame.kind), Some(wire::frame::Kind::Heartbeat(_))) {
            return (all, None);
        }
    }
    let outcome = answer.outcome().await;
    all.extend_from_slice(outcome.message.as_bytes());
    (all, Some(outcome.status))
}

fn has(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// Calls a method with this message and these headers beside the token.
async fn call(
    raw: &Raw,
    token: &str,
    method: &str,
    message: &[u8],
    headers: &[(&str, &str)],
) -> (Vec<u8>, Option<String>) {
    let mut request = Request::builder().uri(format!("http://hub/confhub.v1.{method}"));
    request = request.header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, answer) = raw.ask(request, message).await;
    assert_eq!(status, 200);
    taken(answer).await
}

#[tokio::test]
async fn no_field_that_is_added_to_a_request_names_another_tenant() {
    let bench = Bench::new().await;
    let token = bench.hub.token(SELF);
    let raw = bench.raw(&token).await;
    let numbers = [5, 6, 7, 8, 9, 15, 16, 99, 1_000, 18_999, 536_870_911];
    let shapes = |field| {
        let nested = bytes(1, OTHER);
        [bytes(field, OTHER), number(field, 1), bytes(field, nested)]
    };
    for (method, request) in requests() {
        let plain = call(&raw, &token, method, &request, &[]).await;
        // One request has as many fields as this.
        let unknown = |number: &u64| method != "RolloutService/StartRollout" || *number > 9;
        for added in numbers.into_iter().filter(unknown).flat_map(shapes) {
            // Before and after what is meant: the last of two counts, where either does.
            for message in [[&*request, &*added].concat(), [&*added, &*request].concat()] {
                let (answer, status) = call(&raw, &token, method, &message, &[]).await;
                assert!(!has(&answer, FOREIGN) && !has(&answer, OTHER), "{method} {added:?}");
                assert_eq!(status, plain.1, "{method} {added:?}");
            }
        }
    }
    bench.untouched().await;
}

#[tokio::test]
async fn a_token_with_a_service_is_not_talked_into_another_one() {
    let bench = Bench::new().await;
    let token = bench.hub.service_token(SELF, "cart");
    let raw = bench.raw(&token).await;
    let mine = bench.hub.caller(SELF).await;
    let before = mine.list().await;
    // The number of the field with the service, where a request has one.
    let field = |method: &str| match method {
        "ConfigService/Subscribe" | "ConfigService/GetSnapshot" | "FleetService/ListInstances" => Some(1),
        "AdminService/List" | "AdminService/Status" | "AdminService/Reconcile" | "AdminService/Apply" => None,
        "FleetService/Report" => None,
        "RolloutService/SteerRollout" | "RolloutService/CheckRollout" | "RolloutService/ListRollouts" => None,
        _ => Some(2),
    };
    for (method, request) in requests() {
        let change = [bytes(1, KEY), bytes(2, "order"), bytes(4, bytes(1, "x"))].concat();
        let own = [bytes(1, KEY), bytes(2, "cart"), bytes(4, bytes(1, "x"))].concat();
        let tries = match field(method) {
            // Openly; after its own, so that the last counts; and again as unknown fields.
            Some(field) => vec![
                bytes(field, "order"),
                [bytes(field, "cart"), bytes(field, "order")].concat(),
                [bytes(field, "order"), bytes(98, "cart"), bytes(99, "order")].concat(),
            ],
            None if method == "AdminService/Apply" => {
                vec![bytes(1, [own, bytes(2, "order")].concat()), bytes(1, change)]
            }
            None => vec![bytes(7, "order"), bytes(2, "order"), bytes(99, "order")],
        };
        for added in tries {
            let (answer, status) = call(&raw, &token, method, &[&*request, &*added].concat(), &[]).await;
            assert!(!has(&answer, OTHER_SERVICE), "{method} {added:?}");
            let reads =
                method.starts_with("ConfigService") || field(method).is_none() && !method.ends_with("Apply");
            assert!(reads || status.as_deref() == Some("7"), "{method} {added:?}: {status:?}");
        }
    }
    assert_eq!(mine.list().await, before, "nothing was written outside the service");
    bench.untouched().await;
}

#[tokio::test]
async fn no_header_names_a_tenant_or_a_service() {
    let bench = Bench::new().await;
    let token = bench.hub.token(SELF);
    let stolen = format!("Bearer {}", bench.hub.token(OTHER));
    let raw = bench.raw(&token).await;
    let names = [
        "tenant",
        "tenant-id",
        "tenantid",
        "x-tenant",
        "x-tenant-id",
        "x-tenantid",
        "tenant-bin",
        "x-service",
        "service",
        "x-user",
        "x-forwarded-user",
        "x-forwarded-host",
        "x-forwarded-for",
        "forwarded",
        "host",
        "x-original-url",
        "x-rewrite-url",
        "x-amzn-oidc-identity",
        "custom-tenantid",
        "grpc-tenant",
        "cookie",
        "x-http-method-override",
    ];
    for (method, request) in requests() {
        let plain = call(&raw, &token, method, &request, &[]).await;
        for name in names {
            let value = if name == "tenant-bin" { "Z2xvYmV4" } else { OTHER };
            let (answer, status) = call(&raw, &token, method, &request, &[(name, value)]).await;
            assert!(!has(&answer, FOREIGN) && !has(&answer, OTHER), "{method} {name}");
            assert_eq!(status, plain.1, "{method} {name}");
        }
        // A good token of the other one, where a proxy might put one.
        for name in ["proxy-authorization", "x-forwarded-authorization", "x-amzn-oidc-accesstoken", "cookie"]
        {
            let (answer, status) = call(&raw, &token, method, &request, &[(name, &stolen)]).await;
            assert!(!has(&answer, FOREIGN), "{method} {name}");
            assert_eq!(status, plain.1, "{method} {name}");
        }
    }
    bench.untouched().await;
}

#[tokio::test]
async fn two_tokens_are_none_in_whatever_order() {
    let bench = Bench::new().await;
    let (own, other) = (bench.hub.token(SELF), bench.hub.token(OTHER));
    let raw = bench.raw(&own).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let pairs = [
        vec![bearer(&own), bearer(&other)],
        vec![bearer(&other), bearer(&own)],
        vec![bearer(&own), bearer(&own)],
        vec![format!("{}, {}", bearer(&own), bearer(&other))],
        vec![format!("{},{other}", bearer(&own))],
        vec![format!("{} {other}", bearer(&own))],
        vec![bearer(&own), String::new()],
    ];
    for (method, message) in requests() {
        for pair in &pairs {
            let mut request = Request::builder().uri(format!("http://hub/confhub.v1.{method}"));
            for value in pair {
                request = request.header("authorization", value);
            }
            let (_, answer) = raw.ask(request, &message).await;
            let (answer, status) = taken(answer).await;
            assert_eq!(status.as_deref(), Some("16"), "{method}");
            assert!(!has(&answer, "of-"), "{method}");
        }
    }
    bench.untouched().await;
}

#[tokio::test]
async fn the_authority_names_nobody() {
    let bench = Bench::new().await;
    let token = bench.hub.token(SELF);
    let raw = bench.raw(&token).await;
    for authority in
        ["globex", "globex.hub", "globex.example.com:443", "globex@hub", "globex:x@hub", "[::1]:7600"]
    {
        for (method, message) in requests() {
            let request = Request::builder().uri(format!("http://{authority}/confhub.v1.{method}"));
            let request = request.header("authorization", format!("Bearer {token}"));
            let (answer, _) = taken(raw.ask(request, &message).await.1).await;
            assert!(!has(&answer, FOREIGN) && !has(&answer, OTHER), "{method} at {authority}");
        }
    }
    bench.untouched().await;
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_past_the_table_of_methods() {
    let bench = Bench::new().await;
    let reader = bench.hub.token_of(SELF, None, &[Role::Reader], Duration::from_secs(600));
    let mine = bench.hub.caller(SELF).await;
    let before = mine.list().await;
    let put = [bytes(1, KEY), bytes(3, bytes(1, "smuggled"))].concat();
    let raw = bench.raw(&reader).await;
    let paths = [
        "/confhub.v1.AdminService/Put",
        "/confhub.v1.AdminService/Put?tenant=globex",
        "/confhub.v1.AdminService/Put#x",
        "/confhub.v1.AdminService/Put/",
        "//confhub.v1.AdminService/Put",
        "/confhub.v1.AdminService//Put",
        "/confhub.v1.ConfigService/../confhub.v1.AdminService/Put",
        "/confhub.v1.ConfigService/Get/../../confhub.v1.AdminService/Put",
        "/confhub.v1.AdminService/P%75t",
        "/confhub.v1.AdminService%2FPut",
        "/%63onfhub.v1.AdminService/Put",
        "/confhub.v1.adminservice/put",
        "/CONFHUB.V1.ADMINSERVICE/PUT",
        "/globex/confhub.v1.AdminService/Put",
        "/grpc.health.v1.Health/../confhub.v1.AdminService/Put",
        "/grpc.health.v1.Health/Check/confhub.v1.AdminService/Put",
        "/grpc.reflection.v1.ServerReflection/Put",
        "/confhub.v1.AdminService/Put;x",
        "/confhub.v1.AdminService/Put%00",
        "/confhub.v1.AdminService/Put%20",
        "/confhub.v1.ConfigService/Put",
        "/confhub.v1.AccessService/Put",
        "/",
    ];
    for path in paths {
        for token in [Some(&reader), None] {
            let mut request = Request::builder().uri(format!("http://hub{path}"));
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let (status, answer) = raw.ask(request, &put).await;
            if status == 200 {
                let (_, status) = taken(answer).await;
                assert!(matches!(status.as_deref(), Some("3" | "7" | "12" | "16")), "{path}: {status:?}");
            }
        }
    }
    assert_eq!(mine.list().await, before);
    bench.untouched().await;
}

#[tokio::test]
async fn no_name_reaches_into_anothers_place() {
    let bench = Bench::new().await;
    let mine = bench.hub.caller(SELF).await;
    let before = mine.list().await;
    let keys = [
        "../tenant_config_a",
        "tenant_config_a/../../globex/a",
        "TENANT#globex",
        "tenant_config_a#globex",
        "tenant_config_a|SERVICE#order",
        "CONFIG#tenant_config_a",
        "/confhub/globex/shared/tenant_config_a",
        "tenant_config_a\0globex",
        "tenant_config_a%2f..%2fglobex",
        "tenant_config_\u{0430}",
        "globex:tenant_config_a",
        "tenant_config_a\nTENANT#globex",
        "tenant_config_\u{202e}a",
        " tenant_config_a",
        "..",
        ".",
    ];
    let services = [
        "../globex",
        "cart/../../globex",
        "cart|SERVICE#order",
        "cart#",
        "TENANT#globex",
        "globex/cart",
        "c\u{0430}rt",
        "cart\0",
        "shared",
        "|SERVICE#order",
        "..",
        " cart",
    ];
    let places = keys.map(|key| ("", key)).into_iter().chain(services.map(|service| (service, KEY)));
    for (service, key) in places {
        let outcomes = [
            mine.put_for(service, key, "x", None).await.map(drop),
            mine.delete_for(service, key).await.map(drop),
            mine.apply(vec![crate::support::put(service, key, "x")]).await.map(drop),
            mine.get(service, key).await.map(drop),
            mine.batch_get(service, &[key]).await.map(drop),
            mine.reveal(service, key).await.map(drop),
            mine.history(service, key, 0).await.map(drop),
            mine.snapshot(service, &[key]).await.map(drop),
            mine.list_parts(&[if service.is_empty() { key } else { ".." }]).await.map(drop),
        ];
        for outcome in outcomes {
            let status = outcome.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{service:?} {key:?}");
            assert!(!status.message().contains(FOREIGN), "{status}");
        }
    }
    assert_eq!(mine.list().await, before);
    bench.untouched().await;
}

#[tokio::test]
async fn a_cursor_of_anothers_state_leads_to_ones_own_from_the_beginning() {
    let bench = Bench::new().await;
    let foreign = bench.listening.state.digest().to_bytes();
    let mut order = bench.hub.caller(SELF).await.subscribe("order", b"").await.unwrap();
    order.until_current().await;
    let of_order = order.state.digest().to_bytes();
    let cart = Caller::connect(&bench.hub.endpoint(), &bench.hub.service_token(SELF, "cart")).await;
    for caller in [bench.hub.caller(SELF).await, cart] {
        for cursor in [foreign, of_order] {
            // It begins with nothing: a difference to what it does not have would not
            // give the state that the commit names.
            let mut stream = caller.subscribe("cart", &cursor).await.unwrap();
            stream.until_current().await;
            assert_eq!((stream.text(KEY).as_deref(), stream.state.len()), (Some("of-acme-cart"), 2));
        }
        for bent in [&foreign[..15], &[&foreign[..], b"x"].concat(), b"TENANT#globex"] {
            let status = caller.subscribe("cart", bent).await.map(drop).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
        }
    }
    bench.untouched().await;
}

#[tokio::test]
async fn an_imported_file_reaches_no_other_tenant_or_service() {
    let bench = Bench::new().await;
    let operator = Operator::of(&bench.hub, SELF);
    let mine = bench.hub.caller(SELF).await;
    let before = mine.list().await;
    for text in [
        r#"{"tenant": "globex", "shared": {"tenant_config_a": "x"}}"#,
        r#"{"tenants": {"globex": {"shared": {"tenant_config_a": "x"}}}}"#,
        r#"{"services": {"../globex": {"tenant_config_a": "x"}}}"#,
        r#"{"services": {"cart|SERVICE#order": {"tenant_config_a": "x"}}}"#,
        r#"{"services": {"shared": {"tenant_config_a": "x"}}}"#,
        r#"{"shared": {"TENANT#globex": "x"}}"#,
        r#"{"shared": {"tenant_config_a|SERVICE#order": "x"}}"#,
        r#"{"shared": {"tenant_config_a": {"$tenant": "globex", "$content_type": "t", "$text": "x"}}}"#,
        r#"{"shared": {"tenant_config_b": "x"}, "services": {"globex/cart": {"tenant_config_a": "x"}}}"#,
    ] {
        let ran = operator.feed(&["import", "-"], text).await;
        assert_eq!(ran.code, Some(2), "{text}: {ran:?}");
    }
    for text in [
        r#"{"tenant": "globex", "changes": [{"put": {"key": "tenant_config_a", "value": "x"}}]}"#,
        r#"{"changes": [{"put": {"key": "tenant_config_a", "tenant": "globex", "value": "x"}}]}"#,
        r#"{"changes": [{"put": {"key": "tenant_config_a", "service": "../globex", "value": "x"}}]}"#,
    ] {
        let ran = operator.feed(&["apply", "-f", "-"], text).await;
        assert_eq!(ran.code, Some(2), "{text}: {ran:?}");
    }
    // A service's own token: shared entries and another service's stay as they are, and
    // what stands beside them in the same file is not half done.
    let cart = Operator::at(&bench.hub.endpoint(), &bench.hub.service_token(SELF, "cart"));
    for text in [
        r#"{"services": {"order": {"tenant_config_a": "x"}}}"#,
        r#"{"shared": {"tenant_config_new": "x"}}"#,
        r#"{"services": {"cart": {"tenant_config_new": "x"}, "order": {"tenant_config_new": "x"}}}"#,
    ] {
        let ran = cart.feed(&["import", "-"], text).await;
        assert_eq!(ran.code, Some(5), "{text}: {ran:?}");
    }
    assert_eq!(mine.list().await, before);
    // What the file says of its origin is for people.
    let text = r#"{"source": "globex", "shared": {"tenant_config_a": "mine"}}"#;
    let ran = operator.feed(&["import", "-"], text).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(mine.get("", KEY).await.unwrap().value, "mine");
    bench.untouched().await;
}

/// One HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that nobody remembers (RFC 7541, 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = text.len();
        // An integer with a prefix of seven bits.
        let mut bytes = if length < 127 { vec![u8::try_from(length).unwrap()] } else { vec![127] };
        if length >= 127 {
            bytes.extend(crate::support::raw::varint(length as u64 - 127));
        }
        [bytes, text.as_bytes().to_vec()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// Headers that no library sends: what comes back names nobody else, and the hub
/// goes on.
#[tokio::test]
async fn headers_that_no_client_can_send_smuggle_nothing_either() {
    let bench = Bench::new().await;
    let bearer = format!("Bearer {}", bench.hub.token(SELF));
    let stolen = format!("Bearer {}", bench.hub.token(OTHER));
    let path = "/confhub.v1.ConfigService/Get";
    let more: [&[(&str, &str)]; 9] = [
        &[],
        &[("custom:tenantid", OTHER)],
        &[(":tenant", OTHER)],
        &[(":authority", OTHER)],
        &[(":path", "/confhub.v1.AdminService/List")],
        &[("Authorization", &stolen)],
        &[("authorization ", &stolen)],
        &[("x-a", "b\r\nauthorization: Bearer x")],
        &[("transfer-encoding", "chunked"), ("connection", "upgrade")],
    ];
    for more in more {
        let headers = [(":method", "POST"), (":scheme", "http"), (":authority", "hub"), (":path", path)];
        let plain = [("te", "trailers"), ("content-type", "application/grpc"), ("authorization", &*bearer)];
        let block: Vec<u8> =
            headers.iter().chain(&plain).chain(more).flat_map(|(n, v)| literal(n, v)).collect();
        let message = [bytes(1, KEY)].concat();
        let request = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[]),
            frame(1, 4, 1, &block),
            frame(0, 1, 1, &crate::support::raw::framed(&message)),
            // Asks whether the hub has got so far.
            frame(6, 0, 0, b"12345678"),
        ];
        let mut stream = TcpStream::connect(bench.hub.addresses.grpc).await.unwrap();
        stream.write_all(&request.concat()).await.unwrap();
        let answer = until_answered(&mut stream).await;
        assert!(!has(&answer, FOREIGN) && !has(&answer, OTHER), "{more:?}");
        // Whatever was added makes the call a bad one, as a whole.
        assert_eq!(has(&answer, "of-acme-"), more.is_empty(), "{more:?}");
    }
    bench.untouched().await;
}

/// What comes until the call has ended or the connection is closed.
async fn until_answered(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async {
        loop {
            let mut part = [0; 4_096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(count) => all.extend_from_slice(&part[..count]),
            }
            if ended(&all) {
                return;
            }
        }
    };
    soon("an answer", read).await;
    all
}

/// Whether a whole frame ends stream 1 (END_STREAM, RST_STREAM) or everything (GOAWAY).
fn ended(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some(rest) = rest.get(length..) else { return false };
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        if matches!((kind, flags & 1, stream), (0 | 1, 1, 1) | (3, _, 1) | (7, ..)) {
            return true;
        }
        bytes = rest;
    }
    false
}
