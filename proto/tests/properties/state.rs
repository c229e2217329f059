//! A state that was changed step by step is the one made from scratch.

use crate::any;
use confhub_proto::{State, Update};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

proptest! {
    #[test]
    fn step_by_step_is_as_from_scratch(changes in vec(any::change(), 0..60)) {
        let (mut state, mut model) = (State::default(), BTreeMap::new());
        for change in &changes {
            change.make(&mut state);
            match change {
                any::Change::Put(entry) => drop(model.insert(entry.key().clone(), Arc::clone(entry))),
                any::Change::Remove(key) => drop(model.remove(key)),
            }
        }
        let scratch: State = model.values().cloned().collect();
        prop_assert_eq!(state.digest(), scratch.digest());
        prop_assert_eq!(state.digest(), any::digest_of(&state));
        prop_assert_eq!((state.len(), state.bytes()), (scratch.len(), scratch.bytes()));
        prop_assert_eq!(state.bytes(), model.values().map(|entry| entry.size()).sum::<usize>());
        for (key, entry) in &model {
            prop_assert_eq!(state.get(key.as_str()), Some(entry));
        }
    }

    #[test]
    fn removing_everything_leads_back_to_nothing(state in any::state()) {
        let mut left = state.clone();
        for entry in state.iter() {
            prop_assert_eq!(left.remove(entry.key().as_str()), Some(Arc::clone(entry)));
            prop_assert_eq!(left.remove(entry.key().as_str()), None);
        }
        prop_assert_eq!((left.digest(), left.bytes(), left.len()), (State::default().digest(), 0, 0));
    }

    #[test]
    fn a_commit_leaves_the_state_before_it_as_it_was(
        state in any::state(),
        update in any::update(10, 20),
    ) {
        let (digest, len, bytes) = (state.digest(), state.len(), state.bytes());
        let next = state.commit(&update);
        prop_assert_eq!((state.digest(), state.len(), state.bytes()), (digest, len, bytes));
        for entry in &update.puts {
            prop_assert!(next.get(entry.key().as_str()).is_some());
        }
    }

    #[test]
    fn changed_keys_are_those_that_lead_from_one_to_the_other(
        from in any::state(),
        to in any::state(),
    ) {
        let keys = from.changed_keys(&to);
        let update = Update::difference(&keys, &to, any::hub_time());
        prop_assert_eq!(from.commit(&update).digest(), to.digest());
        let unchanged = from.iter().filter(|entry| to.get(entry.key().as_str()) == Some(entry));
        for entry in unchanged {
            prop_assert!(!keys.contains(entry.key()));
        }
        prop_assert!(from.changed_keys(&from).is_empty());
    }
}
