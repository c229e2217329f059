//! What must hold for any bytes that strangers, files and queues bring.
//!
//! A module is a target: `check` takes bytes, and panics if a promise is broken.
//! `bin/` hands them to libFuzzer; `tests/corpora.rs` replays the committed ones.

pub mod claims;
pub mod cursor;
pub mod disk;
pub mod events;
pub mod flag;
pub mod frames;
pub mod import;
pub mod messages;
pub mod names;

use confhub_proto::State;

/// Whether `name` is in the strict alphabet, told without the code that is tested.
fn is_strict(name: &str, longest: usize) -> bool {
    let (letters, signs) = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "_.-");
    let first = name.chars().next().is_some_and(|c| letters.contains(c));
    first && name.len() <= longest && name.chars().all(|c| letters.contains(c) || signs.contains(c))
}

/// What an error may look like in a log or at a prompt: short, and one line of
/// printable text whatever the input was.
fn check_error(error: &str) {
    assert!(!error.is_empty() && error.len() < 1_200, "{} bytes: {error}", error.len());
    assert!(!error.contains(char::is_control), "{error:?}");
}

/// A state is what its entries make, however it came about.
fn check_state(state: &State) {
    let scratch: State = state.iter().cloned().collect();
    assert_eq!(state.digest(), scratch.digest());
    assert_eq!(state.bytes(), state.iter().map(|entry| entry.size()).sum::<usize>());
    assert_eq!(state.len(), state.iter().count());
    for entry in state.iter() {
        assert!(is_strict(entry.key().as_str(), 256));
        assert!(entry.service().is_none_or(|name| is_strict(name.as_str(), 64) && name.as_str() != "shared"));
        assert!(!entry.is_secret() || entry.value().is_empty(), "a secret with a value");
    }
}
