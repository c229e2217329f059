//! Where in a token a claim stands.
//!
//! A name is taken as it is, since names such as `custom:tenantId` or
//! `https://idp.example/tenant` are common. One that begins with `/` is a JSON
//! Pointer (RFC 6901): `/app_metadata/tenant`, `/tenants/0`.

use super::AuthError;
use super::claims::{Claims, kind};
use serde_json::Value;
use std::fmt;

/// Where in a token a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimPath {
    text: String,
    steps: Vec<String>,
}

/// Whether `text` says where a claim is.
///
/// # Errors
/// The reason why not.
pub fn check_claim_name(text: &str) -> Result<(), String> {
    let Some(pointer) = text.strip_prefix('/') else { return Ok(()) };
    for step in pointer.split('/') {
        let escapes = step.split('~').skip(1);
        if escapes.into_iter().any(|rest| !rest.starts_with(['0', '1'])) {
            return Err("it begins with `/`, so it is a JSON Pointer, in which `~` is written `~0` \
                        and `/` in a name `~1`"
                .to_owned());
        }
    }
    Ok(())
}

impl ClaimPath {
    /// What [`check_claim_name`] accepts.
    pub(super) fn new(text: &str) -> Self {
        let steps = match text.strip_prefix('/') {
            None => vec![text.to_owned()],
            Some(pointer) => {
                pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
            }
        };
        Self { text: text.to_owned(), steps }
    }

    /// As the settings have it.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The claim, if the token has it. What stands on the way to it must be an
    /// object or an array.
    pub(super) fn find<'a>(&self, claims: &'a Claims) -> Result<Option<&'a Value>, AuthError> {
        let mut steps = self.steps.iter();
        let mut found = steps.next().and_then(|first| claims.get(first));
        for (passed, step) in steps.enumerate() {
            found = match found {
                None => return Ok(None),
                Some(Value::Object(object)) => object.get(step),
                Some(Value::Array(items)) => index(step).and_then(|index| items.get(index)),
                Some(other) => {
                    return Err(kind(&self.way(passed + 1), other, "an object or an array"));
                }
            };
        }
        Ok(found)
    }

    /// The first `steps` steps.
    fn way(&self, steps: usize) -> String {
        let parts: Vec<_> = self.text.split('/').take(steps + 1).collect();
        parts.join("/")
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An array's index as RFC 6901 writes it: digits, without leading zeros.
fn index(step: &str) -> Option<usize> {
    let plain = step.bytes().all(|byte| byte.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    plain.then(|| step.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Claims {
        let claims = json!({
            "custom:tenantId": "plain", "https://idp.example/tenant": "url", "a/b": "slash", "~": "tilde",
            "app": { "tenant": "nested", "": "empty", "0": "zero" },
            "tenants": ["first", { "id": "second" }],
        });
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn plain_names_and_pointers_lead_to_their_claims() {
        let claims = claims();
        for (path, expected) in [
            ("custom:tenantId", Some("plain")),
            ("https://idp.example/tenant", Some("url")),
            ("a/b", Some("slash")),
            ("app/tenant", None),
            ("/app/tenant", Some("nested")),
            ("/app/", Some("empty")),
            ("/app/0", Some("zero")),
            ("/tenants/0", Some("first")),
            ("/tenants/1/id", Some("second")),
            ("/a~1b", Some("slash")),
            ("/~0", Some("tilde")),
            ("/custom:tenantId", Some("plain")),
            ("/tenants/00", None),
            ("/tenants/-", None),
            ("/tenants/+0", None),
            ("/tenants/2", None),
            ("/tenants/99999999999999999999999", None),
            ("/App/tenant", None),
            ("/nothing/at/all", None),
        ] {
            check_claim_name(path).unwrap();
            let found = ClaimPath::new(path).find(&claims).unwrap().and_then(Value::as_str);
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_wrong_type_on_the_way_is_named_with_its_place() {
        let error = ClaimPath::new("/app/tenant/id").find(&claims()).unwrap_err().to_string();
        assert!(error.contains("`/app/tenant` is a string; an object or an array"), "{error}");
        let error = ClaimPath::new("/custom:tenantId/0").find(&claims()).unwrap_err().to_string();
        assert!(error.contains("`/custom:tenantId` is a string"), "{error}");
    }

    #[test]
    fn an_escape_that_is_none_is_a_mistake() {
        assert!(check_claim_name("~x").is_ok(), "no pointer");
        for bad in ["/a~", "/a~2", "/~/b"] {
            assert!(check_claim_name(bad).unwrap_err().contains("JSON Pointer"), "{bad}");
        }
    }
}
