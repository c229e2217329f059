//! What is answered: values of flags, or why there is none.

use crate::grpc::outside::Place;
use crate::limits::{EVALUATED_BYTES, EVALUATION};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use confhub_flags::{Context, Details, ErrorCode, FlagSet, FlagValue, Metadata, Slot};
use confhub_proto::retry;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// How many flags are evaluated before others get their turn.
const AT_ONCE: usize = 64;

/// Bytes that are handed to a connection at a time.
const PART: usize = 32 * 1024;

/// A status with a body, and with the place that the call has until that is on its way.
pub(super) struct Answer {
    status: StatusCode,
    etag: Option<HeaderValue>,
    body: Bytes,
    place: Option<Place>,
}

/// A value, or the leave to use that of the code.
#[derive(Serialize)]
struct Success<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Value>,
    reason: &'static str,
    /// Empty where there is none: Python's client, for one, wants the member.
    variant: &'a str,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
}

/// Why there is no value.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<&'a str>,
    pub(super) error_details: &'a str,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // These are structs with texts for keys: there is nothing that JSON lacks.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status, etag: None, body: body.into(), place: None }
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let mut response = Self::default();
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        if let Some(etag) = answer.etag {
            headers.insert(header::ETAG, etag);
        }
        if answer.status != StatusCode::NOT_MODIFIED {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        *response.body_mut() = Body::new(Parts { rest: answer.body, _place: answer.place });
        response
    }
}

/// One flag.
pub(super) fn one(flags: &FlagSet, key: &str, context: &Context, now: i64, place: Place) -> Answer {
    let began = Instant::now();
    let details = evaluate(flags, key, context, now);
    let status = match &details.error {
        None => StatusCode::OK,
        Some(error) if error.code == ErrorCode::FlagNotFound => StatusCode::NOT_FOUND,
        Some(_) => StatusCode::BAD_REQUEST,
    };
    let mut body = Vec::new();
    print(key, &details, &mut body);
    place.worked(began.elapsed());
    Answer { status, etag: None, body: body.into(), place: Some(place) }
}

/// All flags, by name, unless the asker has this very answer.
///
/// The tag is that of the answer itself: rules may ask what time it is, so that neither
/// the flags nor the context would tell that nothing is different.
pub(super) async fn all(
    flags: &FlagSet,
    context: &Context,
    now: i64,
    place: Place,
    headers: &HeaderMap,
) -> Result<Answer, Status> {
    let bad = flags.errors().filter_map(|faults| match &faults.slot {
        Some(Slot::Flag(name)) if flags.get(name.as_str()).is_none() => Some(name),
        _ => None,
    });
    let mut names: Vec<_> = flags.iter().map(|flag| flag.name()).chain(bad).collect();
    names.sort_unstable();
    let (mut body, mut worked) = (b"{\"flags\":[".to_vec(), Duration::ZERO);
    for (part, names) in names.chunks(AT_ONCE).enumerate() {
        if part > 0 {
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        for (at, name) in names.iter().enumerate() {
            if part + at > 0 {
                body.push(b',');
            }
            print(name.as_str(), &evaluate(flags, name.as_str(), context, now), &mut body);
            if body.len() > EVALUATED_BYTES || began.elapsed() + worked > EVALUATION {
                break;
            }
        }
        worked += began.elapsed();
        if let Some(why) = too_much(body.len(), worked) {
            place.worked(worked);
            return Err(Status::out_of_range(why));
        }
    }
    body.push(b']');
    if !flags.common().metadata.is_empty() {
        body.extend_from_slice(b",\"metadata\":");
        append(&flags.common().metadata, &mut body);
    }
    body.push(b'}');
    place.worked(worked);
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| names_tag(tags, &tag));
    let etag = HeaderValue::from_str(&tag).ok();
    if known {
        return Ok(Answer { status: StatusCode::NOT_MODIFIED, etag, body: Bytes::new(), place: Some(place) });
    }
    Ok(Answer { status: StatusCode::OK, etag, body: body.into(), place: Some(place) })
}

fn too_much(bytes: usize, worked: Duration) -> Option<String> {
    let advice = "ask for flags one by one, or with a token of a service that has fewer";
    if bytes > EVALUATED_BYTES {
        return Some(format!("the answer would have more than {EVALUATED_BYTES} bytes: {advice}"));
    }
    (worked > EVALUATION).then(|| format!("evaluating all flags takes more than {EVALUATION:?}: {advice}"))
}

/// Whether a list of tags has this one (RFC 9110, 13.1.2).
fn names_tag(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default();
    let same = |known: &str| {
        let known = known.trim();
        // Some clients leave the quotation marks away.
        known == "*" || known.strip_prefix("W/").unwrap_or(known).trim_matches('"') == tag.trim_matches('"')
    };
    tags.split(',').any(same)
}

fn evaluate(flags: &FlagSet, key: &str, context: &Context, now: i64) -> Details<Option<FlagValue>> {
    flags.details(key, None, context, &|| now)
}

fn print(key: &str, details: &Details<Option<FlagValue>>, body: &mut Vec<u8>) {
    match &details.error {
        None => {
            let value = details.value.as_ref().map(FlagValue::to_json);
            let (variant, reason) = (details.variant.as_deref().unwrap_or_default(), details.reason.as_str());
            append(&Success { key, value, reason, variant, metadata: &details.metadata }, body);
        }
        Some(error) => {
            let error_code = Some(error.code.as_str());
            append(&Failure { key: Some(key), error_code, error_details: &error.message }, body);
        }
    }
}

fn append(value: &impl Serialize, body: &mut Vec<u8>) {
    // Writing to memory cannot fail, and the keys of all maps are texts.
    let _ = serde_json::to_writer(body, value);
}

/// A status of the gRPC port as one of HTTP.
pub(super) fn refusal(status: &Status, key: Option<&str>) -> Response {
    let code = match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error_code = Some(ErrorCode::General.as_str());
    let mut response =
        Response::from(Answer::json(code, &Failure { key, error_code, error_details: status.message() }));
    let headers = response.headers_mut();
    if code == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let least = (code == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
    if let Some(delay) = retry::delay(status).or(least) {
        // Whole seconds: never sooner than there is room.
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(delay.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)),
        );
    }
    response
}

/// A body that is handed over in parts, so that its place is held until its reader has
/// made room for the last one.
struct Parts {
    rest: Bytes,
    _place: Option<Place>,
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.rest.len().min(PART);
        Poll::Ready((part > 0).then(|| Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_however_a_client_sends_them_back() {
        let tag = "\"abc\"";
        for same in ["\"abc\"", "abc", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(names_tag(&HeaderValue::from_static(same), tag), "{same}");
        }
        for other in ["", "\"ab\"", "\"abcd\"", "W/\"x\"", ","] {
            assert!(!names_tag(&HeaderValue::from_static(other), tag), "{other}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_back_in_whole_seconds() {
        for (millis, seconds) in [(1, "1"), (1_000, "1"), (1_001, "2")] {
            let status = retry::later(Code::ResourceExhausted, "full", Duration::from_millis(millis));
            let response = refusal(&status, None);
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
        assert!(refusal(&Status::resource_exhausted("x"), None).headers().get(header::RETRY_AFTER).is_none());
    }
}
