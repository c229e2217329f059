//! Calls that must not be made twice.

use super::cause;
use crate::backend::Cause;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::time::Duration;

/// Attempts of a call that is turned away for coming too fast.
const ATTEMPTS: u32 = 6;

/// Wait before the second attempt; it doubles from there. All of them together
/// take at most 9 s, which is below the time limit of a writer.
const WAIT: Duration = Duration::from_millis(200);

/// Makes a call of a client that does not try again by itself. Only what was
/// turned away unread is tried again: a call that failed in another way may have
/// been made all the same, and a second one would be a second write.
///
/// # Errors
/// The last attempt's.
pub async fn once<T, E, R, F>(call: impl Fn() -> F) -> Result<T, SdkError<E, R>>
where
    F: Future<Output = Result<T, SdkError<E, R>>>,
    E: ProvideErrorMetadata,
{
    let mut wait = WAIT;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if cause(&error) == Cause::Throttled => {}
            done => return done,
        }
        // Jitter, so that writers do not come back in step.
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
        wait *= 2;
    }
    call().await
}
