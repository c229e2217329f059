//! The digest of a state, which is also its cursor.
//!
//! A digest is the wrapping 128-bit sum of one hash per entry. A sum is free of
//! order and takes one addition per change, so a cursor means the same on every
//! hub and after every restart, with no coordination (incremental hashing in
//! the manner of Bellare and Micciancio, "A New Paradigm for Collision-free
//! Hashing", 1997). It detects divergence; it is no defence against somebody who
//! may choose the entries of the same tenant, and none is needed.

use std::fmt;
use std::ops::{AddAssign, SubAssign};

/// The digest of a state; that of the empty state is zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(u128);

/// Where a subscriber stands: the digest of the last state it committed.
pub type Cursor = Digest;

/// A cursor that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor has 16 bytes, or none to ask for the whole state; this one has {0}")]
pub struct CursorError(usize);

impl Digest {
    pub(crate) fn from_hash(hash: &blake3::Hash) -> Self {
        let mut low = [0; 16];
        low.copy_from_slice(&hash.as_bytes()[..16]);
        Self(u128::from_be_bytes(low))
    }

    /// The 16 bytes that go over the wire, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads a cursor off the wire; an empty one is `None`.
    ///
    /// # Errors
    /// If it has neither 0 nor 16 bytes.
    pub fn from_wire(bytes: &[u8]) -> Result<Option<Self>, CursorError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let bytes = bytes.try_into().map_err(|_| CursorError(bytes.len()))?;
        Ok(Some(Self(u128::from_be_bytes(bytes))))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, entry: Self) {
        self.0 = self.0.wrapping_add(entry.0);
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, entry: Self) {
        self.0 = self.0.wrapping_sub(entry.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
