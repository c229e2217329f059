//! Whose tokens are accepted: issuers that are found by their own documents, several
//! of them side by side, through rotation and outage.

use crate::support::issuer::{IssuerServer, claims};
use crate::support::signing::SigningKey;
use crate::support::{Caller, Hub, soon};
use confhub::app::App;
use confhub::clock::system_clock;
use confhub::config::{IssuerSettings, JwksLocation, Settings};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Endpoint;

/// A hub without the development issuer, with these settings.
async fn hub(change: impl FnOnce(&mut Settings)) -> Hub {
    Hub::start_with(|settings| {
        settings.auth.jwks_refresh = Duration::from_millis(200);
        change(settings);
    })
    .await
}

/// What a token is answered with.
async fn answer(hub: &Hub, token: &str) -> Option<Code> {
    let answer = hub.caller_with(token).await.get("", "tenant_config_probe").await;
    answer.err().map(|status| status.code())
}

/// A token that is let in finds that there is no such entry.
const LET_IN: Option<Code> = Some(Code::NotFound);
const REFUSED: Option<Code> = Some(Code::Unauthenticated);

#[tokio::test]
async fn an_issuers_own_document_says_where_its_keys_are() {
    let key = SigningKey::ed25519("k");
    let issuer = IssuerServer::start(&[&key]).await;
    let hub = hub(|settings| settings.auth.issuer = Some(issuer.name.clone())).await;
    assert_eq!(answer(&hub, &key.sign(&claims(&issuer.name, "acme"))).await, LET_IN);
    let stranger = SigningKey::ed25519("k");
    assert_eq!(answer(&hub, &stranger.sign(&claims(&issuer.name, "acme"))).await, REFUSED);
}

#[tokio::test]
async fn a_document_of_another_issuer_or_with_keys_elsewhere_stops_the_start() {
    let key = SigningKey::ed25519("k");
    let issuer = IssuerServer::start(&[&key]).await;
    for (named, keys, reason) in [
        ("https://evil.example", format!("{}/keys", issuer.name), "of the issuer `https://evil.example`"),
        (&issuer.name, "http://10.1.1.1/keys".into(), "`jwks_uri` is not on this machine"),
        (&issuer.name, "file:///etc/passwd".into(), "`jwks_uri`"),
    ] {
        issuer.say(named, &keys);
        let error = start_error(|settings| settings.auth.issuer = Some(issuer.name.clone())).await;
        assert!(error.contains(&issuer.name) && error.contains(reason), "{error}");
    }
}

/// Why a hub with these settings does not start.
async fn start_error(change: impl FnOnce(&mut Settings)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Hub::settings(folder.path());
    change(&mut settings);
    App::start(settings, system_clock()).await.err().unwrap().to_string()
}

#[tokio::test]
async fn two_issuers_side_by_side_sign_for_themselves_alone_though_their_keys_have_one_name() {
    let (one, two) = (SigningKey::ed25519("k"), SigningKey::ed25519("k"));
    let (first, second) = (IssuerServer::start(&[&one]).await, IssuerServer::start(&[&two]).await);
    let hub = hub(|settings| {
        settings.auth.issuer = Some(first.name.clone());
        settings.auth.issuers = vec![IssuerSettings::new(&second.name)];
    })
    .await;
    assert_eq!(answer(&hub, &one.sign(&claims(&first.name, "acme"))).await, LET_IN);
    assert_eq!(answer(&hub, &two.sign(&claims(&second.name, "acme"))).await, LET_IN);
    assert_eq!(answer(&hub, &one.sign(&claims(&second.name, "acme"))).await, REFUSED);
    assert_eq!(answer(&hub, &two.sign(&claims(&first.name, "acme"))).await, REFUSED);
    assert_eq!(answer(&hub, &one.sign(&claims("https://third.example", "acme"))).await, REFUSED);
}

#[tokio::test]
async fn an_issuer_with_a_tenant_of_its_own_has_it_alone() {
    let (one, two) = (SigningKey::ed25519("a"), SigningKey::ed25519("b"));
    let (customers, staff) = (IssuerServer::start(&[&one]).await, IssuerServer::start(&[&two]).await);
    let hub = hub(|settings| {
        settings.auth.issuer = Some(customers.name.clone());
        let operators = confhub_proto::TenantId::new("operators").ok();
        settings.auth.issuers =
            vec![IssuerSettings { tenant: operators, ..IssuerSettings::new(&staff.name) }];
    })
    .await;
    // Whatever its tokens claim, and if they claim none.
    let mut claimed = claims(&staff.name, "acme");
    let caller = hub.caller_with(&two.sign(&claimed)).await;
    assert_eq!(caller.status().await.unwrap().tenant, "operators");
    claimed.as_object_mut().unwrap().remove("custom:tenantId");
    let caller = hub.caller_with(&two.sign(&claimed)).await;
    assert_eq!(caller.status().await.unwrap().tenant, "operators");
    assert_eq!(answer(&hub, &one.sign(&claims(&customers.name, "operators"))).await, REFUSED);
    assert_eq!(answer(&hub, &one.sign(&claims(&customers.name, "acme"))).await, LET_IN);
}

