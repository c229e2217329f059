//! The SDK's file: a file is believed only if it is whole, and what is believed
//! is written again as it was.
//!
//! A `c` in front: the rest is given a good checksum, as by somebody who can
//! write the file. An `s`: a number of groups of four bytes make a state (see
//! `frames`), whose file must be believed; the rest changes it, a place (two
//! bytes) and a byte each, under a good checksum. Otherwise it is the file.

use super::frames::{change, time};
use confhub_proto::frame::split;
use confhub_proto::{State, Update, wire};
use prost::Message as _;
use wire::frame::Kind;

/// What a state may have, in bytes.
const LIMIT: usize = 64 * 1024;

/// What a file has before its payload, in bytes: its kind, version and checksum.
const HEAD: usize = 44;

/// Whose state it is: the tenant `a` (field 1).
const HEADER: [u8; 4] = [3, 0x0a, 1, b'a'];

pub fn check(data: &[u8]) {
    match data {
        [b'c', payload @ ..] => drop(believed(&file(payload))),
        [b's', count, rest @ ..] => changed(usize::from(*count % 16), rest),
        _ => drop(believed(data)),
    }
}

fn file(payload: &[u8]) -> Vec<u8> {
    [b"confhub\0\0\0\0\x01", &blake3::hash(payload).as_bytes()[..], payload].concat()
}

/// Makes a state's own file, and then damages it.
fn changed(groups: usize, rest: &[u8]) {
    let (changes, edits) = rest.split_at(rest.len().min(groups * 4));
    let mut state = State::default();
    for [key, kind, size, fill] in changes.as_chunks::<4>().0 {
        // Small values: the limit of this target is small.
        change(&mut state, [*key, kind & !2, *size, *fill], 1);
    }
    let mut payload = HEADER.to_vec();
    for frame in split(&Update::reset(&state, time(1))) {
        if let Some(Kind::Update(part)) = frame.kind {
            payload.extend(part.encode_length_delimited_to_vec());
        }
    }
    assert_eq!(believed(&file(&payload)), Some(state.digest().to_bytes()), "a good file is refused");
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % payload.len();
        payload[at] = edit[2];
    }
    believed(&file(&payload));
}

/// The digest of the state that the file is believed to have.
fn believed(file: &[u8]) -> Option<[u8; 16]> {
    let (tenant, state, again) = match confhub_client::fuzzing::reread(file, LIMIT) {
        Ok(read) => read,
        Err(error) => {
            super::check_error(&error);
            return None;
        }
    };
    assert_eq!(&file[..8], b"confhub\0");
    assert_eq!(blake3::hash(&file[HEAD..]).as_bytes(), &file[12..HEAD], "damaged");
    assert!(state.bytes() <= LIMIT);
    super::check_state(&state);
    let (tenant_again, state_again, twice) = confhub_client::fuzzing::reread(&again, LIMIT).unwrap();
    assert_eq!((tenant_again, state_again.digest()), (tenant, state.digest()));
    assert_eq!(twice, again, "written once more it is the same");
    Some(state.digest().to_bytes())
}
