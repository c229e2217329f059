//! What a token claims -> who calls.
//!
//! The signature is good by now. What is left is whether the token is from the
//! accepted issuer, for this hub, for this moment, and names a tenant. A claim
//! of the wrong type is refused rather than read with good will.

use super::error::shown;
use super::{AuthError, ClaimFault, HUB_TENANT, Identity, Roles};
use crate::config::AuthSettings;
use crate::limits;
use confhub_proto::{ServiceName, TenantId};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};

/// What tokens must claim, and where.
#[derive(Debug)]
pub(super) struct ClaimRules {
    pub(super) issuer: String,
    /// Empty: any.
    pub(super) audience: Vec<String>,
    pub(super) tenant: String,
    pub(super) service: String,
    pub(super) roles: String,
    pub(super) leeway: Duration,
}

type Claims = Map<String, Value>;

impl ClaimRules {
    pub(super) fn new(issuer: &str, settings: &AuthSettings) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: settings.audience.clone(),
            tenant: settings.tenant_claim.clone(),
            service: settings.service_claim.clone(),
            roles: settings.roles_claim.clone(),
            leeway: settings.leeway,
        }
    }

    /// Reads the identity, or says which claim stands in the way.
    pub(super) fn identity(&self, claims: &Claims, now: SystemTime) -> Result<Identity, AuthError> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let expires = self.check_times(claims, now)?;
        let tenant = required(claims, &self.tenant)?;
        if tenant == HUB_TENANT {
            return Err(value(&self.tenant, tenant, "a tenant other than the hub itself".to_owned()));
        }
        let tenant = TenantId::new(tenant).map_err(|error| fault(&self.tenant, ClaimFault::Name(error)))?;
        let service = match optional(claims, &self.service)? {
            None => None,
            Some(name) => {
                Some(ServiceName::new(name).map_err(|error| fault(&self.service, ClaimFault::Name(error)))?)
            }
        };
        let roles = self.roles(claims)?;
        let subject = text(claims, "sub")?.ok_or_else(|| fault("sub", ClaimFault::Missing))?.into();
        let token_id = text(claims, "jti")?.map(Into::into);
        let issued = time(claims, "iat")?;
        Ok(Identity { tenant, service, subject, token_id, issued, roles, expires })
    }

    /// Whether a token that was good before has expired since.
    pub(super) fn check_expiry(&self, expires: SystemTime, now: SystemTime) -> Result<(), AuthError> {
        match now.duration_since(expires) {
            Ok(ago) if ago >= self.leeway => Err(AuthError::Expired { ago }),
            _ => Ok(()),
        }
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), AuthError> {
        let issuer = required(claims, "iss")?;
        if issuer == self.issuer { Ok(()) } else { Err(value("iss", issuer, format!("`{}`", self.issuer))) }
    }

    /// An ID token says for whom it is in `aud`, an access token in `client_id`;
    /// a token that does not say which it is, in the first of the two it has.
    fn check_audience(&self, claims: &Claims) -> Result<(), AuthError> {
        let claim = match optional(claims, "token_use")? {
            Some("id") => "aud",
            Some("access") => "client_id",
            Some(other) => return Err(value("token_use", other, "`id` or `access`".to_owned())),
            None if claims.contains_key("aud") => "aud",
            None => "client_id",
        };
        if self.audience.is_empty() {
            return Ok(());
        }
        let given = match claims.get(claim) {
            None => return Err(fault(claim, ClaimFault::Missing)),
            Some(given) => strings(claim, given, false)?,
        };
        if given.iter().any(|one| self.audience.iter().any(|accepted| accepted == one)) {
            return Ok(());
        }
        let expected = format!("one of `{}`", self.audience.join("`, `"));
        Err(value(claim, &given.join(" "), expected))
    }

    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<SystemTime, AuthError> {
        let expires = time(claims, "exp")?.ok_or_else(|| fault("exp", ClaimFault::Missing))?;
        self.check_expiry(expires, now)?;
        for claim in ["nbf", "iat"] {
            if let Some(from) = time(claims, claim)?
                && let Ok(ahead) = from.duration_since(now)
                && ahead > self.leeway
            {
                return Err(AuthError::NotYet { claim, ahead });
            }
        }
        Ok(expires)
    }

    fn roles(&self, claims: &Claims) -> Result<Roles, AuthError> {
        match claims.get(&self.roles) {
            None => Ok(Roles::from_names([])),
            Some(roles) => Ok(Roles::from_names(strings(&self.roles, roles, true)?)),
        }
    }
}

/// What stands in the history and in logs must be a short plain text.
fn text<'a>(claims: &'a Claims, claim: &str) -> Result<Option<&'a str>, AuthError> {
    let Some(text) = optional(claims, claim)? else { return Ok(None) };
    if text.is_empty() || text.len() > limits::SUBJECT_BYTES || text.chars().any(char::is_control) {
        let most = limits::SUBJECT_BYTES;
        return Err(value(claim, text, format!("1 to {most} bytes without control characters")));
    }
    Ok(Some(text))
}

fn required<'a>(claims: &'a Claims, claim: &str) -> Result<&'a str, AuthError> {
    optional(claims, claim)?.ok_or_else(|| fault(claim, ClaimFault::Missing))
}

fn optional<'a>(claims: &'a Claims, claim: &str) -> Result<Option<&'a str>, AuthError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(kind(claim, other, "a string")),
    }
}

/// An array of strings, or one string, which `split` takes apart at spaces.
fn strings<'a>(claim: &str, given: &'a Value, split: bool) -> Result<Vec<&'a str>, AuthError> {
    match given {
        Value::String(text) if split => Ok(text.split_ascii_whitespace().collect()),
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => {
            let texts = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| kind(claim, given, "an array of strings alone"))
        }
        other => Err(kind(claim, other, "a string or an array of strings")),
    }
}

/// A time in seconds since 1970, with or without a fraction (RFC 7519).
fn time(claims: &Claims, claim: &str) -> Result<Option<SystemTime>, AuthError> {
    let Some(given) = claims.get(claim) else { return Ok(None) };
    let seconds = match given {
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    time.map(Some).ok_or_else(|| kind(claim, given, "a number of seconds since 1970"))
}

fn fault(claim: &str, fault: ClaimFault) -> AuthError {
    AuthError::Claim { claim: claim.to_owned(), fault }
}

fn value(claim: &str, found: &str, expected: String) -> AuthError {
    fault(claim, ClaimFault::Value { found: shown(found), expected })
}

fn kind(claim: &str, found: &Value, expected: &'static str) -> AuthError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    fault(claim, ClaimFault::Type { found, expected })
}

#[cfg(test)]
mod tests;
