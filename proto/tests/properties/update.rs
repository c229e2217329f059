//! However far somebody lags, one merged difference brings it to the present.

use crate::any;
use confhub_proto::{State, Update};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_subset_of_lags_leads_to_the_same_state(
        revisions in any::revisions(),
        stops in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        // Where one that lags stops on its way, in order; the last is the present.
        let mut stops: Vec<_> = stops.iter().map(|index| index.index(revisions.len())).collect();
        stops.push(revisions.len() - 1);
        stops.sort_unstable();
        let (mut state, mut at) = (revisions[0].0.clone(), 0);
        for stop in stops {
            let changed = revisions[at + 1..=stop.max(at)].iter().flat_map(|(_, keys)| keys);
            let update = Update::difference(changed, &revisions[stop].0, any::hub_time());
            state = state.commit(&update);
            at = stop;
            prop_assert_eq!(state.digest(), revisions[at].0.digest());
            prop_assert_eq!(state.digest(), update.commit.cursor);
            prop_assert_eq!(state.bytes(), revisions[at].0.bytes());
        }
    }

    #[test]
    fn a_difference_names_each_key_once_and_merges_into_the_last(revisions in any::revisions()) {
        let (last, _) = revisions.last().unwrap();
        let changed = revisions.iter().flat_map(|(_, keys)| keys);
        let update = Update::difference(changed, last, any::hub_time());
        prop_assert!(!update.reset);
        let puts = update.puts.iter().map(|entry| entry.key());
        let mut keys: Vec<_> = puts.chain(&update.removes).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), count);
        for entry in &update.puts {
            prop_assert_eq!(last.get(entry.key().as_str()), Some(entry));
        }
        for key in &update.removes {
            prop_assert!(last.get(key.as_str()).is_none());
        }
    }

    #[test]
    fn a_difference_may_be_applied_twice_and_to_any_state_in_between(
        revisions in any::revisions(),
        from in any::<prop::sample::Index>(),
    ) {
        let (last, _) = revisions.last().unwrap();
        // Made for whoever stands at the first, it is right for all that came after.
        let changed = revisions.iter().flat_map(|(_, keys)| keys);
        let update = Update::difference(changed, last, any::hub_time());
        let once = revisions[from.index(revisions.len())].0.commit(&update);
        prop_assert_eq!(once.digest(), last.digest());
        prop_assert_eq!(once.commit(&update).digest(), last.digest());
    }

    #[test]
    fn a_reset_leads_to_the_state_from_anywhere(state in any::state(), other in any::state()) {
        let update = Update::reset(&state, any::hub_time());
        prop_assert!(update.reset && update.removes.is_empty());
        prop_assert!(update.puts.is_sorted_by(|a, b| a.key() < b.key()));
        for from in [State::default(), other, state.clone()] {
            prop_assert_eq!(from.commit(&update).digest(), state.digest());
        }
    }
}
