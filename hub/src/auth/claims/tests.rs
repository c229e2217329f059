//! Claims by claim: what is taken and what is refused.

use super::*;
use crate::auth::Role;
use serde_json::json;

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: "https://idp".to_owned(),
        audience: vec!["app".to_owned()],
        token_use: TokenUse::Any,
        tenant: TenantRule::Claimed {
            at: ClaimPath::new("custom:tenantId"),
            not: vec!["theirs".parse().unwrap()],
        },
        service: ClaimPath::new("custom:service"),
        roles: ClaimPath::new("cognito:groups"),
        leeway: Duration::from_secs(30),
    }
}

fn identity_by(rules: &ClaimRules, claims: &Claims) -> Result<Identity, AuthError> {
    rules.identity(&Signed { claims: claims.clone(), is_access_token: false }, now())
}

fn identity(claims: &Claims) -> Result<Identity, AuthError> {
    identity_by(&rules(), claims)
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
    identity(claims).unwrap_err()
}

#[test]
fn a_good_token_is_read_whole() {
    let identity = identity(&good()).unwrap();
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
        json!(HUB_TENANT),
        json!("theirs"),
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
    assert!(identity(&without("custom:service")).unwrap().service.is_none());
    for service in [json!(""), json!(["orders"]), json!(null), json!("shared"), json!("a|b")] {
        assert!(identity(&with("custom:service", service.clone())).is_err(), "{service}");
    }
}

#[test]
fn roles_come_as_an_array_or_as_words() {
    let roles = |value: Value| identity(&with("cognito:groups", value)).map(|who| who.roles);
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
        assert!(identity(&with("iss", issuer.clone())).is_err(), "{issuer}");
    }
    assert!(identity(&without("iss")).is_err());
}

#[test]
fn the_audience_is_where_the_kind_of_token_has_it() {
    let accepted = |change: Value| {
        let mut claims = without("aud");
        claims.remove("token_use");
        claims.extend(change.as_object().unwrap().clone());
        identity(&claims).is_ok()
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
    let at = |claim: &str, second: u64| identity(&with(claim, json!(second)));
    assert!(at("exp", NOW - 29).is_ok());
    assert!(matches!(at("exp", NOW - 30), Err(AuthError::Expired { .. })));
    for claim in ["nbf", "iat"] {
        assert!(at(claim, NOW + 30).is_ok());
        assert!(matches!(at(claim, NOW + 31), Err(AuthError::NotYet { .. })));
    }
    assert!(identity(&with("exp", json!(1_800_000_300.5))).is_ok());
    assert!(at("exp", NOW + 10 * 365 * 24 * 3_600).is_ok());
    let error = at("exp", NOW * 1_000).unwrap_err().to_string();
    assert!(error.contains("seconds since 1970, at most 10 years ahead"), "milliseconds: {error}");
    for wrong in [json!("1800000300"), json!(null), json!(-1), json!(1e300), json!([NOW])] {
        assert!(identity(&with("exp", wrong.clone())).is_err(), "{wrong}");
        assert!(identity(&with("nbf", wrong.clone())).is_err(), "{wrong}");
    }
    assert!(identity(&without("exp")).is_err());
}

#[test]
fn a_subject_is_short_plain_text() {
    for subject in [json!(""), json!("a\nb"), json!("s".repeat(257)), json!(7)] {
        assert!(identity(&with("sub", subject.clone())).is_err(), "{subject}");
    }
    assert!(identity(&without("sub")).is_err());
}

#[test]
fn the_kind_of_token_is_what_the_setting_says() {
    for (token_use, claim, is_access_token, good) in [
        (TokenUse::Any, None, true, true),
        (TokenUse::Id, Some("id"), false, true),
        (TokenUse::Id, Some("access"), false, false),
        (TokenUse::Id, Some("id"), true, false),
        (TokenUse::Id, None, false, false),
        (TokenUse::Id, None, true, false),
        (TokenUse::Access, Some("access"), false, true),
        (TokenUse::Access, Some("access"), true, true),
        (TokenUse::Access, Some("id"), false, false),
        (TokenUse::Access, None, true, true),
        (TokenUse::Access, None, false, false),
    ] {
        let rules = ClaimRules { token_use, ..rules() };
        let mut claims = with("client_id", json!("app"));
        match claim {
            None => drop(claims.remove("token_use")),
            Some(claim) => drop(claims.insert("token_use".to_owned(), json!(claim))),
        }
        let result = rules.identity(&Signed { claims, is_access_token }, now());
        assert_eq!(result.is_ok(), good, "{token_use:?} {claim:?} {is_access_token}: {result:?}");
    }
}

#[test]
fn claims_inside_objects_and_arrays_are_reached_and_wrong_ones_are_named_by_their_place() {
    let rules = ClaimRules {
        tenant: TenantRule::Claimed { at: ClaimPath::new("/app/tenants/0"), not: Vec::new() },
        service: ClaimPath::new("/app/service"),
        roles: ClaimPath::new("/app/roles"),
        ..rules()
    };
    let whose = |app: Value| identity_by(&rules, &with("app", app));
    let who = whose(json!({ "tenants": ["globex"], "service": "billing", "roles": "writer x" })).unwrap();
    assert_eq!((who.tenant.as_str(), who.service.unwrap().as_str()), ("globex", "billing"));
    assert!(who.roles.has(Role::Writer));
    for (app, place) in [
        (json!({}), "`/app/tenants/0` is missing"),
        (json!({ "tenants": [] }), "`/app/tenants/0` is missing"),
        (json!({ "tenants": "globex" }), "`/app/tenants` is a string"),
        (json!({ "tenants": [["globex"]] }), "`/app/tenants/0` is an array"),
        (json!({ "tenants": [""] }), "`/app/tenants/0` is refused"),
        (json!("globex"), "`/app` is a string"),
        (json!({ "tenants": ["t"], "service": null }), "`/app/service` is null"),
        (json!({ "tenants": ["t"], "roles": { "writer": true } }), "`/app/roles` is an object"),
    ] {
        let error = whose(app.clone()).unwrap_err().to_string();
        assert!(error.contains(place), "{app}: {error}");
    }
}

#[test]
fn a_fixed_tenant_needs_no_claim_and_heeds_none() {
    let rules = ClaimRules { tenant: TenantRule::Fixed("mine".parse().unwrap()), ..rules() };
    for claims in [without("custom:tenantId"), with("custom:tenantId", json!("other"))] {
        assert_eq!(identity_by(&rules, &claims).unwrap().tenant.as_str(), "mine");
    }
}
