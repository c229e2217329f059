//! What an error of AWS means.

use crate::backend::Cause;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Error codes of calls that came too fast.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLED: [&str; 8] = [
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ProvisionedThroughputExceededException",
    "TooManyUpdates",
    "SlowDown",
];

/// Error codes of callers that AWS does not know, or not any more, or that may not.
const DENIED: [&str; 9] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "KMSAccessDeniedException",
];

/// Error codes of what should be there and is not.
const MISSING: [&str; 4] =
    ["ResourceNotFoundException", "NotFound", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];

/// Why a call failed.
pub fn cause<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Cause {
    match error {
        SdkError::TimeoutError(_) => Cause::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Cause::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_io() || was_sent(failure) => Cause::Unreachable,
        // Credentials that cannot be had end here, as "other".
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => Cause::Denied,
        SdkError::ServiceError(failed) => match failed.err().code() {
            Some(code) if THROTTLED.contains(&code) => Cause::Throttled,
            Some(code) if DENIED.contains(&code) => Cause::Denied,
            Some(code) if MISSING.contains(&code) => Cause::Missing,
            _ => Cause::Failed,
        },
        _ => Cause::Failed,
    }
}

/// Whether it was the HTTP client that failed: a connection that ends before the
/// answer does is "other" to the SDK.
fn was_sent(failure: &DispatchFailure) -> bool {
    let mut next = failure.as_connector_error().and_then(std::error::Error::source);
    while let Some(error) = next {
        if error.is::<hyper_util::client::legacy::Error>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// What AWS says, in one line: its code and message, or what lay in the way.
pub fn said<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(failed) => {
            let code = failed.err().code().unwrap_or("an error without a code");
            failed.err().message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        error => chain(error),
    }
}

/// The reasons below an error of the SDK, the outermost of which says little.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reasons = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let reason = error.to_string();
        if reasons.last() != Some(&reason) {
            reasons.push(reason);
        }
        next = error.source();
    }
    if reasons.is_empty() { format!("{}", DisplayErrorContext(error)) } else { reasons.join(": ") }
}
