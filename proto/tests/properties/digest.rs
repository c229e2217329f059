//! A digest names a state, however it came to be.

use crate::any;
use confhub_proto::{Content, Digest, Entry, ServiceName, State};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_is_free_of_order(
        (entries, shuffled) in vec(any::entry(20), 0..20).prop_flat_map(|entries| {
            // The last of one key wins, so that each key comes once.
            let state = State::from_iter(entries);
            let entries: Vec<_> = state.iter().cloned().collect();
            (Just(entries.clone()), Just(entries).prop_shuffle())
        })
    ) {
        let (one, other) = (State::from_iter(entries), State::from_iter(shuffled));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.bytes(), other.bytes());
    }

    #[test]
    fn it_survives_the_wire(state in any::state()) {
        let digest = state.digest();
        prop_assert_eq!(Digest::from_wire(&digest.to_bytes()).unwrap(), Some(digest));
    }

    #[test]
    fn anything_else_than_16_bytes_or_none_is_no_cursor(bytes in vec(any::<u8>(), 0..64)) {
        match bytes.len() {
            0 => prop_assert_eq!(Digest::from_wire(&bytes).unwrap(), None),
            16 => prop_assert_eq!(Digest::from_wire(&bytes).unwrap().unwrap().to_bytes().to_vec(), bytes),
            length => {
                let error = Digest::from_wire(&bytes).unwrap_err().to_string();
                prop_assert!(error.contains(&length.to_string()));
            }
        }
    }

    #[test]
    fn each_part_of_an_entry_counts(
        key in any::key(),
        content in any::content(20),
        version in 0..u64::MAX,
    ) {
        let time = any::hub_time();
        let entry = |service: Option<&str>, content: &Content, version| {
            let service = service.map(|name| ServiceName::new(name).unwrap());
            Entry::new(key.clone(), service, content.clone(), version, time).digest()
        };
        let digest = entry(None, &content, version);
        prop_assert_eq!(digest, entry(None, &content, version));
        let later = time + std::time::Duration::from_nanos(1);
        let later = Entry::new(key.clone(), None, content.clone(), version, later);
        prop_assert_ne!(digest, later.digest());

        prop_assert_ne!(digest, entry(None, &content, version + 1));
        prop_assert_ne!(digest, entry(Some("cart"), &content, version));
        let secret = Content { secret: !content.secret, ..content.clone() };
        prop_assert_ne!(digest, entry(None, &secret, version));
        let content_type = Content { content_type: "another/type".into(), ..content.clone() };
        prop_assert_ne!(digest, entry(None, &content_type, version));
        let value = Content { value: [&content.value[..], b"x"].concat().into(), secret: false, ..content.clone() };
        prop_assert_ne!(digest, entry(None, &value, version));
    }
}
