//! What a request says: whom flags are evaluated for.

use super::answer::{Answer, Failure};
use crate::limits::CONTEXT_BYTES;
use axum::body::Body;
use confhub_flags::{Context, ErrorCode};
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::Value;
use std::time::SystemTime;

/// Why a request is no good.
#[derive(Debug)]
pub(super) struct Bad {
    status: StatusCode,
    code: ErrorCode,
    reason: String,
}

impl Bad {
    fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, reason: reason.into() }
    }

    /// What its sender is told.
    pub(super) fn answer(self, key: Option<&str>) -> Answer {
        Answer::json(
            self.status,
            &Failure { key, error_code: Some(self.code.as_str()), error_details: &self.reason },
        )
    }
}

/// The body of a request. What else it says means nothing here.
#[derive(Deserialize)]
struct Asked {
    context: Option<Value>,
}

/// Reads a request's body, and from it the context.
pub(super) async fn context(body: Body) -> Result<Context, Bad> {
    let read = Limited::new(body, CONTEXT_BYTES).collect().await;
    let bytes = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Bad {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Bad::new(ErrorCode::General, format!("the request has more than {CONTEXT_BYTES} bytes"))
        },
        None => Bad::new(ErrorCode::ParseError, "the request's body did not arrive whole"),
    })?;
    read_context(&bytes.to_bytes())
}

fn read_context(text: &[u8]) -> Result<Context, Bad> {
    let body: Asked = serde_json::from_slice(text).map_err(|error| {
        let reason = format!(
            "the request must be a JSON object such as {{\"context\":{{\"targetingKey\":\"…\"}}}}: {error}"
        );
        Bad::new(ErrorCode::ParseError, reason)
    })?;
    let invalid = |reason: String| Bad::new(ErrorCode::InvalidContext, reason);
    let context = body.context.ok_or_else(|| invalid("the request has no `context`".to_owned()))?;
    Context::from_json(context).map_err(|error| invalid(error.to_string()))
}

/// Seconds since 1970.
pub(super) fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused_with_the_code_that_clients_know() {
        for (text, code) in [
            ("", ErrorCode::ParseError),
            ("[]", ErrorCode::ParseError),
            ("{", ErrorCode::ParseError),
            ("{}", ErrorCode::InvalidContext),
            (r#"{"context":null}"#, ErrorCode::InvalidContext),
            (r#"{"context":[]}"#, ErrorCode::InvalidContext),
            (r#"{"context":{"targetingKey":1}}"#, ErrorCode::InvalidContext),
        ] {
            assert_eq!(read_context(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
        // Flags need no key unless their rules do.
        assert!(read_context(br#"{"context":{"country":"de"},"more":1}"#).is_ok());
        let deep = format!(r#"{{"context":{{"a":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read_context(deep.as_bytes()).unwrap_err().code, ErrorCode::ParseError);
    }
}
