//! Identity: who calls, for which tenant, and what they may do.
//!
//! Read from the validated token and from nowhere else. The way of a request:
//! [`AuthLayer`] looks its method up in the one table of [`Access`], asks the
//! [`Authenticator`] who is calling, and puts the [`Identity`] into the
//! request's extensions, or answers with the status that an [`AuthError`] means.
//!
//! Keys come from the configured issuers, or from the development issuer that
//! the embedded default makes for itself ([`DevIssuer`]).

mod layer;

mod access;
mod authenticator;
mod error;
mod identity;

mod claim_path;
mod claims;
mod strict;
mod token;
mod verified;

mod issuer;

mod discovery;
mod fetch;
mod keyring;
mod keys;

mod dev;

#[cfg(test)]
#[path = "../../../tests/support/signing.rs"]
mod testing;

pub use access::Access;
pub use authenticator::{AuthStartError, Authenticator};
pub use claim_path::check_claim_name;
pub use dev::{DEV_ISSUER, DevClaims, DevIssuer, DevIssuerError};
pub use discovery::document_of as discovery_document;
pub(crate) use error::refused_status;
pub use error::{AuthError, ClaimFault, KeysError};
pub use fetch::check_url as check_jwks_url;
pub use identity::{HUB_TENANT, Identity, Role, Roles};
pub use layer::{AuthLayer, AuthService, RefusalHook};
