//! Updates as the bytes that go out, made once and shared.

use bytes::{BufMut as _, Bytes, BytesMut};
use confhub_proto::{Update, frame};
use prost::Message;
use std::sync::Arc;

/// The frames of one update, each with its gRPC prefix.
pub type Frames = Arc<[Bytes]>;

/// Encodes an update.
pub(super) fn encode(update: &Update) -> Frames {
    frame::split(update).iter().map(message).collect()
}

/// One message with the five bytes that gRPC puts in front: not compressed,
/// and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
#[must_use]
pub fn message(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    // Frames are below 1 MiB (`limits::FRAME_BYTES`).
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A growing buffer has room, so encoding into it cannot fail.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}
