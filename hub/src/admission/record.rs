//! What stands in the store, and how it is read.
//!
//! | key | value |
//! |---|---|
//! | `access_tenant_{tenant}` | whether the tenant is served |
//! | `access_revoked_{id}_{tenant}` | tokens of the tenant that are revoked |
//! | `access_revoked_{id}_` | tokens of all tenants that are revoked |
//!
//! The id of a revocation is made of what it names, so to revoke the same twice is
//! to write one record twice. It has no part of a subject in readable form: those
//! may have any characters, and a key may not.

use super::PREFIX;
use confhub_proto::{Key, TenantId};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Media type of the records.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// Hexadecimal digits of an id: 128 bits, so nobody finds two subjects with one.
const ID_DIGITS: usize = 32;

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// It is.
    Active,
    /// It is not: its calls are refused, and its streams end.
    Suspended,
}

/// What was said of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// Whether it is served.
    pub state: TenantState,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who said so: the subject of the operator's token.
    #[serde(default)]
    pub author: String,
}

/// Whose tokens a revocation is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of every tenant.
    AllTenants,
    /// Those of this one.
    Tenant(TenantId),
}

/// Which tokens within the scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All.
    All,
    /// Those of this subject (`sub`).
    Subject(String),
    /// The one with this id (`jti`).
    Token(String),
}

/// Tokens that are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Which tokens.
    pub which: Which,
    /// Only those issued before this second since 1970; `None`: all.
    #[serde(default)]
    pub issued_before: Option<u64>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who revoked them: the subject of the revoker's token.
    #[serde(default)]
    pub author: String,
}

impl Revocation {
    /// Which tokens it names, and why they are revoked, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let which = match &self.which {
            Which::All => "all tokens".to_owned(),
            Which::Subject(subject) => format!("subject {subject}"),
            Which::Token(id) => format!("token {id}"),
        };
        let before = self.issued_before.map(|before| format!(" issued before {before}"));
        let reason = Some(&self.reason).filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {reason}"));
        [which, before.unwrap_or_default(), reason.unwrap_or_default()].concat()
    }

    /// Names a revocation of these tokens.
    #[must_use]
    pub fn id(scope: &Scope, which: &Which) -> String {
        let tenant = match scope {
            Scope::AllTenants => "",
            Scope::Tenant(tenant) => tenant.as_str(),
        };
        let (kind, name) = match which {
            Which::All => ("all", ""),
            Which::Subject(subject) => ("subject", subject.as_str()),
            Which::Token(id) => ("token", id.as_str()),
        };
        let mut hasher = blake3::Hasher::new_derive_key("confhub 2026 id of a revocation");
        for part in [tenant, kind, name] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..ID_DIGITS].to_owned()
    }

    /// Whether a token that was issued at `issued` is meant. One that does not say
    /// counts as issued before.
    #[must_use]
    pub fn covers(&self, issued: Option<SystemTime>) -> bool {
        let (Some(before), Some(issued)) = (self.issued_before, issued) else { return true };
        let before = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(before));
        before.is_none_or(|before| issued < before)
    }
}

/// What a key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The record of a tenant.
    Tenant(TenantId),
    /// A revocation, by its scope and id.
    Revocation(Scope, String),
}

impl Place {
    /// What `key` names; `None`: nothing of ours.
    pub(super) fn of(key: &Key) -> Option<Self> {
        let rest = key.as_str().strip_prefix(PREFIX)?;
        if let Some(tenant) = rest.strip_prefix("tenant_") {
            return TenantId::new(tenant).ok().map(Self::Tenant);
        }
        let (id, tenant) = rest.strip_prefix("revoked_")?.split_once('_')?;
        if id.len() != ID_DIGITS || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let scope = match tenant {
            "" => Scope::AllTenants,
            tenant => Scope::Tenant(TenantId::new(tenant).ok()?),
        };
        Some(Self::Revocation(scope, id.to_owned()))
    }

    /// Its key; `None` if the id is none.
    pub(super) fn key(&self) -> Option<Key> {
        let key = match self {
            Self::Tenant(tenant) => format!("{PREFIX}tenant_{tenant}"),
            Self::Revocation(Scope::AllTenants, id) => format!("{PREFIX}revoked_{id}_"),
            Self::Revocation(Scope::Tenant(tenant), id) => format!("{PREFIX}revoked_{id}_{tenant}"),
        };
        let key = Key::new(&key).ok()?;
        // An id that a caller made up must not reach another place.
        (Self::of(&key).as_ref() == Some(self)).then_some(key)
    }

    /// Whose record it is.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Tenant(tenant) => Scope::Tenant(tenant.clone()),
            Self::Revocation(scope, _) => scope.clone(),
        }
    }
}
