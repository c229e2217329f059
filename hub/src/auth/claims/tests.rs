//! Claims by claim: what is taken and what is refused.

use super::*;
use crate::auth::Role;
use serde_json::json;

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn rules() -> ClaimRules {
    let settings = AuthSettings { audience: vec!["app".to_owned()], ..AuthSettings::default() };
    ClaimRules::new("https://idp", &settings)
}

fn good() -> Claims {
    let claims = json!({
        "iss": "https://idp", "sub": "u1", "token_use": "id", "aud": "app",
        "iat": NOW - 10, "exp": NOW + 300,
        "custom:tenantId": "acme", "custom:service": "orders", "cognito:groups": ["writer", "others"],
    });
    claims.as_object().unwrap().clone()
}

fn with(claim: &str, value: Value) -> Claims {
    let mut claims = good();
    claims.insert(claim.to_owned(), value);
    claims
}

fn without(claim: &str) -> Claims {
    let mut claims = good();
    claims.remove(claim);
    claims
}

fn refused(claims: &Claims) -> AuthError {
    rules().identity(claims, now()).unwrap_err()
}

#[test]
fn a_good_token_is_read_whole() {
    let identity = rules().identity(&good(), now()).unwrap();
    assert_eq!(identity.tenant.as_str(), "acme");
    assert_eq!(identity.service.unwrap().as_str(), "orders");
    assert_eq!(&*identity.subject, "u1");
    assert_eq!(identity.roles.iter().collect::<Vec<_>>(), [Role::Reader, Role::Writer]);
    assert_eq!(identity.expires, now() + Duration::from_secs(300));
}

#[test]
fn a_tenant_that_is_no_clean_name_is_refused() {
    for tenant in [
        json!(["acme"]),
        json!(7),
        json!(""),
        json!(null),
        json!({"a": 1}),
        json!("acme/other"),
        json!("acme other"),
        json!("acme#"),
        json!("../acme"),
        json!("аcme"),
        json!("acme\u{0}"),
        json!("a".repeat(65)),
    ] {
        let error = refused(&with("custom:tenantId", tenant.clone()));
        assert!(
            matches!(&error, AuthError::Claim { claim, .. } if claim == "custom:tenantId"),
            "{tenant}: {error}"
        );
    }
    assert!(refused(&without("custom:tenantId")).to_string().contains("is missing"));
}

#[test]
fn a_service_is_optional_but_never_wrong() {
    assert!(rules().identity(&without("custom:service"), now()).unwrap().service.is_none());
    for service in [json!(""), json!(["orders"]), json!(null), json!("shared"), json!("a|b")] {
        assert!(rules().identity(&with("custom:service", service.clone()), now()).is_err(), "{service}");
    }
}

#[test]
fn roles_come_as_an_array_or_as_words() {
    let roles = |value: Value| rules().identity(&with("cognito:groups", value), now()).map(|who| who.roles);
    assert!(roles(json!("secret-reader writer")).unwrap().has(Role::SecretReader));
    assert!(!roles(json!(["secret-reader writer"])).unwrap().has(Role::SecretReader));
    assert!(!roles(json!([])).unwrap().has(Role::Writer));
    for wrong in [json!(7), json!(null), json!({"writer": true}), json!(["writer", 7])] {
        assert!(roles(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn another_issuer_is_refused() {
    for issuer in [json!("https://idp/"), json!("https://other"), json!(["https://idp"]), json!(null)] {
        assert!(rules().identity(&with("iss", issuer.clone()), now()).is_err(), "{issuer}");
    }
    assert!(rules().identity(&without("iss"), now()).is_err());
}

#[test]
fn the_audience_is_where_the_kind_of_token_has_it() {
    let accepted = |change: Value| {
        let mut claims = without("aud");
        claims.remove("token_use");
        claims.extend(change.as_object().unwrap().clone());
        rules().identity(&claims, now()).is_ok()
    };
    for good in [
        json!({"token_use": "id", "aud": "app"}),
        json!({"token_use": "id", "aud": ["x", "app"]}),
        json!({"token_use": "access", "client_id": "app"}),
        json!({"aud": ["app"], "client_id": "x"}),
        json!({"client_id": "app"}),
    ] {
        assert!(accepted(good.clone()), "{good}");
    }
    for bad in [
        json!({}),
        json!({"token_use": "id", "aud": "x", "client_id": "app"}),
        json!({"token_use": "id", "client_id": "app"}),
        json!({"token_use": "access", "aud": "app", "client_id": "x"}),
        json!({"aud": "x", "client_id": "app"}),
        json!({"aud": 7}),
        json!({"aud": []}),
        json!({"token_use": "refresh", "aud": "app"}),
        json!({"token_use": 1, "aud": "app"}),
    ] {
        assert!(!accepted(bad.clone()), "{bad}");
    }
}

#[test]
fn times_are_checked_with_the_leeway_and_nothing_more() {
    let at = |claim: &str, second: u64| rules().identity(&with(claim, json!(second)), now());
    assert!(at("exp", NOW - 29).is_ok());
    assert!(matches!(at("exp", NOW - 30), Err(AuthError::Expired { .. })));
    for claim in ["nbf", "iat"] {
        assert!(at(claim, NOW + 30).is_ok());
        assert!(matches!(at(claim, NOW + 31), Err(AuthError::NotYet { .. })));
    }
    assert!(rules().identity(&with("exp", json!(1_800_000_300.5)), now()).is_ok());
    for wrong in [json!("1800000300"), json!(null), json!(-1), json!(1e300), json!([NOW])] {
        assert!(rules().identity(&with("exp", wrong.clone()), now()).is_err(), "{wrong}");
        assert!(rules().identity(&with("nbf", wrong.clone()), now()).is_err(), "{wrong}");
    }
    assert!(rules().identity(&without("exp"), now()).is_err());
}

#[test]
fn a_subject_is_short_plain_text() {
    for subject in [json!(""), json!("a\nb"), json!("s".repeat(257)), json!(7)] {
        assert!(rules().identity(&with("sub", subject.clone()), now()).is_err(), "{subject}");
    }
    assert!(rules().identity(&without("sub"), now()).is_err());
}
