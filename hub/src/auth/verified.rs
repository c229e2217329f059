//! Tokens that were verified a moment ago, so that the next call with the same
//! one spares the signature check.
//!
//! Held by the token's hash, never by the token. An answer is good only as long
//! as the keys that gave it are the accepted ones, and the asker checks the
//! expiry itself.

use super::Identity;
use super::keys::Keys;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct Verified {
    most: usize,
    generations: Mutex<Generations>,
}

/// The hash of a token.
pub(super) type TokenHash = [u8; 32];

/// Two halves: when the young one is full, the old one is forgotten and the
/// young one becomes old. What is asked for moves back to the young one.
#[derive(Default)]
struct Generations {
    keys: Option<Arc<Keys>>,
    young: HashMap<TokenHash, Identity>,
    old: HashMap<TokenHash, Identity>,
}

impl Verified {
    /// Remembers at most `most` tokens.
    pub(super) fn new(most: usize) -> Self {
        Self { most, generations: Mutex::default() }
    }

    pub(super) fn hash(token: &str) -> TokenHash {
        *blake3::hash(token.as_bytes()).as_bytes()
    }

    pub(super) fn get(&self, hash: &TokenHash, keys: &Arc<Keys>) -> Option<Identity> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.follow(keys);
        if let Some(identity) = generations.young.get(hash) {
            return Some(identity.clone());
        }
        let identity = generations.old.remove(hash)?;
        generations.insert(*hash, identity.clone(), self.most);
        Some(identity)
    }

    pub(super) fn insert(&self, hash: TokenHash, identity: Identity, keys: &Arc<Keys>) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.follow(keys);
        generations.insert(hash, identity, self.most);
    }
}

impl Generations {
    /// Forgets everything if the keys are other ones.
    fn follow(&mut self, keys: &Arc<Keys>) {
        if !self.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            *self = Self { keys: Some(Arc::clone(keys)), ..Self::default() };
        }
    }

    fn insert(&mut self, hash: TokenHash, identity: Identity, most: usize) {
        if self.young.len() >= most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Roles;
    use crate::auth::testing::{SigningKey, jwks};

    fn keys() -> Arc<Keys> {
        Arc::new(Keys::parse(&jwks(&[SigningKey::ed25519("k")])).unwrap())
    }

    fn identity() -> Identity {
        Identity {
            tenant: "t".parse().unwrap(),
            service: None,
            subject: "s".into(),
            token_id: None,
            issued: None,
            roles: Roles::default(),
            expires: std::time::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let (verified, keys) = (Verified::new(100), keys());
        let used = Verified::hash("used");
        verified.insert(used, identity(), &keys);
        for n in 0..1_000 {
            verified.insert(Verified::hash(&n.to_string()), identity(), &keys);
            assert!(verified.get(&used, &keys).is_some(), "{n}");
            let generations = verified.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 100);
        }
        assert!(verified.get(&Verified::hash("0"), &keys).is_none());
    }

    #[test]
    fn other_keys_forget_everything() {
        let (verified, before, after) = (Verified::new(100), keys(), keys());
        let hash = Verified::hash("token");
        verified.insert(hash, identity(), &before);
        assert!(verified.get(&hash, &before).is_some());
        assert!(verified.get(&hash, &after).is_none());
        assert!(verified.get(&hash, &before).is_none());
    }
}
