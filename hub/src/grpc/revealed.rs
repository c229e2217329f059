//! The answer to `Reveal`, so sent that nothing of it stays behind.
//!
//! Buffers of a call are wiped when they are let go of, but a connection has one that
//! it keeps: HTTP/2 copies the first bytes of each frame, and the whole of a short one,
//! to where it writes frame heads, and they stay there until others are written over
//! them. So the message begins with a field that no reader knows and all skip (Protocol
//! Buffers, "Unknown Fields"): these are the bytes that are copied. It ends with
//! another, in a frame of its own, which overwrites what the frames of a long secret
//! have left.

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use zeroize::Zeroizing;

/// The prefix of a message: a flag and its length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// Zeros of a field of padding: as many as are copied at most, from frames that are
/// not written together with their head (h2, `CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`).
const ZEROS: usize = 1_024;

/// Key and length of that field, number 15 of `RevealResponse`, which has no meaning.
const FIELD: [u8; 3] = [15 << 3 | 2, 0x80, 0x08];

/// A body of one message, padded at both ends.
pub(super) struct Padded {
    body: Body,
    /// What follows the message.
    tail: Option<Bytes>,
}

impl Padded {
    pub(super) fn new(body: Body) -> Self {
        Self { body, tail: None }
    }
}

impl http_body::Body for Padded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(tail) = self.tail.take() {
            return Poll::Ready(Some(Ok(Frame::data(tail))));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => match head(&data) {
                Some(head) => {
                    self.tail = Some(field().into());
                    Frame::data(head)
                }
                None => Frame::data(data),
            },
            Err(frame) => frame,
        })))
    }
}

/// The message with padding before it, and a length that counts the padding after it
/// too; `None`: this is no whole message.
fn head(data: &[u8]) -> Option<Bytes> {
    let (prefix, message) = data.split_at_checked(PREFIX_BYTES)?;
    let length = u32::try_from(message.len()).ok()?;
    let padded = u32::try_from(message.len() + 2 * (FIELD.len() + ZEROS)).ok()?;
    if prefix[0] != 0 || prefix[1..] != length.to_be_bytes() {
        return None;
    }
    // To its whole size at once: what grows is copied, and leaves a copy.
    let mut head = Vec::with_capacity(data.len() + FIELD.len() + ZEROS);
    head.push(0);
    head.extend(padded.to_be_bytes());
    head.extend(field());
    head.extend_from_slice(message);
    Some(Bytes::from_owner(Zeroizing::new(head)))
}

fn field() -> Vec<u8> {
    let mut field = FIELD.to_vec();
    field.resize(FIELD.len() + ZEROS, 0);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::wire;
    use http_body_util::BodyExt as _;
    use prost::Message as _;

    #[tokio::test]
    async fn a_reader_sees_the_message_and_nothing_else() {
        for bytes in [0, 20, 70_000] {
            let entry = wire::Entry { value: vec![7; bytes].into(), key: "k".into(), ..Default::default() };
            let message = wire::RevealResponse { entry: Some(entry) };
            let encoded = message.encode_to_vec();
            let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
            let body = Body::from([&[0][..], &length, &encoded].concat());
            let padded = Padded::new(body).collect().await.unwrap().to_bytes();
            let (prefix, rest) = padded.split_at(PREFIX_BYTES);
            assert_eq!(prefix[1..], u32::try_from(rest.len()).unwrap().to_be_bytes());
            assert_eq!(wire::RevealResponse::decode(rest).unwrap(), message);
            assert!(rest[FIELD.len()..FIELD.len() + ZEROS].iter().all(|byte| *byte == 0));
            assert!(rest[rest.len() - ZEROS..].iter().all(|byte| *byte == 0));
        }
    }

    #[tokio::test]
    async fn what_is_no_message_passes_as_it_is() {
        for odd in [&b""[..], b"abc", &[0, 0, 0, 0, 9, 1], &[1, 0, 0, 0, 1, 1]] {
            let padded = Padded::new(Body::from(odd.to_vec())).collect().await.unwrap().to_bytes();
            assert_eq!(padded, odd);
        }
    }
}
