//! Who calls, for which tenant, and what they may do.

use confhub_proto::{ServiceName, TenantId};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// The tenant under whose name the hub keeps its own records: which tenants are
/// served, and which tokens are revoked. No token can be of it.
pub const HUB_TENANT: &str = "confhub.hub";

/// What a validated token says. The auth layer puts one into the extensions of
/// every request that passes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant. All that a caller sees or changes is this tenant's.
    pub tenant: TenantId,
    /// The service, if the token names one: then the caller sees this view and
    /// no other, whatever its request says.
    pub service: Option<ServiceName>,
    /// The `sub` of the token: who writes, in the history.
    pub subject: Arc<str>,
    /// The `jti` of the token, if it has one: by it, this token alone can be revoked.
    pub token_id: Option<Arc<str>>,
    /// The `iat` of the token, if it has one.
    pub issued: Option<SystemTime>,
    /// What the caller may do.
    pub roles: Roles,
    /// The `exp` of the token: no stream lives longer.
    pub expires: SystemTime,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Subscribe and read. Every valid token has it.
    Reader,
    /// Put, delete, apply, roll back.
    Writer,
    /// Reveal the values of secrets.
    SecretReader,
    /// Have the stores read anew; and, for the operators' own tenant, say which
    /// tenants are served.
    Operator,
    /// Revoke tokens.
    Revoker,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] =
        [Self::Reader, Self::Writer, Self::SecretReader, Self::Operator, Self::Revoker];

    /// How tokens and the command line spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::SecretReader => "secret-reader",
            Self::Operator => "operator",
            Self::Revoker => "revoker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// The roles among `names`; names that are no role of ours are other
    /// programs' groups, and are passed over. Every caller is a reader.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut roles = Self(Self::bit(Role::Reader));
        for name in names {
            if let Some(role) = Role::ALL.into_iter().find(|role| role.as_str() == name) {
                roles.0 |= Self::bit(role);
            }
        }
        roles
    }

    /// Whether `role` is among them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    /// The roles, one by one.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    const fn bit(role: Role) -> u8 {
        1 << role as u8
    }
}
