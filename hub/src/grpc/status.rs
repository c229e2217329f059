//! Errors as gRPC statuses, in one place.
//!
//! | code | what it means here | worth a retry |
//! |---|---|---|
//! | `INVALID_ARGUMENT` | the request can never succeed as it is | no |
//! | `NOT_FOUND` | no such entry or version | no |
//! | `ABORTED` | the expected version is not the present one | after reading again |
//! | `FAILED_PRECONDITION` | the entry is in a state that forbids this | no |
//! | `RESOURCE_EXHAUSTED` | a limit of the tenant or the hub | later |
//! | `DEADLINE_EXCEEDED` | the hub gave up waiting; a write may still be made | after reading again |
//! | `UNAVAILABLE` | a backend does not answer, or the hub drains | yes |
//! | `DATA_LOSS` | a backend holds damaged data | no |
//! | `UNAUTHENTICATED`, `PERMISSION_DENIED` | see `auth` | no |

use crate::backend::{BackendError, RouteError, WriteError};
use crate::tenant::FollowError;
use confhub_proto::retry;
use std::time::Duration;
use tonic::{Code, Status};

/// A hub with no place for the call. Places are given back within milliseconds; a
/// second spreads those who wait for one.
pub(super) fn busy() -> Status {
    let message = "the hub has as many calls under way as it may: try again";
    retry::later(Code::ResourceExhausted, message, Duration::from_secs(1))
}

/// When a stream that found no room may be asked for again: others go as programs
/// end, not as calls do.
const ROOM: Duration = Duration::from_secs(5);

/// A request that is wrong in itself.
pub(super) fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

impl From<RouteError> for Status {
    fn from(error: RouteError) -> Self {
        invalid(error)
    }
}

impl From<BackendError> for Status {
    fn from(error: BackendError) -> Self {
        let code = match error {
            BackendError::Unavailable { .. } => Code::Unavailable,
            BackendError::Damaged { .. } => Code::DataLoss,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        let code = match error {
            WriteError::Backend(error) => return error.into(),
            WriteError::Conflict { .. } | WriteError::LostRace { .. } | WriteError::Contended(_) => {
                Code::Aborted
            }
            WriteError::Unfit { .. } | WriteError::TooMany { .. } => Code::InvalidArgument,
            WriteError::NotFound(_) | WriteError::UnknownVersion { .. } => Code::NotFound,
            WriteError::RestoresDeletion { .. } | WriteError::Exposes(_) => Code::FailedPrecondition,
            WriteError::Full(_) => Code::ResourceExhausted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<FollowError> for Status {
    fn from(error: FollowError) -> Self {
        let code = match error {
            FollowError::Backend(error) => return error.into(),
            // Waiting does not make a tenant smaller.
            FollowError::TooLarge(_) => Code::ResourceExhausted,
            FollowError::Views { .. }
            | FollowError::Services { .. }
            | FollowError::Streams { .. }
            | FollowError::HubStreams { .. }
            | FollowError::Tenants => {
                return retry::later(Code::ResourceExhausted, error.to_string(), ROOM);
            }
            FollowError::Closing => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}