#[tokio::test]
async fn claims_are_found_at_any_place_of_a_token() {
    let key = SigningKey::ed25519("k");
    let issuer = IssuerServer::start(&[&key]).await;
    let hub = hub(|settings| {
        settings.auth.issuer = Some(issuer.name.clone());
        settings.auth.tenant_claim = "/app/tenants/0".to_owned();
        settings.auth.service_claim = "https://example.com/service".to_owned();
        settings.auth.roles_claim = "/realm_access/roles".to_owned();
    })
    .await;
    let mut claims = claims(&issuer.name, "elsewhere");
    claims["app"] = json!({ "tenants": ["acme", "globex"] });
    claims["https://example.com/service"] = "cart".into();
    claims["realm_access"] = json!({ "roles": ["writer", "offline_access"] });
    let caller = hub.caller_with(&key.sign(&claims)).await;
    let status = caller.status().await.unwrap();
    assert_eq!(
        (status.tenant.as_str(), &status.roles[..]),
        ("acme", &["reader".into(), "writer".into()][..])
    );
    for tenants in [json!([]), json!([["acme"]]), json!([7]), json!("acme"), json!([""]), json!({})] {
        claims["app"] = json!({ "tenants": tenants });
        assert_eq!(answer(&hub, &key.sign(&claims)).await, REFUSED, "{tenants}");
    }
}

/// Callers that never stop calling, each time with a new token of the key that the
/// issuer signs with at that moment. A call that is refused ends the test.
struct Load {
    signer: Arc<Mutex<Arc<SigningKey>>>,
    calls: Vec<Arc<AtomicUsize>>,
    callers: JoinSet<()>,
}

impl Load {
    async fn start(hub: &Hub, issuer: &str, key: &Arc<SigningKey>) -> Self {
        let signer = Arc::new(Mutex::new(Arc::clone(key)));
        let channel = Endpoint::from_shared(hub.endpoint()).unwrap().connect().await.unwrap();
        let (mut calls, mut callers) = (Vec::new(), JoinSet::new());
        for caller in 0..8 {
            let count = Arc::new(AtomicUsize::new(0));
            calls.push(Arc::clone(&count));
            let (signer, channel, issuer) = (Arc::clone(&signer), channel.clone(), issuer.to_owned());
            callers.spawn(async move {
                loop {
                    let mut claims = claims(&issuer, "acme");
                    let number = count.load(Ordering::SeqCst);
                    claims["sub"] = format!("{caller}-{number}").into();
                    let key = Arc::clone(&signer.lock().unwrap());
                    let caller = Caller::through(channel.clone(), &key.sign(&claims));
                    let status = caller.get("", "tenant_config_probe").await.unwrap_err();
                    assert_eq!(status.code(), Code::NotFound, "with the key `{}`: {status}", key.kid);
                    count.store(number + 1, Ordering::SeqCst);
                }
            });
        }
        Self { signer, calls, callers }
    }

    fn sign_with(&self, key: &Arc<SigningKey>) {
        *self.signer.lock().unwrap() = Arc::clone(key);
    }

    /// Waits until each has made this many calls more, all of them good.
    async fn until_called(&mut self, times: usize) {
        let count = |calls: &Arc<AtomicUsize>| calls.load(Ordering::SeqCst);
        let wanted: Vec<_> = self.calls.iter().map(|calls| count(calls) + times).collect();
        let reached = async {
            let mut looks = tokio::time::interval(Duration::from_millis(5));
            while self.calls.iter().zip(&wanted).any(|(calls, wanted)| count(calls) < *wanted) {
                looks.tick().await;
                if let Some(ended) = self.callers.try_join_next() {
                    ended.unwrap();
                }
            }
        };
        soon("calls under load", reached).await;
    }
}

#[tokio::test]
async fn keys_are_rotated_under_load_without_a_refused_call() {
    let keys = [SigningKey::ed25519("0"), SigningKey::p256("1"), SigningKey::ed25519("2")].map(Arc::new);
    let issuer = IssuerServer::start(&[&keys[0]]).await;
    let hub = hub(|settings| settings.auth.issuer = Some(issuer.name.clone())).await;
    let mut load = Load::start(&hub, &issuer.name, &keys[0]).await;
    load.until_called(3).await;
    for pair in keys.windows(2) {
        let [old, new] = pair else { unreachable!("windows of two") };
        let last_of_old = old.sign(&claims(&issuer.name, "acme"));
        // The new key beside the old one, then tokens of it, then the old one goes.
        issuer.publish(&[old, new]);
        if new.kid == "2" {
            // An issuer's habit: the key is published ahead. Without it the hub has to
            // look, which strangers may make it do once in ten seconds alone.
            hub.until_token(&new.sign(&claims(&issuer.name, "acme")), LET_IN).await;
        }
        load.sign_with(new);
        load.until_called(5).await;
        assert_eq!(answer(&hub, &last_of_old).await, LET_IN, "the old key's tokens live on");
        issuer.publish(&[new]);
        hub.until_token(&last_of_old, REFUSED).await;
        load.until_called(3).await;
    }
}

