//! gRPC's framing: a body has one whole message, however it is cut on its way.
//!
//! The first byte cuts: the rest comes in parts of that many bytes (0: all at once).

use bytes::Bytes;
use confhub::fuzzing::{at_most_one_message, unframed};
use confhub_proto::wire;
use prost::Message;

pub fn check(data: &[u8]) {
    let Some((cut, body)) = data.split_first() else { return };
    let parts: Vec<&[u8]> = match cut {
        0 => vec![body],
        cut => body.chunks(usize::from(*cut)).collect(),
    };
    let announced = body
        .first_chunk::<5>()
        .map(|prefix| u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]));
    let over = announced.is_some_and(|length| (body.len() - 5) as u64 > u64::from(length));
    assert_eq!(at_most_one_message(&parts), !over, "in parts of {cut}");
    assert_eq!(at_most_one_message(&[body]), !over);
    let whole = announced.is_some_and(|length| (body.len() - 5) as u64 == u64::from(length));
    match unframed(Bytes::copy_from_slice(body)) {
        Ok(message) => {
            assert!(whole && body[0] == 0);
            assert_eq!(message, body[5..]);
            same_again::<wire::SubscribeRequest>(&message);
            same_again::<wire::ApplyRequest>(&message);
            same_again::<wire::RevokeRequest>(&message);
        }
        Err(error) => {
            assert!(!whole || body[0] != 0, "{error}");
            super::check_error(&error);
        }
    }
}

/// A message that is read, written and read is the same message.
fn same_again<M: Message + Default + PartialEq>(message: &[u8]) {
    let Ok(read) = M::decode(message) else { return };
    let body = confhub::fanout::message(&read);
    assert!(at_most_one_message(&[&body]));
    let again = M::decode(unframed(body).unwrap()).unwrap();
    assert!(read == again, "another message");
}
