//! What a token claims -> who calls.
//!
//! The signature is good by now. What is left is whether the token is from the
//! accepted issuer, for this hub, for this moment, and names a tenant. A claim
//! of the wrong type is refused rather than read with good will.

use super::claim_path::ClaimPath;
use super::error::shown;
use super::token::Signed;
use super::{AuthError, ClaimFault, HUB_TENANT, Identity, Roles};
use crate::config::TokenUse;
use crate::limits;
use confhub_proto::{ServiceName, TenantId};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};

/// What the tokens of one issuer must claim, and where.
#[derive(Debug)]
pub(super) struct ClaimRules {
    pub(super) issuer: String,
    /// Empty: any.
    pub(super) audience: Vec<String>,
    pub(super) token_use: TokenUse,
    pub(super) tenant: TenantRule,
    pub(super) service: ClaimPath,
    pub(super) roles: ClaimPath,
    pub(super) leeway: Duration,
}

/// Which tenant an issuer's tokens are of.
#[derive(Debug)]
pub(super) enum TenantRule {
    /// All of this one, whatever they claim.
    Fixed(TenantId),
    /// The one that they claim, save those that are another issuer's own.
    Claimed { at: ClaimPath, not: Vec<TenantId> },
}

pub(super) type Claims = Map<String, Value>;

impl ClaimRules {
    /// Reads the identity, or says which claim stands in the way.
    pub(super) fn identity(&self, token: &Signed, now: SystemTime) -> Result<Identity, AuthError> {
        let claims = &token.claims;
        self.check_issuer(claims)?;
        self.check_audience(token)?;
        let expires = self.check_times(claims, now)?;
        let tenant = self.tenant.of(claims)?;
        let service = match self.service.find(claims)? {
            None => None,
            Some(given) => {
                let name = self.service.as_str();
                let text = string(name, given)?;
                Some(ServiceName::new(text).map_err(|error| fault(name, ClaimFault::Name(error)))?)
            }
        };
        let roles = self.roles(claims)?;
        let subject = text(claims, "sub")?.ok_or_else(|| fault("sub", ClaimFault::Missing))?.into();
        let token_id = text(claims, "jti")?.map(Into::into);
        let issued = time(claims, "iat")?;
        let identity = Identity { tenant, service, subject, token_id, issued, roles, expires };
        // At the end: whose it was is told with it.
        self.check_expiry(identity, now)
    }

    /// Gives back whose a token is, unless it has expired.
    pub(super) fn check_expiry(&self, identity: Identity, now: SystemTime) -> Result<Identity, AuthError> {
        match now.duration_since(identity.expires) {
            Ok(ago) if ago >= self.leeway => Err(AuthError::Expired { ago, identity: Box::new(identity) }),
            _ => Ok(identity),
        }
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), AuthError> {
        let issuer = required(claims, "iss")?;
        if issuer == self.issuer { Ok(()) } else { Err(value("iss", issuer, format!("`{}`", self.issuer))) }
    }

    /// An ID token says for whom it is in `aud`, an access token in `client_id`;
    /// a token that does not say which it is, in the first of the two it has.
    fn check_audience(&self, token: &Signed) -> Result<(), AuthError> {
        let claims = &token.claims;
        let token_use = optional(claims, "token_use")?;
        self.check_use(token_use, token.is_access_token)?;
        let claim = match token_use {
            Some("id") => "aud",
            Some("access") => "client_id",
            Some(other) => return Err(value("token_use", other, "`id` or `access`".to_owned())),
            None if claims.contains_key("aud") => "aud",
            None => "client_id",
        };
        let given = match claims.get(claim) {
            None if self.audience.is_empty() => return Ok(()),
            None => return Err(fault(claim, ClaimFault::Missing)),
            Some(given) => strings(claim, given, false)?,
        };
        if self.audience.is_empty() || given.iter().any(|one| self.audience.iter().any(|ours| ours == one)) {
            return Ok(());
        }
        let expected = format!("one of `{}`", self.audience.join("`, `"));
        Err(value(claim, &given.join(" "), expected))
    }

    /// Cognito says in `token_use` what a token is for, others in the header's `typ`.
    fn check_use(&self, token_use: Option<&str>, is_access_token: bool) -> Result<(), AuthError> {
        let wanted = match self.token_use {
            TokenUse::Any => return Ok(()),
            TokenUse::Id => "id",
            TokenUse::Access => "access",
        };
        match token_use {
            Some(given) if given == wanted && (!is_access_token || wanted == "access") => Ok(()),
            None if is_access_token && wanted == "access" => Ok(()),
            None => Err(fault("token_use", ClaimFault::Missing)),
            Some(given) => Err(value("token_use", given, format!("`{wanted}`"))),
        }
    }

    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<SystemTime, AuthError> {
        let expires = time(claims, "exp")?.ok_or_else(|| fault("exp", ClaimFault::Missing))?;
        if expires.duration_since(now).is_ok_and(|ahead| ahead > limits::TOKEN_LIFE) {
            let years = limits::TOKEN_LIFE.as_secs() / (365 * 24 * 3_600);
            let expected = format!("a time in seconds since 1970, at most {years} years ahead");
            return Err(value(
                "exp",
                &claims.get("exp").map(ToString::to_string).unwrap_or_default(),
                expected,
            ));
        }
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
        match self.roles.find(claims)? {
            None => Ok(Roles::from_names([])),
            Some(roles) => Ok(Roles::from_names(strings(self.roles.as_str(), roles, true)?)),
        }
    }
}

impl TenantRule {
    fn of(&self, claims: &Claims) -> Result<TenantId, AuthError> {
        let (path, not) = match self {
            Self::Fixed(tenant) => return Ok(tenant.clone()),
            Self::Claimed { at, not } => (at, not),
        };
        let at = path.as_str();
        let given = path.find(claims)?.ok_or_else(|| fault(at, ClaimFault::Missing))?;
        let name = string(at, given)?;
        if name == HUB_TENANT {
            return Err(value(at, name, "a tenant other than the hub itself".to_owned()));
        }
        let tenant = TenantId::new(name).map_err(|error| fault(at, ClaimFault::Name(error)))?;
        if not.contains(&tenant) {
            return Err(value(at, name, "a tenant that is not another issuer's own".to_owned()));
        }
        Ok(tenant)
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
    claims.get(claim).map(|given| string(claim, given)).transpose()
}

fn string<'a>(claim: &str, given: &'a Value) -> Result<&'a str, AuthError> {
    given.as_str().ok_or_else(|| kind(claim, given, "a string"))
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

pub(super) fn kind(claim: &str, found: &Value, expected: &'static str) -> AuthError {
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
