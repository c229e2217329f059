//! Frames: an update arrives whole or not at all, within its limit, and leads to
//! the state that it names.
//!
//! An `s` in front: what follows makes states, whose differences are cut into
//! frames and put together again. Otherwise the input is parts of updates, each
//! with its length before it, as a stranger might send them.

use confhub_proto::frame::{Assembler, FrameError, split};
use confhub_proto::{Content, Entry, Key, State, Update, limits, wire};
use prost::Message as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::frame::Kind;

/// What the receiver of a stranger's parts accepts, in bytes.
const LIMIT: usize = 4_096;

/// What the states of this target take at most, in bytes: enough for several frames.
const STATE_BYTES: usize = 600 * 1024;

pub fn check(data: &[u8]) {
    match data.split_first() {
        Some((b's', rest)) => own(rest),
        _ => strangers(data),
    }
}

/// One change a group of four bytes: key, kind, and the value's size and content.
pub(crate) fn change(state: &mut State, change: [u8; 4], version: u64) {
    let [key, kind, size, fill] = change;
    let key = Key::new(&format!("k{}", "y".repeat(usize::from(key % 32) * 7))).unwrap();
    if kind % 4 == 0 {
        state.remove(key.as_str());
        return;
    }
    let value = vec![fill; usize::from(size) * if kind % 4 == 1 { 1 } else { 1_024 }].into();
    if state.bytes() > STATE_BYTES {
        return;
    }
    let content = Content { value, content_type: "t".into(), secret: kind % 16 == 5 };
    let service = (kind % 8 == 3).then(|| "cart".parse().unwrap());
    state.put(Arc::new(Entry::new(key, service, content, version, time(u64::from(fill)))));
}

pub(crate) fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn own(data: &[u8]) {
    let mut receiver = State::default();
    let mut assembler = Assembler::new(usize::MAX);
    let mut sender = State::default();
    for (number, group) in data.chunks(12).take(24).enumerate() {
        let before = sender.clone();
        for four in group.as_chunks::<4>().0 {
            change(&mut sender, *four, number as u64);
        }
        let reset = group.len() < 12;
        let update = match reset {
            true => Update::reset(&sender, time(1)),
            false => Update::difference(&before.changed_keys(&sender), &sender, time(1)),
        };
        let frames = split(&update);
        let last = frames.len() - 1;
        for (at, frame) in frames.into_iter().enumerate() {
            assert!(frame.encoded_len() <= limits::FRAME_BYTES);
            let frame = wire::Frame::decode(&*frame.encode_to_vec()).unwrap();
            let Some(Kind::Update(part)) = frame.kind else { panic!("no part of an update") };
            let whole = assembler.push(part).unwrap();
            assert_eq!(whole.is_some(), at == last, "visible before the commit");
            if let Some(whole) = whole {
                assert_eq!(whole, update);
                receiver = receiver.commit(&whole);
            }
        }
        assert_eq!(receiver.digest(), sender.digest());
        assert_eq!(receiver.digest(), update.commit.cursor);
    }
    super::check_state(&receiver);
}

fn strangers(mut data: &[u8]) {
    let mut state = State::default();
    let mut assembler = Assembler::new(LIMIT);
    let mut pending = Pending::default();
    while !data.is_empty() {
        let Ok(part) = wire::Update::decode_length_delimited(&mut data) else { return };
        pending.add(&part);
        let commits = part.commit.is_some();
        match assembler.push(part) {
            Ok(None) => assert!(!commits),
            Ok(Some(update)) => {
                assert!(commits, "whole without a commit");
                std::mem::take(&mut pending).check(&update);
                state = committed(&state, &update);
            }
            Err(error) => {
                if error == (FrameError::TooLarge { limit_bytes: LIMIT }) {
                    assert!(pending.bytes > LIMIT);
                }
                return super::check_error(&error.to_string());
            }
        }
    }
}

/// What has come of an update.
#[derive(Default)]
struct Pending {
    puts: Vec<String>,
    removes: Vec<String>,
    resets: Vec<bool>,
    bytes: usize,
}

impl Pending {
    fn add(&mut self, part: &wire::Update) {
        self.resets.push(part.reset);
        for put in &part.puts {
            self.puts.push(put.key.clone());
            // A media type that is left out is `application/octet-stream`.
            let content_type = if put.content_type.is_empty() { 24 } else { put.content_type.len() };
            self.bytes += put.key.len() + content_type + if put.secret { 0 } else { put.value.len() };
        }
        for key in &part.removes {
            self.removes.push(key.clone());
            self.bytes += key.len();
        }
    }

    fn check(self, update: &Update) {
        assert!(self.bytes <= LIMIT, "over the limit");
        assert_eq!(self.resets[0], update.reset);
        assert!(self.resets[1..].iter().all(|reset| !reset), "a reset in the middle");
        assert!(self.puts.iter().map(String::as_str).eq(update.puts.iter().map(|put| put.key().as_str())));
        assert!(self.removes.iter().map(String::as_str).eq(update.removes.iter().map(Key::as_str)));
    }
}

fn committed(state: &State, update: &Update) -> State {
    let next = state.commit(update);
    super::check_state(&next);
    assert_eq!(next.commit(update).digest(), next.digest(), "twice is as once");
    let mut assembler = Assembler::new(usize::MAX);
    let mut parts = split(update).into_iter().map(|frame| match frame.kind {
        Some(Kind::Update(part)) => assembler.push(part).unwrap(),
        _ => panic!("no part of an update"),
    });
    assert_eq!(parts.find_map(|whole| whole).as_ref(), Some(update), "sent on");
    next
}
