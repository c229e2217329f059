//! Why a pool has no client for a tenant.

use crate::{Closed, Error, NameError, TenantId};
use std::time::Duration;

/// There is no client for this tenant now.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// What was asked for cannot be a tenant. Nobody was asked about it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tenant could not be opened, now or a moment ago: the hub cannot be
    /// reached or does not take the token ([`Error::Timeout`], with the reason), it
    /// refuses the tenant ([`Closed::Denied`]), or the token is another tenant's
    /// ([`Closed::OtherTenant`]).
    #[error("tenant `{tenant}`: {error}")]
    #[non_exhaustive]
    Failed {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        error: Error,
        /// For so long the same error is given to all who ask, without a new
        /// attempt.
        retry_after: Duration,
    },
    /// The pool has as many tenants as it may, and all of them are in use.
    #[error(
        "no room for another tenant: all {limit} are in use; raise `.max_tenants`, or drop handles sooner"
    )]
    #[non_exhaustive]
    Full {
        /// `PoolBuilder::max_tenants`.
        limit: usize,
    },
    /// The states take as much memory as they may, and all of them are in use.
    #[error("no memory for another tenant: the states in use take all of {limit} bytes; raise `.max_bytes`")]
    #[non_exhaustive]
    OutOfBytes {
        /// `PoolBuilder::max_bytes`.
        limit: usize,
    },
    /// So many tenants are being opened that this one's turn did not come in time.
    #[error("too many tenants are being opened: the turn of `{tenant}` did not come within {after:?}")]
    #[non_exhaustive]
    Busy {
        /// The tenant.
        tenant: TenantId,
        /// How long was waited.
        after: Duration,
    },
    /// The tenant was removed while it was being opened.
    #[error("the tenant was removed from the pool while it was being opened")]
    Removed,
    /// The pool was closed, or its runtime has ended.
    #[error("the pool is closed")]
    Closed,
}

impl TenantError {
    /// Whether the same call may succeed later without a change of settings,
    /// tokens or rights.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { error, .. } => error.is_retryable(),
            Self::Full { .. } | Self::OutOfBytes { .. } | Self::Busy { .. } => true,
            Self::Name(_) | Self::Removed | Self::Closed => false,
        }
    }

    /// Why the hub refused the tenant for good, if it did.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match self {
            Self::Failed { error: Error::Closed(closed), .. } => Some(closed),
            _ => None,
        }
    }
}
