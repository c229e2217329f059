//! From headers to an identity, with keys from a folder, a file and a URL.

use super::*;
use crate::auth::testing::{SigningKey, jwks};
use crate::auth::{DEV_ISSUER, DevClaims, Role};
use crate::config::JwksLocation;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example/pool";

/// A clock that the test sets.
fn clock(second: &Arc<AtomicU64>) -> Clock {
    let second = Arc::clone(second);
    Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(second.load(Ordering::SeqCst)))
}

fn fixed_clock() -> Clock {
    clock(&Arc::new(AtomicU64::new(NOW)))
}

fn headers(token: &str) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "u", "exp": NOW + 300, "custom:tenantId": "acme" })
}

fn settings(jwks: JwksLocation) -> AuthSettings {
    AuthSettings { issuer: Some(ISSUER.to_owned()), jwks: Some(jwks), ..AuthSettings::default() }
}

async fn open(settings: &AuthSettings) -> Result<Authenticator, AuthStartError> {
    Authenticator::open(settings, Path::new("unused"), fixed_clock()).await
}

#[tokio::test]
async fn a_development_token_goes_round_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let second = Arc::new(AtomicU64::new(NOW));
    let settings = AuthSettings::default();
    let authenticator = Authenticator::open(&settings, folder.path(), clock(&second)).await.unwrap();
    let claims = DevClaims {
        tenant: "acme".parse().unwrap(),
        service: Some("orders".parse().unwrap()),
        roles: vec![Role::Writer],
        subject: "dev".to_owned(),
        ttl: Duration::from_secs(60),
    };
    let dev = DevIssuer::open(folder.path()).unwrap();
    assert_eq!(authenticator.dev_jwks(), Some(dev.jwks()));
    let token = dev.mint(&claims, clock(&second)()).unwrap();
    // Twice: the second time it is remembered.
    for _ in 0..2 {
        let identity = authenticator.authenticate(&headers(&token)).await.unwrap();
        assert_eq!(identity.tenant, claims.tenant);
        assert_eq!(identity.service, claims.service);
        assert!(identity.roles.has(Role::Writer) && !identity.roles.has(Role::SecretReader));
        assert_eq!(identity.expires, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 60));
    }
    // A remembered token expires like any other.
    second.store(NOW + 90, Ordering::SeqCst);
    let error = authenticator.authenticate(&headers(&token)).await.unwrap_err();
    assert!(matches!(&error, AuthError::Expired { ago, .. } if *ago == Duration::from_secs(30)), "{error}");
    assert!(error.identity().is_some(), "whose it was is known");
}

#[tokio::test]
async fn another_folders_development_token_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = AuthSettings::default();
    let authenticator = Authenticator::open(&settings, ours.path(), fixed_clock()).await.unwrap();
    let dev = DevIssuer::open_or_create(theirs.path()).unwrap();
    let claims = DevClaims {
        tenant: "acme".parse().unwrap(),
        service: None,
        roles: Vec::new(),
        subject: "dev".to_owned(),
        ttl: Duration::from_secs(60),
    };
    let token = dev.mint(&claims, fixed_clock()()).unwrap();
    let error = authenticator.authenticate(&headers(&token)).await.unwrap_err();
    assert!(matches!(error, AuthError::UnknownKey { .. }));
}

#[tokio::test]
async fn a_file_of_three_kinds_of_keys_is_accepted_and_development_tokens_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let keys = [SigningKey::rsa("r"), SigningKey::p256("e"), SigningKey::ed25519("d")];
    std::fs::write(&path, jwks(&keys)).unwrap();
    let authenticator = open(&settings(JwksLocation::File(path))).await.unwrap();
    for key in &keys {
        let identity = authenticator.authenticate(&headers(&key.sign(&claims()))).await.unwrap();
        assert_eq!(identity.tenant.as_str(), "acme");
    }
    assert_eq!(authenticator.dev_jwks(), None);
    let mut dev = claims();
    dev["iss"] = DEV_ISSUER.into();
    let error = authenticator.authenticate(&headers(&keys[0].sign(&dev))).await.unwrap_err();
    assert_eq!(error, AuthError::UnknownIssuer);
}

