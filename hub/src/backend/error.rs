//! What backends can answer instead.

use crate::source::Address;

/// A store that does not do its part.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, or cannot read or write its medium, for now.
    #[error("the {kind} backend is unavailable: {reason}")]
    Unavailable {
        /// Which backend.
        kind: &'static str,
        /// What it says.
        reason: String,
    },
    /// What it holds cannot be read.
    #[error("the {kind} backend holds damaged data: {reason}")]
    Damaged {
        /// Which backend.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Why nothing of a write was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The expected version is not the present one.
    #[error("{address} has version {actual}, not the expected version {expected}{}", absent(*actual))]
    Conflict {
        /// Which entry.
        address: Address,
        /// What the writer expected.
        expected: u64,
        /// What there is; 0: nothing.
        actual: u64,
    },
    /// There is nothing to delete.
    #[error("{0} does not exist")]
    NotFound(Address),
    /// The version to restore is not kept.
    #[error("{address} has no version {version}; kept are {kept}")]
    UnknownVersion {
        /// Which entry.
        address: Address,
        /// What was asked for.
        version: u64,
        /// What there is, in words.
        kept: String,
    },
    /// The version to restore is a deletion.
    #[error("version {version} of {address} is a deletion: delete the entry instead")]
    RestoresDeletion {
        /// Which entry.
        address: Address,
        /// What was asked for.
        version: u64,
    },
    /// A secret would be written in the open.
    #[error(
        "{0} is a secret, and what is written is not marked as one: mark it, or delete the entry first \
         if it is to be readable by all"
    )]
    Exposes(Address),
    /// The tenant is at a limit.
    #[error("the tenant is full: {0}")]
    Full(#[from] Full),
    /// The store failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

fn absent(actual: u64) -> &'static str {
    if actual == 0 { " (0: it does not exist)" } else { "" }
}

/// A tenant over one of its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too many entries.
    #[error("it would have {would_have} entries; at most {limit} are allowed")]
    Entries {
        /// How many there would be.
        would_have: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many bytes.
    #[error("it would have {would_have} bytes of keys, types and values; at most {limit} are allowed")]
    Bytes {
        /// How many there would be.
        would_have: usize,
        /// The limit.
        limit: usize,
    },
}

impl Full {
    /// Compares a tenant's size with its limits.
    pub(crate) fn check(
        (entries, most_entries): (usize, usize),
        (bytes, most_bytes): (usize, usize),
    ) -> Result<(), Self> {
        if entries > most_entries {
            return Err(Self::Entries { would_have: entries, limit: most_entries });
        }
        if bytes > most_bytes {
            return Err(Self::Bytes { would_have: bytes, limit: most_bytes });
        }
        Ok(())
    }
}
