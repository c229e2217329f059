//! Updates as the bytes that go out, made once and shared.

use bytes::{BufMut as _, Bytes, BytesMut};
use confhub_proto::{Update, frame};
use prost::Message;
use std::sync::{Arc, OnceLock};

/// The frames of one update, each with its gRPC prefix. Whoever needs them first
/// has them made; others who come meanwhile wait for that.
#[derive(Default)]
pub struct Frames(OnceLock<Box<[Bytes]>>);

impl Frames {
    /// The frames of `update`.
    #[must_use]
    pub fn of(update: &Update) -> Arc<Self> {
        Arc::new(Self(OnceLock::from(encode(update))))
    }

    /// One message, as [`message`] makes it.
    #[must_use]
    pub fn one(message: Bytes) -> Arc<Self> {
        Arc::new(Self(OnceLock::from(Box::<[Bytes]>::from([message]))))
    }

    /// The frame at an index, if there are so many.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Bytes> {
        self.0.get()?.get(index).cloned()
    }

    /// The frame, if there is but one.
    pub(super) fn only(&self) -> Option<Bytes> {
        match &**self.0.get()? {
            [frame] => Some(frame.clone()),
            _ => None,
        }
    }

    /// Bytes of all of them together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.get().into_iter().flatten().map(Bytes::len).sum()
    }

    pub(super) fn make(&self, update: impl FnOnce() -> Update) {
        self.0.get_or_init(|| encode(&update()));
    }
}

fn encode(update: &Update) -> Box<[Bytes]> {
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
