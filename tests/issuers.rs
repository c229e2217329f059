//! Whose tokens are accepted: issuers that are found by their own documents, several
//! of them side by side, through rotation and outage.

use crate::support::Hub;
use crate::support::issuer::{IssuerServer, claims};
use crate::support::signing::SigningKey;
use confhub::app::App;
use confhub::clock::system_clock;
use confhub::config::{IssuerSettings, JwksLocation, Settings};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tonic::Code;

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
    for (named, keys) in [
        ("https://evil.example", format!("{}/keys", issuer.name)),
        (&issuer.name, "http://10.1.1.1/keys".into()),
    ] {
        issuer.say(named, &keys);
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Hub::settings(folder.path());
        settings.auth.issuer = Some(issuer.name.clone());
        let error = App::start(settings, system_clock()).await.err().unwrap().to_string();
        assert!(error.contains(&issuer.name), "{error}");
    }
}

#[tokio::test]
async fn two_issuers_side_by_side_sign_for_themselves_alone_though_their_keys_have_one_name() {
    let (one, two) = (SigningKey::ed25519("k"), SigningKey::p256("k"));
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

#[tokio::test]
async fn keys_are_rotated_under_load_without_a_refused_call() {
    let (old, new) = (SigningKey::ed25519("old"), SigningKey::p256("new"));
    let issuer = IssuerServer::start(&[&old]).await;
    let hub = hub(|settings| settings.auth.issuer = Some(issuer.name.clone())).await;
    let token = old.sign(&claims(&issuer.name, "acme"));
    assert_eq!(answer(&hub, &token).await, LET_IN);
    // First the new key beside the old one, then tokens of it, then the old one goes.
    issuer.publish(&[&old, &new]);
    for n in 0..20 {
        let mut claims = claims(&issuer.name, "acme");
        claims["sub"] = format!("user-{n}").into();
        assert_eq!(answer(&hub, &new.sign(&claims)).await, LET_IN, "call {n}");
        assert_eq!(answer(&hub, &token).await, LET_IN, "call {n}");
    }
    issuer.publish(&[&new]);
    hub.until_token(&token, REFUSED).await;
    assert_eq!(answer(&hub, &new.sign(&claims(&issuer.name, "acme"))).await, LET_IN);
}

#[tokio::test]
async fn an_outage_of_one_issuer_leaves_its_last_good_keys_and_the_others_alone() {
    let (one, two) = (SigningKey::ed25519("a"), SigningKey::ed25519("b"));
    let (first, second) = (IssuerServer::start(&[&one]).await, IssuerServer::start(&[&two]).await);
    let hub = hub(|settings| {
        settings.auth.issuer = Some(first.name.clone());
        settings.auth.issuers = vec![IssuerSettings::new(&second.name)];
    })
    .await;
    first.fail();
    for n in 0..10 {
        for (key, issuer) in [(&one, &first), (&two, &second)] {
            let mut claims = claims(&issuer.name, "acme");
            claims["sub"] = format!("user-{n}").into();
            assert_eq!(answer(&hub, &key.sign(&claims)).await, LET_IN);
        }
    }
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
    assert!(issuer.reads() - before <= 1, "{} reads", issuer.reads() - before);
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
