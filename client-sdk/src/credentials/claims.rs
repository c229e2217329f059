//! A look into a token, without verifying it.
//!
//! Only the hub verifies tokens. But before the state on disk may be read with
//! no hub to ask, it must be certain that it belongs to the tenant of the
//! program's own token. Which claim names the tenant is the hub's setting; but
//! the hub has told the tenant of the token that the state was got with, so the
//! claim is among those that had its name. Whoever can forge a token here can
//! also read the file itself; this guards against mixing tenants up, not against
//! an attacker.

use super::Token;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which claims of a token name its tenant and its service, as JSON pointers
/// (RFC 6901), and who issued it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) issuer: String,
    pub(crate) tenant: Vec<String>,
    pub(crate) service: Vec<String>,
}

impl Marks {
    /// The marks of a token that a hub took for this tenant and service. None at
    /// all in what is no JSON Web Token (RFC 7519).
    pub(crate) fn of(token: &Token, tenant: &str, service: &str) -> Self {
        let Some(payload) = payload(token.as_str()) else { return Self::default() };
        let places = |name: &str| {
            let mut places = Vec::new();
            // No service is no name.
            if !name.is_empty() {
                find(&payload, name, "", &mut places);
            }
            places
        };
        Self { issuer: issuer(&payload).to_owned(), tenant: places(tenant), service: places(service) }
    }

    /// Whether `token` names this tenant at all the places at which the other
    /// token did.
    pub(crate) fn name_tenant(&self, token: &Token, tenant: &str) -> bool {
        payload(token.as_str()).is_some_and(|payload| {
            let named = |place: &String| payload.pointer(place).and_then(Value::as_str) == Some(tenant);
            issuer(&payload) == self.issuer && !self.tenant.is_empty() && self.tenant.iter().all(named)
        })
    }

    /// The same of the service. A token that names none leaves it to the program,
    /// and fits if this is what the program asks for.
    pub(crate) fn name_service(&self, token: &Token, service: &str, asked_for: bool) -> bool {
        payload(token.as_str()).is_some_and(|payload| {
            let named = |place: &String| payload.pointer(place).map_or(asked_for, |named| named == service);
            (asked_for || !self.service.is_empty()) && self.service.iter().all(named)
        })
    }
}

/// When a token says that it expires (`exp`, RFC 7519 section 4.1.4).
pub(super) fn expires(token: &Token) -> Option<SystemTime> {
    let seconds = payload(token.as_str())?.get("exp")?.as_f64()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

fn issuer(payload: &Value) -> &str {
    payload.get("iss").and_then(Value::as_str).unwrap_or_default()
}

fn payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    // serde_json bounds the depth, so the recursion below is bounded too.
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    (parts.next().is_none() && payload.is_object()).then_some(payload)
}

/// Adds the places at which a string is `name`.
fn find(value: &Value, name: &str, at: &str, places: &mut Vec<String>) {
    match value {
        Value::String(text) if text == name => places.push(at.to_owned()),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                find(value, name, &format!("{at}/{index}"), places);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                let field = field.replace('~', "~0").replace('/', "~1");
                find(value, name, &format!("{at}/{field}"), places);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(payload: &Value) -> Token {
        Token::new(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))).unwrap()
    }

    #[test]
    fn a_tenant_is_found_at_any_depth_and_only_as_a_whole_string_value() {
        for (claims, place) in [
            (json!({"custom:tenantId": "acme"}), "/custom:tenantId"),
            (json!({"https://a.b/~t": "acme"}), "/https:~1~1a.b~1~0t"),
            (json!({"app": {"tenant": {"id": "acme"}}}), "/app/tenant/id"),
            (json!({"tenants": ["other", "acme"]}), "/tenants/1"),
        ] {
            let token = token(&claims);
            let marks = Marks::of(&token, "acme", "");
            assert_eq!(marks.tenant, [place], "{claims}");
            assert!(marks.name_tenant(&token, "acme") && !marks.name_tenant(&token, "other"), "{claims}");
        }
        for claims in [
            json!({"custom:tenantId": "acme2"}),
            json!({"acme": "other"}),
            json!({"tenant": ["ACME", 7, null]}),
            json!("acme"),
            json!({}),
        ] {
            assert!(!Marks::of(&token(&claims), "acme", "").name_tenant(&token(&claims), "acme"), "{claims}");
        }
    }

    #[test]
    fn only_the_same_claims_of_the_same_issuer_count() {
        let mine = token(&json!({"iss": "a", "custom:tenantId": "id", "token_use": "id"}));
        let marks = Marks::of(&mine, "id", "");
        assert!(marks.name_tenant(&mine, "id"));
        for other in [
            json!({"iss": "a", "custom:tenantId": "acme", "token_use": "id"}),
            json!({"iss": "b", "custom:tenantId": "id", "token_use": "id"}),
            json!({"custom:tenantId": "id", "token_use": "id"}),
        ] {
            assert!(!marks.name_tenant(&token(&other), "id"), "{other}");
        }
    }

    #[test]
    fn a_service_that_a_token_names_must_be_the_same_one() {
        let cart = token(&json!({"service": "cart"}));
        let marks = Marks::of(&cart, "acme", "cart");
        let (ad, none) = (token(&json!({"service": "ad"})), token(&json!({})));
        assert!(marks.name_service(&cart, "cart", false) && marks.name_service(&cart, "cart", true));
        assert!(!marks.name_service(&ad, "cart", false) && !marks.name_service(&ad, "cart", true));
        assert!(!marks.name_service(&none, "cart", false) && marks.name_service(&none, "cart", true));
        assert!(Marks::of(&token(&json!({"x": ""})), "acme", "").service.is_empty());
    }

    #[test]
    fn a_token_says_when_it_expires_or_nothing() {
        let at = |exp: Value| expires(&token(&json!({"exp": exp})));
        assert_eq!(at(json!(1_000)), UNIX_EPOCH.checked_add(Duration::from_secs(1_000)));
        assert_eq!(at(json!(1_000.5)), UNIX_EPOCH.checked_add(Duration::from_millis(1_000_500)));
        for bad in [json!(-1), json!("1000"), json!(1e300), json!(null)] {
            assert_eq!(at(bad.clone()), None, "{bad}");
        }
        assert_eq!(expires(&Token::new("opaque").unwrap()), None);
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        let claims = json!({"tenant": "acme"});
        let good = token(&claims);
        let marks = Marks::of(&good, "acme", "");
        let deep = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode("[".repeat(2_000)));
        for bad in
            ["acme", "a.b", "a.acme.c", "..", &format!("{}.more", good.as_str()), "e30.%%%.c2ln", &deep]
        {
            let bad = Token::new(bad).unwrap();
            assert!(!marks.name_tenant(&bad, "acme") && Marks::of(&bad, "acme", "") == Marks::default());
        }
    }
}
