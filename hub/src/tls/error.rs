//! What can be wrong with a certificate, its key or a CA.

use std::io;
use std::path::PathBuf;

/// Why a certificate cannot be used. Nothing of a key is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of two settings that need each other.
    #[error("`{present}` is set, but `{missing}` is not: TLS needs both")]
    Incomplete {
        /// The setting that is there.
        present: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}` (`{setting}`): {error}", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("`{}` (`{setting}`) {problem}", path.display())]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// TLS cannot be set up with what the files hold.
    #[error("TLS cannot be set up with `{}` and its key: {reason}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl TlsError {
    /// Whether a file could not even be read, so that nothing is known of what it
    /// holds.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}