#[tokio::test]
async fn no_error_repeats_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let key = SigningKey::ed25519("k");
    std::fs::write(&path, jwks(std::slice::from_ref(&key))).unwrap();
    let authenticator = open(&settings(JwksLocation::File(path))).await.unwrap();
    let mut tokens = vec![SigningKey::ed25519("k").sign(&claims())];
    for (claim, value) in [("iss", json!("x")), ("exp", json!(1)), ("custom:tenantId", json!("a b"))] {
        let mut claims = claims();
        claims[claim] = value;
        tokens.push(key.sign(&claims));
    }
    for token in tokens {
        let error = authenticator.authenticate(&headers(&token)).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(token.split('.').all(|part| !text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn a_hub_without_keys_does_not_start_and_says_what_is_missing() {
    let missing = settings(JwksLocation::File("no-such.json".into()));
    let error = open(&missing).await.err().unwrap().to_string();
    assert!(error.contains(ISSUER) && error.contains("no-such.json"), "{error}");
    let nowhere = AuthSettings { issuer: Some("pool".to_owned()), jwks: None, ..missing };
    let error = open(&nowhere).await.err().unwrap().to_string();
    assert!(error.contains("`pool` is refused"), "{error}");
    let far = settings(JwksLocation::Url("http://idp.example/jwks".to_owned()));
    assert!(open(&far).await.err().unwrap().to_string().contains("loopback"));
}

/// An issuer on loopback that counts how often its keys are read.
struct Issuer {
    location: JwksLocation,
    body: Arc<Mutex<Vec<u8>>>,
    status: Arc<Mutex<&'static str>>,
    reads: Arc<AtomicUsize>,
}

async fn issuer(body: Vec<u8>) -> Issuer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = JwksLocation::Url(format!("http://{}/jwks", listener.local_addr().unwrap()));
    let body = Arc::new(Mutex::new(body));
    let status = Arc::new(Mutex::new("200 OK"));
    let reads = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer { location, body, status, reads };
    let (body, status, reads) =
        (Arc::clone(&issuer.body), Arc::clone(&issuer.status), Arc::clone(&issuer.reads));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && socket.read_buf(&mut request).await.unwrap() > 0 {}
            reads.fetch_add(1, Ordering::SeqCst);
            let answer = body.lock().unwrap().clone();
            let status = *status.lock().unwrap();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", answer.len());
            // A reader that has had enough hangs up: its right.
            let _ = socket.write_all(&[head.as_bytes(), &answer].concat()).await;
        }
    });
    issuer
}

