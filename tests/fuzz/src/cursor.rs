//! Cursors: whatever a subscriber says where it stands, it is led to the present
//! state, and never from a state that it does not have.
//!
//! The first byte says how many groups of four bytes make the states (see
//! `frames`). What follows is the cursor as it stands on the wire; one byte
//! alone is the number of a state to come back with.

use super::frames::{change, time};
use confhub::fanout::{Next, Subscriber, Topic};
use confhub_proto::frame::Assembler;
use confhub_proto::{Digest, State, wire};
use prost::Message as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub fn check(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let groups = usize::from(count % 32).min(rest.len() / 4);
    let (changes, cursor) = rest.split_at(groups * 4);
    let topic = Arc::new(Topic::new(State::default(), time(0)));
    let mut states = vec![State::default()];
    let (changes, _) = changes.as_chunks::<4>();
    let (before, after) = changes.split_at(changes.len() * 2 / 3);
    for four in before {
        publish(&topic, &mut states, *four);
    }
    let cursor = match cursor {
        [number] => Some(states[usize::from(*number) % states.len()].digest()),
        bytes => match read(bytes) {
            Some(cursor) => cursor,
            None => return,
        },
    };
    let had = cursor.and_then(|cursor| states.iter().find(|state| state.digest() == cursor));
    assert_eq!(had.is_some(), cursor.is_some_and(|cursor| topic.knows(cursor)));
    let mut state = had.cloned();
    let mut subscriber = Subscriber::new(Arc::clone(&topic), cursor);
    follow(&mut subscriber, &mut state, &topic);
    for four in after {
        publish(&topic, &mut states, *four);
        if four[0] % 2 == 0 {
            follow(&mut subscriber, &mut state, &topic);
        }
    }
    follow(&mut subscriber, &mut state, &topic);
    super::check_state(&state.unwrap());
}

/// The cursor that these bytes are. `None`: they are none, and the error says so.
fn read(bytes: &[u8]) -> Option<Option<Digest>> {
    match Digest::from_wire(bytes) {
        Ok(None) => assert!(bytes.is_empty()),
        Ok(Some(digest)) => assert_eq!(digest.to_bytes(), *bytes),
        Err(error) => {
            assert!(!matches!(bytes.len(), 0 | 16));
            let error = error.to_string();
            assert!(error.contains(&bytes.len().to_string()), "{error}");
            return None;
        }
    }
    Digest::from_wire(bytes).ok()
}

fn publish(topic: &Topic, states: &mut Vec<State>, four: [u8; 4]) {
    let now = states.last().unwrap();
    let mut next = now.clone();
    // Versions that do not tell: the same state may come again.
    change(&mut next, four, 7);
    topic.publish(next.clone(), now.changed_keys(&next).into(), time(2));
    states.push(next);
}

/// Takes all that there is. `state` is what the subscriber has, if anything.
fn follow(subscriber: &mut Subscriber, state: &mut Option<State>, topic: &Topic) {
    let mut assembler = Assembler::new(usize::MAX);
    while let Poll::Ready(next) = subscriber.poll_next(&mut Context::from_waker(Waker::noop())) {
        let Next::Frame(bytes) = next else { panic!("it has ended") };
        let frame = wire::Frame::decode(&bytes[5..]).unwrap();
        let Some(wire::frame::Kind::Update(part)) = frame.kind else { panic!("no part of an update") };
        let Some(update) = assembler.push(part).unwrap() else { continue };
        assert!(update.reset || state.is_some(), "a difference to a state that it does not have");
        let next = state.clone().unwrap_or_default().commit(&update);
        assert_eq!(next.digest(), update.commit.cursor);
        *state = Some(next);
    }
    let present = topic.state().digest();
    assert_eq!(state.as_ref().map(State::digest), Some(present), "not led to the present");
    assert_eq!(subscriber.cursor(), present);
}
