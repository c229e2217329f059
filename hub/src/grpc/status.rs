//! Errors as gRPC statuses, in one place.
//!
//! | code | what it means here | worth a retry |
//! |---|---|---|
//! | `INVALID_ARGUMENT` | the request can never succeed as it is | no |
//! | `NOT_FOUND` | no such entry or version | no |
//! | `ABORTED` | the expected version is not the present one | after reading again |
//! | `FAILED_PRECONDITION` | the entry is in a state that forbids this | no |
//! | `RESOURCE_EXHAUSTED` | a limit of the tenant or the hub | later, if it says when |
//! | `DEADLINE_EXCEEDED` | the hub gave up waiting; a write may still be made | after reading again |
//! | `UNAVAILABLE` | a backend does not answer, or the hub drains | yes |
//! | `DATA_LOSS` | a backend holds damaged data | no |
//! | `UNAUTHENTICATED`, `PERMISSION_DENIED` | see `auth` | no |

use crate::audit::Call;
use crate::backend::{BackendError, RouteError, WriteError};
use crate::tenant::FollowError;
use confhub_proto::retry;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// The limit that a call has met, beside the status that refuses it.
#[derive(Debug, thiserror::Error)]
#[error("{0} is reached")]
struct Limit(&'static str);

/// A refusal for a limit, which is counted and recorded by its name. `None`: there is no
/// room later either, unless somebody makes some.
pub(super) fn over(limit: &'static str, message: impl Into<String>, room: Option<Duration>) -> Status {
    let mut status = match room {
        Some(delay) => retry::later(Code::ResourceExhausted, message, delay),
        None => Status::resource_exhausted(message),
    };
    status.set_source(Arc::new(Limit(limit)));
    status
}

/// The name of the limit that a call is refused for, if it is.
pub(super) fn limit(status: &Status) -> Option<&'static str> {
    status.source()?.downcast_ref::<Limit>().map(|limit| limit.0)
}

/// A hub with no place for the call. Places are given back within milliseconds; a
/// second spreads those who wait for one.
pub(super) fn busy(limit: &'static str) -> Status {
    let message = format!("the hub has as many {limit} under way as it may: try again");
    over(limit, message, Some(Duration::from_secs(1)))
}

/// When a stream that found no room may be asked for again: others go as programs
/// end, not as calls do.
const ROOM: Duration = Duration::from_secs(5);

/// A request that is wrong in itself.
pub(crate) fn invalid(error: impl std::fmt::Display) -> Status {
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
        let mut status = Self::new(code, error.in_short());
        // For those who may know, and for the log: see `fit`.
        status.set_source(Arc::new(error));
        status
    }
}

/// What a caller gets in place of a status that has more to it than everybody may
/// know: operators the whole, all others the name under which it is logged. `None`:
/// the status is fit for everybody as it is.
pub(super) fn fit(status: &Status, call: &Call) -> Option<Status> {
    let error = status.source()?.downcast_ref::<BackendError>()?;
    tracing::warn!(request_id = call.id(), path = call.path(), %error, "a store has failed a call");
    Some(Status::new(status.code(), told(error, call)))
}

/// An error of a store, as the caller may know it.
pub(super) fn told(error: &BackendError, call: &Call) -> String {
    match call.is_operators() {
        true => error.to_string(),
        false => format!("{} (request {})", error.in_short(), call.id()),
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
            // Waiting does not make a tenant smaller.
            WriteError::Full(ref full) => return over(full.limit(), error.to_string(), None),
        };
        Self::new(code, error.to_string())
    }
}

impl From<FollowError> for Status {
    fn from(error: FollowError) -> Self {
        if let Some(limit) = error.limit() {
            let room = (!matches!(error, FollowError::TooLarge(_))).then_some(ROOM);
            return over(limit, error.to_string(), room);
        }
        match error {
            FollowError::Backend(error) => error.into(),
            error => Self::unavailable(error.to_string()),
        }
    }
}
