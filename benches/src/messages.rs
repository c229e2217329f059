//! gRPC messages out of the bytes of a stream.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes in front of each message: a flag and a length.
pub const PREFIX: usize = 5;

/// Bytes that have come and were not taken yet.
#[derive(Debug, Default)]
pub struct Messages {
    held: Bytes,
}

impl Messages {
    /// Adds what has come. A message that came alone is not copied.
    pub fn push(&mut self, bytes: Bytes) {
        if self.held.is_empty() {
            self.held = bytes;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.held.len() + bytes.len());
        joined.extend_from_slice(&self.held);
        joined.extend_from_slice(&bytes);
        self.held = joined.freeze();
    }
}

impl Iterator for Messages {
    type Item = Bytes;

    /// The next whole message, without its prefix.
    fn next(&mut self) -> Option<Bytes> {
        let length = self.held.get(1..PREFIX).map(|mut length| length.get_u32())?;
        let end = PREFIX + usize::try_from(length).ok()?;
        if self.held.len() < end {
            return None;
        }
        Some(self.held.split_to(end).slice(PREFIX..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let bytes: &[u8] = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c";
        for size in 1..=bytes.len() {
            let mut messages = Messages::default();
            let mut whole = Vec::new();
            for part in bytes.chunks(size) {
                messages.push(Bytes::copy_from_slice(part));
                whole.extend(messages.by_ref());
            }
            assert_eq!(whole, [&b"ab"[..], b"", b"c"], "{size}");
        }
    }
}
