//! What crosses a network is encrypted, and whom a client speaks to is verified.

use crate::support::{
    Caller, Certificates, Hub, HubProcess, Operator, Proxy, Ran, command, has, http_get, run, soon,
    until_state, until_status,
};
use confhub::app::App;
use confhub::clock::system_clock;
use confhub::config::ClientCertificates;
use confhub::tls::DevCa;
use confhub_client::{Builder, Client, Error, Status};
use confhub_proto::State;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

const KEY: &str = "tenant_config_a";

async fn hub(certificates: &Certificates) -> Hub {
    Hub::start_with(|settings| certificates.configure(settings)).await
}

fn https(hub: &Hub) -> String {
    format!("https://{}", hub.addresses.grpc)
}

/// A client that does not wait long for what will not come.
fn client(hub: &Hub) -> Builder {
    let builder = Client::builder().endpoint(https(hub)).token(hub.token("acme"));
    builder.connect_timeout(Duration::from_secs(10))
}

/// How the last attempt of a client ended that gets no state.
async fn refused(builder: Builder) -> String {
    match builder.connect_timeout(Duration::from_secs(2)).connect().await {
        Ok(_) => panic!("it was served"),
        Err(Error::Timeout { last, .. }) => last,
        Err(error) => error.to_string(),
    }
}

async fn caller(hub: &Hub, certificates: &Certificates) -> Caller {
    let channel = client(hub).ca_pem(certificates.ca.pem()).channel().await.unwrap();
    Caller::through(channel, &hub.token("acme"))
}

fn holds(state: &State, value: &str) -> bool {
    state.get(KEY).is_some_and(|entry| entry.value() == value.as_bytes())
}

#[tokio::test]
async fn the_sdk_and_the_commands_speak_tls_with_a_ca_file() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    let ca = certificates.arg("ca.pem");
    let by_file = client(&hub).ca_file(&ca).connect().await.unwrap();
    let by_text = client(&hub).ca_pem(certificates.ca.pem()).connect().await.unwrap();
    let operator = Operator::at(&https(&hub), &hub.token("acme"));
    operator.ok(&["put", KEY, "secured", "--ca-file", &ca]).await;
    for client in [by_file, by_text] {
        until_state(&client, "the write", |state| has(state, KEY, "secured")).await;
    }
    let mut from_environment = operator.command(&["get", KEY]);
    from_environment.env("CONFHUB_CA_FILE", &ca);
    let ran = run(from_environment).await;
    assert!(ran.code == Some(0) && ran.out.contains("secured"), "{ran:?}");
    let url = format!("https://{}/readyz", hub.addresses.http);
    let ran = operator.run(&["health", "--url", &url, "--ca-file", &ca]).await;
    assert!(ran.code == Some(0) && ran.out.contains("ok"), "{ran:?}");
    let expiry = certificates.metric(&hub, "confhub_tls_certificate_expiry_timestamp_seconds").await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now + 29.0 * 86_400.0..now + 31.0 * 86_400.0).contains(&expiry), "{expiry}");
}

#[tokio::test]
async fn a_hub_of_an_unknown_ca_or_of_another_name_is_refused_with_the_reason() {
    let certificates = Certificates::of(&["hub.example"]);
    let hub = hub(&certificates).await;
    let stranger = DevCa::new(SystemTime::now()).unwrap();
    let unknown = refused(client(&hub).ca_pem(stranger.pem())).await;
    assert!(unknown.contains("no CA that is trusted here"), "{unknown}");
    let other_name = refused(client(&hub).ca_pem(certificates.ca.pem())).await;
    assert!(other_name.contains("another name") && other_name.contains("hub.example"), "{other_name}");
    let named = client(&hub).ca_pem(certificates.ca.pem()).server_name("hub.example");
    assert!(named.connect().await.is_ok());

    let ca = certificates.arg("ca.pem");
    let operator = Operator::at(&https(&hub), &hub.token("acme"));
    let ran = operator.run(&["status"]).await;
    assert!(ran.code != Some(0) && ran.err.contains("no CA that is trusted here"), "{ran:?}");
    let ran = operator.run(&["status", "--ca-file", &ca]).await;
    assert!(ran.code != Some(0) && ran.err.contains("another name"), "{ran:?}");
    operator.ok(&["status", "--ca-file", &ca, "--server-name", "hub.example"]).await;
    let url = format!("https://{}/readyz", hub.addresses.http);
    let ran = operator.run(&["health", "--url", &url, "--ca-file", &ca]).await;
    assert!(ran.code == Some(1) && ran.err.contains("another name"), "{ran:?}");
    operator.ok(&["health", "--url", &url, "--ca-file", &ca, "--server-name", "hub.example"]).await;
    let refusals = "confhub_tls_handshake_failures_total{reason=\"refused-by-peer\"}";
    certificates.until_metric(&hub, refusals, |count| count >= 5.0).await;
}