#[tokio::test]
async fn an_outage_of_one_issuer_leaves_its_last_good_keys_and_the_others_alone() {
    let (one, two, next) = (SigningKey::ed25519("a"), SigningKey::ed25519("b"), SigningKey::ed25519("c"));
    let (first, second) = (IssuerServer::start(&[&one]).await, IssuerServer::start(&[&two]).await);
    let hub = hub(|settings| {
        settings.auth.issuer = Some(first.name.clone());
        settings.auth.issuers = vec![IssuerSettings::new(&second.name)];
    })
    .await;
    first.fail();
    first.until_asked_in_vain(3).await;
    for n in 0..10 {
        for (key, issuer) in [(&one, &first), (&two, &second)] {
            let mut claims = claims(&issuer.name, "acme");
            claims["sub"] = format!("user-{n}").into();
            assert_eq!(answer(&hub, &key.sign(&claims)).await, LET_IN);
        }
    }
    // The other one rotates as ever, and the first is heard again once it is back.
    second.publish(&[&next]);
    hub.until_token(&two.sign(&claims(&second.name, "acme")), REFUSED).await;
    first.recover(&[&next]);
    hub.until_token(&one.sign(&claims(&first.name, "acme")), REFUSED).await;
    assert_eq!(answer(&hub, &next.sign(&claims(&first.name, "acme"))).await, LET_IN);
}

#[tokio::test]
async fn a_hub_starts_while_an_issuer_is_out_and_serves_the_others_tenants() {
    let (one, two) = (SigningKey::ed25519("a"), SigningKey::ed25519("b"));
    let (first, second) = (IssuerServer::start(&[&one]).await, IssuerServer::start(&[&two]).await);
    first.fail();
    let both = |settings: &mut Settings| {
        settings.auth.issuer = Some(first.name.clone());
        settings.auth.issuers = vec![IssuerSettings::new(&second.name)];
    };
    let hub = hub(both).await;
    let waiting = one.sign(&claims(&first.name, "acme"));
    assert_eq!(
        answer(&hub, &waiting).await,
        Some(Code::Unavailable),
        "to be tried again, not to be given up"
    );
    assert_eq!(answer(&hub, &two.sign(&claims(&first.name, "acme"))).await, Some(Code::Unavailable));
    assert_eq!(answer(&hub, &two.sign(&claims(&second.name, "acme"))).await, LET_IN);
    first.recover(&[&one]);
    hub.until_token(&waiting, LET_IN).await;
    // One that nobody's tokens could be verified by does not start.
    first.fail();
    second.fail();
    let error = start_error(both).await;
    assert!(error.contains(&first.name) && error.contains("503"), "{error}");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_makes_no_flood_of_reads() {
    let key = SigningKey::ed25519("k");
    let issuer = IssuerServer::start(&[&key]).await;
    // The plain interval is long, so that what is counted is what strangers cause.
    let hub = Hub::start_with(|settings| settings.auth.issuer = Some(issuer.name.clone())).await;
    let before = issuer.reads();
    for n in 0..50 {
        let stranger = SigningKey::ed25519(&format!("unknown-{n}"));
        assert_eq!(answer(&hub, &stranger.sign(&claims(&issuer.name, "acme"))).await, REFUSED);
    }
    assert_eq!(issuer.reads() - before, 1, "the first may be a new key, the others wait for their turn");
    assert_eq!(answer(&hub, &key.sign(&claims(&issuer.name, "acme"))).await, LET_IN);
}

#[tokio::test]
async fn keys_in_a_file_are_of_whatever_issuer_the_settings_name() {
    let key = SigningKey::rsa("k");
    let folder = Arc::new(TempDir::new().unwrap());
    let path: PathBuf = Hub::key_file(&folder, "jwks.json", &[&key]);
    let issuer = "https://public.example/pool";
    let hub = Hub::start_on(folder, |settings| {
        settings.auth.issuer = Some(issuer.to_owned());
        settings.auth.jwks = Some(JwksLocation::File(path));
    })
    .await;
    assert_eq!(answer(&hub, &key.sign(&claims(issuer, "acme"))).await, LET_IN);
}
