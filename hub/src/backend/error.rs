//! What backends can answer instead.

use crate::source::Address;
use std::fmt;

/// Why a store does not do its part, as far as a machine can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// It is asked too often.
    Throttled,
    /// It does not know or not admit the hub: credentials, permissions.
    Denied,
    /// The table, the queue or what else it should have is not there.
    Missing,
    /// It did not answer in time.
    Timeout,
    /// It cannot be reached.
    Unreachable,
    /// It failed.
    Failed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "it is asked too often",
            Self::Denied => "it does not admit the hub",
            Self::Missing => "it is not set up",
            Self::Timeout => "it did not answer in time",
            Self::Unreachable => "it cannot be reached",
            Self::Failed => "it failed",
        })
    }
}

/// A store that does not do its part.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, or cannot read or write its medium, for now.
    #[error("the {kind} backend is unavailable: {reason}")]
    Unavailable {
        /// Which backend.
        kind: &'static str,
        /// Why.
        cause: Cause,
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
    /// The store cannot keep this.
    #[error("{address} cannot be kept in {kind}: {reason}")]
    Unfit {
        /// Which entry.
        address: Address,
        /// Which backend.
        kind: &'static str,
        /// What it cannot keep, and what to do.
        reason: String,
    },
    /// The store cannot make so many changes as one.
    #[error(
        "{kind} makes at most {limit} change{} as one; these are {changes}, and none was made: write them apart",
        if *limit == 1 { "" } else { "s" }
    )]
    TooMany {
        /// Which backend.
        kind: &'static str,
        /// How many there are.
        changes: usize,
        /// How many it can make.
        limit: usize,
    },
    /// The store has no conditional write, and somebody else wrote in between.
    #[error(
        "{address} was written as version {written}, over version {overwritten} of somebody else and not over \
         the expected version {expected}: read it, and write again what is wrong"
    )]
    LostRace {
        /// Which entry.
        address: Address,
        /// What the writer expected.
        expected: u64,
        /// What was overwritten.
        overwritten: u64,
        /// What was written all the same.
        written: u64,
    },
    /// Others kept writing the same entries at the same time. Nothing was written.
    #[error("{0} is being written by others at the same time: try again")]
    Contended(Address),
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
    #[error("it would have {would_have} entries; at most {limit} are allowed by `limits.tenant-entries`")]
    Entries {
        /// How many there would be.
        would_have: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many bytes.
    #[error(
        "it would have {would_have} bytes of keys, types and values; at most {limit} are allowed by \
         `limits.tenant-bytes`"
    )]
    Bytes {
        /// How many there would be.
        would_have: usize,
        /// The limit.
        limit: usize,
    },
}

impl BackendError {
    /// What those may know who do not run the hub: which store, and the kind of
    /// trouble. What the store says names accounts, roles and files.
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::Unavailable { kind, cause, .. } => format!("the {kind} backend is unavailable: {cause}"),
            Self::Damaged { kind, .. } => format!("the {kind} backend holds damaged data"),
        }
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unavailable { cause, .. } => *cause,
            Self::Damaged { .. } => Cause::Failed,
        }
    }
}

impl Full {
    /// The setting that is the limit.
    #[must_use]
    pub fn limit(&self) -> &'static str {
        match self {
            Self::Entries { .. } => "limits.tenant-entries",
            Self::Bytes { .. } => "limits.tenant-bytes",
        }
    }

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
