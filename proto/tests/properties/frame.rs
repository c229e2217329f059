//! Frames carry an update whole, within bounds, and show nothing before its commit.

use crate::any;
use confhub_proto::frame::{Assembler, FrameError, split};
use confhub_proto::{Content, Entry, Key, State, Update, limits, wire};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;
use wire::frame::Kind;

fn parts(update: &Update) -> Vec<wire::Update> {
    let frames = split(update).into_iter();
    let part = |frame: wire::Frame| match frame.kind {
        Some(Kind::Update(part)) => part,
        other => panic!("{other:?} is no part of an update"),
    };
    frames.map(part).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_update_survives_its_frames(update in any::update(40, 40_000)) {
        let mut assembler = Assembler::new(usize::MAX);
        let parts = parts(&update);
        let last = parts.len() - 1;
        for (i, part) in parts.into_iter().enumerate() {
            prop_assert_eq!(part.commit.is_some(), i == last);
            prop_assert_eq!(part.reset, update.reset && i == 0);
            // Over the wire and back.
            let part = wire::Update::decode(&*part.encode_to_vec()).unwrap();
            let whole = assembler.push(part).unwrap();
            prop_assert_eq!(whole.is_some(), i == last, "visible before the commit");
            if let Some(whole) = whole {
                prop_assert_eq!(&whole, &update);
            }
        }
    }

    #[test]
    fn frames_stay_under_the_limit_and_are_not_wasted(update in any::update(60, 60_000)) {
        let frames = split(&update);
        let sizes: Vec<_> = frames.iter().map(Message::encoded_len).collect();
        prop_assert!(sizes.iter().all(|size| *size <= limits::FRAME_BYTES), "{:?}", sizes);
        // Two neighbours together are more than one frame takes.
        for pair in sizes.windows(2) {
            prop_assert!(pair[0] + pair[1] > limits::FRAME_TARGET_BYTES, "{:?}", sizes);
        }
    }

    #[test]
    fn an_update_over_the_limit_is_refused_before_it_is_kept_whole(
        update in any::update(40, 20_000),
        share in 0.0..1.0_f64,
    ) {
        let keys = update.removes.iter().map(|key| key.as_str().len());
        let size: usize = update.puts.iter().map(|entry| entry.size()).chain(keys).sum();
        prop_assume!(size > 0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a size")]
        let limit_bytes = ((size - 1) as f64 * share) as usize;
        let mut assembler = Assembler::new(limit_bytes);
        let mut outcomes = parts(&update).into_iter().map(|part| assembler.push(part));
        let refused = outcomes.find_map(Result::err);
        prop_assert_eq!(refused, Some(FrameError::TooLarge { limit_bytes }));

        let mut assembler = Assembler::new(size);
        let mut outcomes = parts(&update).into_iter().map(|part| assembler.push(part));
        prop_assert!(outcomes.all(|outcome| outcome.is_ok()));
    }

    #[test]
    fn one_assembler_takes_one_update_after_another(
        updates in proptest::collection::vec(any::update(5, 100), 1..6),
    ) {
        let mut assembler = Assembler::new(usize::MAX);
        for update in &updates {
            let whole = parts(update).into_iter().find_map(|part| assembler.push(part).unwrap());
            prop_assert_eq!(whole.as_ref(), Some(update));
        }
    }
}

fn large_entries(count: usize, bytes: usize) -> Update {
    let entry = |i: usize| {
        let value = vec![b'x'; bytes].into();
        let content = Content { value, content_type: "t".repeat(128).into(), secret: false };
        let key = Key::new(&format!("{}{i:03}", "k".repeat(253))).unwrap();
        Arc::new(Entry::new(key, None, content, u64::MAX, any::hub_time()))
    };
    Update::reset(&(0..count).map(entry).collect::<State>(), any::hub_time())
}

#[test]
fn the_largest_entry_fits_into_a_frame() {
    let frames = split(&large_entries(3, limits::VALUE_BYTES));
    assert_eq!(frames.len(), 3, "each has a frame of its own");
    assert!(frames.iter().all(|frame| frame.encoded_len() <= limits::FRAME_BYTES));
}

#[test]
fn the_longest_keys_fill_frames_and_do_not_burst_them() {
    let keys: Vec<_> = (0..5_000).map(|i| Key::new(&format!("{}{i:04}", "k".repeat(252))).unwrap()).collect();
    let update = Update::difference(&keys, &State::default(), any::hub_time());
    let frames = split(&update);
    assert!(frames.len() > 4);
    assert!(frames.iter().all(|frame| frame.encoded_len() <= limits::FRAME_TARGET_BYTES + 128));
}

#[test]
fn a_reset_in_the_middle_is_refused() {
    let parts = parts(&large_entries(10, 100_000));
    assert!(parts.len() > 2);
    let mut assembler = Assembler::new(usize::MAX);
    assert_eq!(assembler.push(parts[0].clone()), Ok(None));
    let late = wire::Update { reset: true, ..parts[1].clone() };
    assert_eq!(assembler.push(late), Err(FrameError::LateReset));
    let mut assembler = Assembler::new(usize::MAX);
    // Even an empty part starts an update.
    assert_eq!(assembler.push(wire::Update::default()), Ok(None));
    assert_eq!(assembler.push(parts[0].clone()), Err(FrameError::LateReset));
}

#[test]
fn malformed_parts_are_refused() {
    let good = parts(&large_entries(1, 10)).remove(0);
    let push = |change: &dyn Fn(&mut wire::Update)| {
        let mut part = good.clone();
        change(&mut part);
        Assembler::new(usize::MAX).push(part)
    };
    assert!(push(&|_| {}).unwrap().is_some());
    let no_cursor = push(&|part| part.commit.as_mut().unwrap().cursor.clear());
    assert_eq!(no_cursor, Err(FrameError::Commit));
    let short = push(&|part| part.commit.as_mut().unwrap().cursor.truncate(15));
    assert!(matches!(short, Err(FrameError::Cursor(_))));
    assert!(matches!(push(&|part| part.puts[0].key.clear()), Err(FrameError::Entry(_))));
    assert!(matches!(push(&|part| part.puts[0].service = "shared".into()), Err(FrameError::Entry(_))));
    let large = push(&|part| part.puts[0].value = vec![0; limits::VALUE_BYTES + 1].into());
    assert!(matches!(large, Err(FrameError::Entry(_))));
    assert!(matches!(push(&|part| part.removes.push("a b".into())), Err(FrameError::Remove(_))));
}
