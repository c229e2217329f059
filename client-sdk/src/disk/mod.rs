//! The last good state, kept for a start while no hub can be reached.
//!
//! One file belongs to one client. It is replaced as a whole, is readable by
//! its owner alone, and is checked before it is believed: against damage by its
//! checksum and the digest of its state, against a mix-up by the view and by the
//! tenant of the program's token. Whatever does not hold makes it as if there
//! were no file. The values of secrets are never in it, since no entry has them.

mod file;
mod format;
mod writer;

pub(crate) use writer::DiskWriter;

use crate::credentials::Token;
use crate::view::View;
use crate::worker::{Good, Origin};
use format::{FormatError, Saved};
use std::io;
use std::path::Path;

/// Why the file is not used. The client starts as if there were none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("it has the state of another service or of other prefixes")]
    OtherView,
    #[error("the token does not name its tenant or its service where the token that it was got with did")]
    OtherIdentity,
}

/// Reads the state that `path` has for `view` and the bearer of `token`. `None`
/// if there is no file.
pub(crate) fn load(
    path: &Path,
    view: &View,
    token: &Token,
    max_bytes: usize,
) -> Result<Option<Good>, Refused> {
    if let Err(error) = file::sweep(path) {
        tracing::debug!(path = %path.display(), %error, "cannot look for unfinished files");
    }
    let Some(bytes) = file::read(path, max_bytes)? else { return Ok(None) };
    let Saved { good, requested_service, prefixes } = format::decode(&bytes, max_bytes)?;
    if requested_service != view.service || prefixes != view.prefixes {
        return Err(Refused::OtherView);
    }
    let (Origin { tenant, service }, marks) = (&good.origin, &good.marks);
    // The service is the program's own wish, unless a token once overruled it.
    let asked_for = *service == requested_service;
    if !marks.name_tenant(token, tenant) || !marks.name_service(token, service, asked_for) {
        return Err(Refused::OtherIdentity);
    }
    Ok(Some(good))
}

/// What a file says, and the bytes of the same written again.
#[cfg(feature = "fuzzing")]
pub(crate) fn reread(bytes: &[u8], max_bytes: usize) -> Result<(Good, Vec<u8>), FormatError> {
    let Saved { good, requested_service, prefixes } = format::decode(bytes, max_bytes)?;
    let again = format::encode(&good, &requested_service, &prefixes);
    Ok((good, again))
}

#[cfg(test)]
mod tests;
