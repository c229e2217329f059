//! Bodies that carry one message, since every method of ours takes one.
//!
//! What is behind reads the first message and passes over all others. A caller
//! that sends two has made a mistake, and must not learn of it from what half of
//! its request did; and nobody can keep a call busy with messages without end.

use super::status::invalid;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;

/// Where all our services are.
const OURS: &str = "/confhub.v1.";

/// The prefix of a message: a flag and its length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// Has the body of a call to one of our services checked while it is read.
pub(super) fn single(request: http::Request<Body>) -> http::Request<Body> {
    if request.uri().path().starts_with(OURS) {
        request.map(|body| Body::new(Single { body, prefix: Vec::new(), left: 0 }))
    } else {
        request
    }
}

/// A body that fails after the end of its first message.
struct Single {
    body: Body,
    /// What has come of the prefix.
    prefix: Vec<u8>,
    /// What is still to come of the message, once the prefix is whole.
    left: usize,
}

impl Single {
    fn check(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while let (Some((byte, rest)), true) = (data.split_first(), self.prefix.len() < PREFIX_BYTES) {
            self.prefix.push(*byte);
            data = rest;
            if let [_, length @ ..] = self.prefix.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
        }
        match self.left.checked_sub(data.len()) {
            Some(left) => self.left = left,
            None => return Err(invalid("the request has more than one message")),
        }
        Ok(())
    }
}

impl http_body::Body for Single {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
        };
        let checked = frame.data_ref().map_or(Ok(()), |data| self.check(data));
        Poll::Ready(Some(checked.map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body that comes in these parts is passed on to its end.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check(parts: &[&[u8]]) -> bool {
    let mut single = Single { body: Body::empty(), prefix: Vec::new(), left: 0 };
    parts.iter().all(|part| single.check(part).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_passes_however_it_is_cut() {
        let message = [0, 0, 0, 0, 3, 7, 8, 9];
        for first in 0..=message.len() {
            for second in first..=message.len() {
                let parts = [&message[..first], &message[first..second], &message[second..]];
                assert!(check(&parts), "{parts:?}");
                assert!(!check(&[parts[0], parts[1], parts[2], &[0]]), "{parts:?} and a byte more");
            }
        }
        assert!(check(&[&[0, 0, 0, 0, 0]]));
        assert!(!check(&[&[0, 0, 0, 0, 0, 1]]));
        assert!(!check(&[&[message, message].concat()]));
    }
}
