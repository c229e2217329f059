//! Who is let in: which tenants are served, and which tokens are revoked.
//!
//! Both are records in the store, under a tenant of the hub's own
//! ([`HUB_TENANT`]) that no token can be of. They travel to every hub as any
//! change does: a hint, a reading, a topic. The one difference is who listens:
//! [`Admission::keep`] follows that tenant for as long as the hub runs, makes a
//! [`Table`] of what it sees, and every call asks the table. So a call costs two
//! look-ups in memory, a store that is down changes nothing of what is known, and
//! a restart reads it all again before anybody is let in.

mod book;
mod keeper;
mod record;
mod table;

pub use book::{AdmissionError, Book};
pub use keeper::Admission;
pub use record::{Revocation, Scope, TenantRecord, TenantState, Which};
pub use table::{Policy, Refused, Table};

use crate::auth::HUB_TENANT;
use confhub_proto::TenantId;

/// How the keys of all records begin. They are read from whatever store keeps them,
/// though no row of the settings' table has it: no caller's key may begin so.
pub(crate) const PREFIX: &str = "access_";

/// The hub's own tenant.
pub(crate) fn hub_tenant() -> TenantId {
    TenantId::new(HUB_TENANT).unwrap_or_else(|_| unreachable!("a constant within the alphabet"))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