#[tokio::test]
async fn many_tokens_of_a_new_key_cause_one_read_and_tokens_of_no_key_cause_no_more() {
    let old = SigningKey::ed25519("old");
    let issuer = issuer(jwks(std::slice::from_ref(&old))).await;
    let authenticator = open(&settings(issuer.location.clone())).await.unwrap();
    tokio::spawn(authenticator.clone().refresh_keys());
    assert!(authenticator.authenticate(&headers(&old.sign(&claims()))).await.is_ok());
    assert_eq!(issuer.reads.load(Ordering::SeqCst), 1);

    let keys = [old, SigningKey::p256("new")];
    *issuer.body.lock().unwrap() = jwks(&keys);
    let calls = (0..50).map(|n| {
        let (authenticator, mut claims) = (authenticator.clone(), claims());
        claims["sub"] = n.to_string().into();
        let headers = headers(&keys[1].sign(&claims));
        tokio::spawn(async move { authenticator.authenticate(&headers).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap().tenant.as_str(), "acme");
    }
    assert_eq!(issuer.reads.load(Ordering::SeqCst), 2);

    let stranger = headers(&SigningKey::ed25519("stranger").sign(&claims()));
    for _ in 0..20 {
        let error = authenticator.authenticate(&stranger).await.unwrap_err();
        assert!(matches!(error, AuthError::UnknownKey { .. }));
    }
    assert_eq!(issuer.reads.load(Ordering::SeqCst), 2, "strangers cannot make the hub read");
}

#[tokio::test]
async fn an_issuer_that_fails_leaves_the_last_good_keys() {
    for (status, body) in [
        ("500 Internal Server Error", b"{}".to_vec()),
        ("302 Found", Vec::new()),
        ("200 OK", b"<html>".to_vec()),
        ("200 OK", vec![b' '; limits::JWKS_BYTES + 1]),
    ] {
        let key = SigningKey::ed25519("k");
        let issuer = issuer(jwks(std::slice::from_ref(&key))).await;
        let authenticator = open(&settings(issuer.location.clone())).await.unwrap();
        tokio::spawn(authenticator.clone().refresh_keys());
        *issuer.status.lock().unwrap() = status;
        *issuer.body.lock().unwrap() = body;
        let stranger = headers(&SigningKey::ed25519("stranger").sign(&claims()));
        assert!(authenticator.authenticate(&stranger).await.is_err());
        assert_eq!(issuer.reads.load(Ordering::SeqCst), 2, "{status}: it was asked");
        assert!(authenticator.authenticate(&headers(&key.sign(&claims()))).await.is_ok(), "{status}");
        // A hub that starts now does not.
        assert!(open(&settings(issuer.location)).await.is_err(), "{status}");
    }
}

#[tokio::test]
async fn a_key_that_the_issuer_withdraws_is_forgotten_with_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::ed25519("new"));
    std::fs::write(&path, jwks(std::slice::from_ref(&old))).unwrap();
    let authenticator = open(&settings(JwksLocation::File(path.clone()))).await.unwrap();
    tokio::spawn(authenticator.clone().refresh_keys());
    let token = headers(&old.sign(&claims()));
    assert!(authenticator.authenticate(&token).await.is_ok());
    std::fs::write(&path, jwks(std::slice::from_ref(&new))).unwrap();
    assert!(authenticator.authenticate(&headers(&new.sign(&claims()))).await.is_ok());
    assert!(authenticator.authenticate(&token).await.is_err());
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_its_keys_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let key = SigningKey::ed25519("k");
    std::fs::write(&path, jwks(std::slice::from_ref(&key))).unwrap();
    let settings = settings(JwksLocation::File(path.clone()));
    let authenticator = open(&settings).await.unwrap();
    tokio::spawn(authenticator.clone().refresh_keys());
    let token = headers(&key.sign(&claims()));
    assert!(authenticator.authenticate(&token).await.is_ok());
    std::fs::write(&path, r#"{"keys":[]}"#).unwrap();
    let stranger = headers(&SigningKey::ed25519("stranger").sign(&claims()));
    assert!(authenticator.authenticate(&stranger).await.is_err());
    let error = authenticator.authenticate(&token).await.unwrap_err();
    assert!(matches!(error, AuthError::UnknownKey { .. }));
    assert!(open(&settings).await.is_err(), "a hub that starts now has no keys");
}

#[tokio::test(start_paused = true)]
async fn keys_that_could_not_be_read_for_a_day_are_given_up_until_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let key = SigningKey::ed25519("k");
    let good = jwks(std::slice::from_ref(&key));
    std::fs::write(&path, &good).unwrap();
    let authenticator = open(&settings(JwksLocation::File(path.clone()))).await.unwrap();
    tokio::spawn(authenticator.clone().refresh_keys());
    let token = headers(&key.sign(&claims()));
    std::fs::write(&path, "gone").unwrap();
    tokio::time::sleep(limits::JWKS_GRACE).await;
    assert!(authenticator.authenticate(&token).await.is_ok(), "an outage is survived");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let error = authenticator.authenticate(&token).await.unwrap_err();
    assert_eq!(error, AuthError::NoKeys);
    assert_eq!(tonic::Status::from(error).code(), tonic::Code::Unavailable);
    std::fs::write(&path, &good).unwrap();
    tokio::time::sleep(limits::JWKS_RETRY * 2).await;
    assert!(authenticator.authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn an_issuer_without_an_audience_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, jwks(&[SigningKey::ed25519("k")])).unwrap();
    let any = settings(JwksLocation::File(path));
    let ours = AuthSettings { audience: vec!["ours".to_owned()], ..any.clone() };
    for (settings, warned) in [(any, true), (ours, false)] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let lines = tracing_subscriber::fmt().with_writer(move || Log(Arc::clone(&writer))).finish();
        let guard = tracing::subscriber::set_default(lines);
        open(&settings).await.unwrap();
        drop(guard);
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert_eq!(text.contains("auth.audience"), warned, "{text}");
    }
}

/// Log lines, kept.
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
