//! When a refused call may be made again, as it travels beside a status.
//!
//! The form is Google's: `grpc-status-details-bin` holds a `google.rpc.Status`,
//! whose details are any messages; a `google.rpc.RetryInfo` among them is the one
//! that is read and written here. Clients in every language know it.
//! <https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>

use prost::Message;
use std::time::Duration;
use tonic::{Code, Status};

/// Type of the detail that names the delay.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// A status that says when to try again: not before `delay` has passed.
#[must_use]
pub fn later(code: Code, message: impl Into<String>, delay: Duration) -> Status {
    let message = message.into();
    let info = RetryInfo { retry_delay: prost_types::Duration::try_from(delay).ok() };
    let info = prost_types::Any { type_url: RETRY_INFO.to_owned(), value: info.encode_to_vec() };
    let details = Details { code: code as i32, message: message.clone(), details: vec![info] };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// How long a status asks its caller to wait; `None`: it does not say, or says it
/// in a way that makes no sense.
#[must_use]
pub fn delay(status: &Status) -> Option<Duration> {
    let details = Details::decode(status.details()).ok()?;
    let info = details.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    Duration::try_from(delay).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_read_as_it_was_written() {
        for millis in [0, 1, 999, 1_000, 61_500] {
            let wanted = Duration::from_millis(millis);
            assert_eq!(delay(&later(Code::ResourceExhausted, "full", wanted)), Some(wanted));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_public_definition() {
        let status = later(Code::ResourceExhausted, "x", Duration::from_secs(3));
        let url = RETRY_INFO.as_bytes();
        // code = 8; message = "x"; details = Any { type_url, value = RetryInfo { Duration { seconds: 3 } } }.
        let any = [&[0x0a, 40][..], url, &[0x12, 4, 0x0a, 2, 0x08, 3]].concat();
        assert_eq!((url.len(), any.len()), (40, 48));
        assert_eq!(status.details(), [&[0x08, 8, 0x12, 1, b'x', 0x1a, 48][..], &any].concat());
    }

    #[test]
    fn what_is_no_delay_is_none() {
        assert_eq!(delay(&Status::unavailable("x")), None);
        for details in [&b"\xff\xff"[..], b"\x08\x08", b"\x1a\x02\x0a\x00"] {
            let status = Status::with_details(Code::Unavailable, "x", details.to_vec().into());
            assert_eq!(delay(&status), None, "{details:?}");
        }
        // A delay before now.
        let info = RetryInfo { retry_delay: Some(prost_types::Duration { seconds: -5, nanos: 0 }) };
        let info = prost_types::Any { type_url: RETRY_INFO.to_owned(), value: info.encode_to_vec() };
        let details = Details { code: 8, message: String::new(), details: vec![info] };
        let status = Status::with_details(Code::Unavailable, "x", details.encode_to_vec().into());
        assert_eq!(delay(&status), None);
    }
}
