//! A look into a token, without verifying it.
//!
//! Only the hub verifies tokens. But before the state on disk may be read with
//! no hub to ask, it must be certain that it belongs to the tenant of the
//! program's own token. Which claim names the tenant is the hub's setting, so
//! any claim may be the one. Whoever can forge a token here can also read the
//! file itself; this guards against mixing tenants up, not against an attacker.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Whether a claim of the token, at any depth, is `name`. False for anything
/// that is no JSON Web Token (RFC 7519).
pub(crate) fn names(token: &str, name: &str) -> bool {
    payload(token).is_some_and(|payload| has(&payload, name))
}

fn payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    // serde_json bounds the depth, so the recursion below is bounded too.
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    (parts.next().is_none() && payload.is_object()).then_some(payload)
}

fn has(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(values) => values.iter().any(|value| has(value, name)),
        Value::Object(fields) => fields.values().any(|value| has(value, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(payload: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    #[test]
    fn a_tenant_is_found_at_any_depth_and_only_as_a_whole_string_value() {
        for claims in [
            json!({"custom:tenantId": "acme"}),
            json!({"app": {"tenant": {"id": "acme"}}}),
            json!({"tenants": ["other", "acme"]}),
        ] {
            assert!(names(&token(&claims), "acme"), "{claims}");
        }
        for claims in [
            json!({"custom:tenantId": "acme2"}),
            json!({"acme": "other"}),
            json!({"tenant": ["ACME", 7, null]}),
            json!("acme"),
            json!({}),
        ] {
            assert!(!names(&token(&claims), "acme"), "{claims}");
        }
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        let good = token(&json!({"tenant": "acme"}));
        for bad in ["", "acme", "a.b", "a.acme.c", "..", &format!("{good}.more"), "e30.%%%.c2ln"] {
            assert!(!names(bad, "acme"), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(!names(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(deep)), "acme"));
    }
}