#[tokio::test]
async fn plaintext_on_a_port_with_tls_is_told_so() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    let told = refused(Client::builder().endpoint(hub.endpoint()).token(hub.token("acme"))).await;
    assert!(told.contains("the hub speaks TLS: use https://"), "{told}");
    let ran = Operator::of(&hub, "acme").run(&["status"]).await;
    assert!(ran.code != Some(0) && ran.err.contains("the hub speaks TLS: use https://"), "{ran:?}");
    assert!(!ran.err.contains("is it running"), "{ran:?}");
    let (status, body) = http_get(hub.addresses.http, "/readyz").await.unwrap();
    assert!(status == 400 && body.contains("use https://"), "{status} {body}");
    let counted =
        certificates.metric(&hub, "confhub_tls_handshake_failures_total{reason=\"plaintext\"}").await;
    assert!(counted >= 3.0, "{counted}");
    caller(&hub, &certificates).await.put(KEY, "unharmed").await.unwrap();
}

#[tokio::test]
async fn tls_on_a_port_without_it_is_told_so() {
    let hub = Hub::start().await;
    let told = refused(client(&hub).ca_pem(Certificates::new().ca.pem())).await;
    assert!(told.contains("speaks no TLS"), "{told}");
    let ran = Operator::at(&https(&hub), &hub.token("acme")).run(&["status"]).await;
    assert!(ran.code != Some(0) && ran.err.contains("speaks no TLS"), "{ran:?}");
    hub.caller("acme").await.put(KEY, "unharmed").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_for_new_connections_and_open_streams_go_on() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    let writer = caller(&hub, &certificates).await;
    let mut stream = writer.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let first = certificates.shown(&hub).await;

    let second = certificates.ca.server(&["localhost", "127.0.0.1"]).unwrap();
    certificates.install(&second);
    certificates.until_shown(&hub, &second).await;
    assert_ne!(certificates.shown(&hub).await, first);
    certificates.until_metric(&hub, "confhub_tls_reloads_total{outcome=\"done\"}", |done| done == 1.0).await;
    writer.put(KEY, "on the old connection").await.unwrap();
    stream.until("the first write", |state| holds(state, "on the old connection")).await;
    caller(&hub, &certificates).await.put(KEY, "on a new one").await.unwrap();
    stream.until("the second write", |state| holds(state, "on a new one")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_that_is_no_good_changes_nothing_and_is_counted() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    let old = certificates.shown(&hub).await;
    let now = SystemTime::now();
    let ago = |hours: u64| now - Duration::from_secs(hours * 3_600);
    let expired = DevCa::valid(ago(48)..ago(24)).unwrap().server(&["localhost"]).unwrap();
    let other = certificates.ca.server(&["localhost"]).unwrap();
    let refused = "confhub_tls_reloads_total{outcome=\"refused\"}";

    certificates.write("server.key", &other.key);
    certificates.until_metric(&hub, refused, |count| count == 1.0).await;
    certificates.write("server.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    certificates.until_metric(&hub, refused, |count| count == 2.0).await;
    certificates.install(&expired);
    certificates.until_metric(&hub, refused, |count| count == 3.0).await;
    std::fs::remove_file(certificates.path("server.key")).unwrap();
    let failed = "confhub_tls_reloads_total{outcome=\"failed\"}";
    certificates.until_metric(&hub, failed, |count| count == 1.0).await;
    assert_eq!(certificates.shown(&hub).await, old);

    certificates.install(&other);
    certificates.until_shown(&hub, &other).await;
    assert_eq!(certificates.metric(&hub, refused).await, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_follows_a_new_ca_file() {
    let certificates = Certificates::new();
    let hub = Hub::start_with(|settings| {
        certificates.configure(settings);
        settings.times.heartbeat = Duration::from_millis(200);
    })
    .await;
    let proxy = Proxy::to(hub.addresses.grpc).await;
    let builder = Client::builder().endpoint(format!("https://{}", proxy.address)).token(hub.token("acme"));
    let client = builder.ca_file(certificates.path("ca.pem")).connect().await.unwrap();

    let next = Certificates::new();
    let server = next.ca.server(&["localhost", "127.0.0.1"]).unwrap();
    certificates.install(&server);
    next.until_shown(&hub, &server).await;
    proxy.silence();
    until_status(&client, "the loss", |status| !matches!(status, Status::Ready { .. })).await;
    certificates.write("ca.pem", next.ca.pem());
    until_status(&client, "the return", |status| matches!(status, Status::Ready { .. })).await;
    caller(&hub, &next).await.put(KEY, "by the new CA").await.unwrap();
    until_state(&client, "the write", |state| has(state, KEY, "by the new CA")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_asks_for_client_certificates_serves_those_of_its_ca_alone() {
    let certificates = Certificates::new();
    let ours = certificates.ca.client().unwrap();
    let theirs = DevCa::new(SystemTime::now()).unwrap().client().unwrap();
    certificates.write("client.pem", &ours.certificate);
    certificates.write("client.key", &ours.key);
    let hub = Hub::start_with(|settings| {
        certificates.configure(settings);
        settings.tls.client_ca = Some(certificates.path("ca.pem"));
    })
    .await;
    let trusting = || client(&hub).ca_pem(certificates.ca.pem());
    let without = refused(trusting()).await;
    assert!(without.contains("asks for a client certificate"), "{without}");
    let strange = refused(trusting().client_certificate(&theirs.certificate, &theirs.key)).await;
    assert!(strange.contains("does not trust the CA of the client certificate"), "{strange}");
    let servers =
        trusting().client_certificate_files(certificates.path("server.pem"), certificates.path("server.key"));
    let servers = refused(servers).await;
    assert!(servers.contains("is it one for clients"), "{servers}");
    let served =
        trusting().client_certificate_files(certificates.path("client.pem"), certificates.path("client.key"));
    assert!(served.connect().await.is_ok());

    let operator = Operator::at(&https(&hub), &hub.token("acme"));
    let ca = certificates.arg("ca.pem");
    let ran = operator.run(&["status", "--ca-file", &ca]).await;
    assert!(ran.code != Some(0) && ran.err.contains("asks for a client certificate"), "{ran:?}");
    let (certificate, key) = (certificates.arg("client.pem"), certificates.arg("client.key"));
    operator.ok(&["status", "--ca-file", &ca, "--client-cert", &certificate, "--client-key", &key]).await;
    let (certificate, key) = (certificates.arg("server.pem"), certificates.arg("server.key"));
    let servers = ["status", "--ca-file", &ca, "--client-cert", &certificate, "--client-key", &key];
    let ran = operator.run(&servers).await;
    assert!(ran.code == Some(6) && ran.err.contains("is it one for clients"), "{ran:?}");
    assert!(ran.err.contains("hint: --ca-file") && !ran.err.contains("is it running"), "{ran:?}");
    // Probes have no certificate, and a certificate is no token.
    let count = |reason| format!("confhub_tls_handshake_failures_total{{reason=\"{reason}\"}}");
    assert!(certificates.metric(&hub, &count("no-certificate")).await >= 2.0);
    assert!(certificates.metric(&hub, &count("bad-certificate")).await >= 1.0);
    let untold =
        Client::builder().endpoint(https(&hub)).token("no.token.atall").ca_pem(certificates.ca.pem());
    let untold = refused(untold.client_certificate(&ours.certificate, &ours.key)).await;
    assert!(untold.contains("token"), "{untold}");
}

#[tokio::test]
async fn optional_client_certificates_have_to_be_good_if_there_are_any() {
    let certificates = Certificates::new();
    let theirs = DevCa::new(SystemTime::now()).unwrap().client().unwrap();
    let hub = Hub::start_with(|settings| {
        certificates.configure(settings);
        settings.tls.client_ca = Some(certificates.path("ca.pem"));
        settings.tls.client_certificates = ClientCertificates::Optional;
    })
    .await;
    assert!(client(&hub).ca_pem(certificates.ca.pem()).connect().await.is_ok());
    let strange =
        client(&hub).ca_pem(certificates.ca.pem()).client_certificate(&theirs.certificate, &theirs.key);
    let strange = refused(strange).await;
    assert!(strange.contains("does not trust the CA of the client certificate"), "{strange}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start_with_the_reason() {
    let certificates = Certificates::new();
    let now = SystemTime::now();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let server = |ca: DevCa| ca.server(&["localhost"]).unwrap();
    let good = certificates.ca.server(&["localhost"]).unwrap();
    let expired = server(DevCa::valid(now - hours(48)..now - hours(24)).unwrap());
    let early = server(DevCa::valid(now + hours(24)..now + hours(48)).unwrap());
    let client = certificates.ca.client().unwrap();
    for (certificate, key, reason) in [
        (&expired.certificate, &expired.key, "expired at 2"),
        (&early.certificate, &early.key, "not yet"),
        (&client.certificate, &client.key, "not for servers"),
        (&good.certificate, &early.key, "is not the key of the certificate"),
        (&good.certificate, &String::new(), "holds no private key"),
        (&good.key, &good.key, "holds no certificate"),
    ] {
        certificates.write("server.pem", certificate);
        certificates.write("server.key", key);
        let error = refused_start(&certificates).await;
        assert!(error.contains(reason) && !error.contains("PRIVATE"), "{reason}: {error}");
    }
    std::fs::remove_file(certificates.path("server.key")).unwrap();
    let error = refused_start(&certificates).await;
    assert!(error.contains("cannot read") && error.contains("`tls.key`"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_a_wrong_setting() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    serve.arg("--data-dir").arg(folder.path());
    serve.args(["--tls-certificate", &certificates.arg("server.pem")]);
    serve.args(["--tls-key", &others.arg("server.key")]);
    let ran = run(serve).await;
    assert!(ran.code == Some(2) && ran.err.contains("is not the key of the certificate"), "{ran:?}");
}

async fn refused_start(certificates: &Certificates) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Hub::settings(folder.path());
    certificates.configure(&mut settings);
    match App::start(settings, system_clock()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn plaintext_beyond_this_machine_is_refused_and_if_allowed_said_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut refused = command();
    refused.args(["serve", "--data-dir", data, "--listen", "0.0.0.0:0", "--set", "auth.development=true"]);
    let Ran { code, err, .. } = run(refused).await;
    assert_eq!(code, Some(2), "{err}");
    for part in ["listen (flag --listen)", "`0.0.0.0:0`", "`tls.certificate`", "`plaintext = true`"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let leave = ["--set", "listen=0.0.0.0:0", "--set", "auth.development=true", "--set", "plaintext=true"];
    let hub = HubProcess::start_by(command(), folder.path(), &leave).await;
    assert!(
        hub.log().contains("WARN") && hub.log().contains("PLAINTEXT beyond this machine"),
        "{}",
        hub.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_get_stuck_hold_nobody_up_and_are_cut() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    let mut stuck = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(hub.addresses.grpc).await.unwrap();
        // Half of them have begun: a record of a handshake that never comes whole.
        if i % 2 == 0 {
            stream.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
        }
        stuck.push(stream);
    }
    let before = Instant::now();
    caller(&hub, &certificates).await.put(KEY, "served").await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    let cut = async {
        for stream in &mut stuck {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    soon("the hub to cut them", cut).await;
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    let timeouts = "confhub_tls_handshake_failures_total{reason=\"timeout\"}";
    certificates.until_metric(&hub, timeouts, |count| count == 200.0).await;
}

#[tokio::test]
async fn a_handshake_that_is_stuck_does_not_hold_up_a_drain() {
    let certificates = Certificates::new();
    let hub = Hub::start_with(|settings| {
        certificates.configure(settings);
        settings.times.drain = Duration::from_secs(300);
    })
    .await;
    let mut stuck = TcpStream::connect(hub.addresses.grpc).await.unwrap();
    stuck.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
    certificates.until_metric(&hub, "confhub_connections", |open| open == 1.0).await;
    let before = Instant::now();
    hub.stop().await;
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
}

/// A client hello of TLS 1.1 (RFC 4346, 7.4.1.2) with two of its cipher suites.
const TLS_1_1: &[u8] = &[
    22, 3, 1, 0, 47, // record: handshake
    1, 0, 0, 43, 3, 2, // client hello, version 1.1
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
    29, 30, 31, 32, // random
    0,  // no session
    0, 4, 0xc0, 0x13, 0, 0x2f, // cipher suites
    1, 0, // no compression
];

#[tokio::test]
async fn tls_before_1_2_and_protocols_other_than_http_2_are_refused() {
    let certificates = Certificates::new();
    let hub = hub(&certificates).await;
    for address in [hub.addresses.grpc, hub.addresses.http] {
        let mut old = TcpStream::connect(address).await.unwrap();
        old.write_all(TLS_1_1).await.unwrap();
        old.shutdown().await.unwrap();
        let mut answer = Vec::new();
        soon("the refusal", old.read_to_end(&mut answer)).await.unwrap();
        // An alert (21), fatal (2), by RFC 5246, 7.2: protocol_version (70), or
        // handshake_failure (40) for the extensions that 1.2 brought.
        let fatal = answer.ends_with(&[2, 70]) || answer.ends_with(&[2, 40]);
        assert!(answer.first() == Some(&21) && answer.len() == 7 && fatal, "{answer:?}");
    }
    let grpc = hub.addresses.grpc;
    for alpn in [&[][..], &["http/1.1"]] {
        let refused = certificates.handshake(grpc, alpn, None).await;
        assert!(refused.is_err(), "{alpn:?}");
    }
    assert!(certificates.handshake(grpc, &["http/1.1", "h2"], None).await.is_ok());
    assert!(certificates.handshake(hub.addresses.http, &[], None).await.is_ok(), "a simple probe");
    assert!(certificates.handshake(hub.addresses.http, &["h2"], None).await.is_err());
    let count = |reason| format!("confhub_tls_handshake_failures_total{{reason=\"{reason}\"}}");
    certificates.until_metric(&hub, &count("no-http2"), |count| count >= 2.0).await;
    certificates.until_metric(&hub, &count("incompatible"), |count| count >= 2.0).await;
}

#[tokio::test]
async fn a_container_has_one_environment_for_its_hub_and_its_health_check() {
    let certificates = Certificates::of(&["hub.example"]);
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        ("CONFHUB_TLS_CERTIFICATE", certificates.arg("server.pem")),
        ("CONFHUB_TLS_KEY", certificates.arg("server.key")),
        ("CONFHUB_CA_FILE", certificates.arg("ca.pem")),
        ("CONFHUB_CLIENT_CERT", certificates.arg("server.pem")),
        ("CONFHUB_CLIENT_KEY", certificates.arg("server.key")),
        ("CONFHUB_SERVER_NAME", "hub.example".to_owned()),
    ];
    let mut serve = command();
    serve.envs(paths.clone());
    let hub = HubProcess::start_by(serve, folder.path(), &[]).await;
    let mut health = command();
    health.arg("health").envs(paths).env("CONFHUB_HEALTH_URL", format!("https://{}/readyz", hub.http));
    let ran = run(health).await;
    assert!(ran.code == Some(0) && ran.out.contains("ok"), "{ran:?}");
}

#[tokio::test]
async fn tls_is_tried_out_in_two_commands() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let make = || {
        let mut make = command();
        make.args(["dev-certificate", "--dir", dir.to_str().unwrap()]);
        make
    };
    let ran = run(make()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for key in ["server.key", "client.key"] {
        let mode = std::fs::metadata(file(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let kept = std::fs::read(file("server.key")).unwrap();
    let ran = run(make()).await;
    assert!(ran.code == Some(1) && ran.err.contains("exists already"), "{ran:?}");
    assert_eq!(std::fs::read(file("server.key")).unwrap(), kept);

    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key, "--tls-client-ca", &ca];
    let hub = HubProcess::start_by(command(), folder.path(), &tls).await;
    let operator = Operator::at(&format!("https://{}", hub.grpc), &hub.token("acme"));
    let (certificate, key) = (file("client.pem"), file("client.key"));
    operator.ok(&["status", "--ca-file", &ca, "--client-cert", &certificate, "--client-key", &key]).await;
}
