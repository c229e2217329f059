//! Tokens that were verified a moment ago, so that the next call with the same
//! one spares the signature check.
//!
//! Held by the token's hash, never by the token. An answer is good only as long
//! as the keys that gave it are its issuer's accepted ones; the asker looks at
//! that, and at the expiry.

use super::Identity;
use crate::limits::VERIFIED_SHARDS;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Parts by the hash's first byte. A part's lock is held for a look into a map:
/// less than the hash of the token took.
pub(super) struct Verified {
    shards: Vec<Mutex<Generations>>,
    most_in_shard: usize,
}

/// The hash of a token.
pub(super) type TokenHash = [u8; 32];

/// Who a token was from, and what that stands on.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) identity: Identity,
    /// Which issuer's it is, by its place among them.
    pub(super) issuer: usize,
    /// The issuer's keys of then ([`super::keys::Keys::digest`]).
    pub(super) keys: [u8; 32],
}

/// Two halves: when the young one is full, the old one is forgotten and the
/// young one becomes old. What is asked for moves back to the young one.
#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, Known>,
    old: HashMap<TokenHash, Known>,
}

impl Verified {
    /// Remembers at most `most` tokens.
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..VERIFIED_SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most_in_shard: most / VERIFIED_SHARDS }
    }

    pub(super) fn hash(token: &str) -> TokenHash {
        *blake3::hash(token.as_bytes()).as_bytes()
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Known> {
        let mut generations = self.shard(hash)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = generations.young.get(hash) {
            return Some(known.clone());
        }
        let known = generations.old.remove(hash)?;
        generations.insert(*hash, known.clone(), self.most_in_shard);
        Some(known)
    }

    pub(super) fn insert(&self, hash: TokenHash, known: Known) {
        if let Some(shard) = self.shard(&hash) {
            let mut generations = shard.lock().unwrap_or_else(PoisonError::into_inner);
            generations.insert(hash, known, self.most_in_shard);
        }
    }

    fn shard(&self, hash: &TokenHash) -> Option<&Mutex<Generations>> {
        self.shards.get(usize::from(hash[0]) % VERIFIED_SHARDS)
    }
}

impl Generations {
    fn insert(&mut self, hash: TokenHash, known: Known, most: usize) {
        if self.young.len() >= most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Roles;

    fn known() -> Known {
        let identity = Identity {
            tenant: "t".parse().unwrap(),
            service: None,
            subject: "s".into(),
            token_id: None,
            issued: None,
            roles: Roles::default(),
            expires: std::time::UNIX_EPOCH,
        };
        Known { identity, issuer: 0, keys: [0; 32] }
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let verified = Verified::new(1_000);
        let used = Verified::hash("used");
        verified.insert(used, known());
        for n in 0..10_000 {
            verified.insert(Verified::hash(&n.to_string()), known());
            assert!(verified.get(&used).is_some(), "{n}");
        }
        let held = verified.shards.iter().map(|shard| {
            let generations = shard.lock().unwrap();
            generations.young.len() + generations.old.len()
        });
        let held: Vec<_> = held.collect();
        assert!(held.iter().sum::<usize>() <= 1_000 && held.iter().all(|held| *held > 0), "{held:?}");
        assert!(verified.get(&Verified::hash("0")).is_none());
    }
}
