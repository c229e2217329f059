//! A door for `tests/fuzz` into a parser that is nobody else's business. Only
//! with the feature `fuzzing`.

use confhub_proto::State;
use std::sync::Arc;

/// Reads a file of the last good state, and writes what it says again: the
/// tenant, the state, and the bytes.
///
/// # Errors
/// Why it is no such file.
pub fn reread(bytes: &[u8], max_bytes: usize) -> Result<(String, Arc<State>, Vec<u8>), String> {
    let (good, again) = crate::disk::reread(bytes, max_bytes).map_err(|error| error.to_string())?;
    Ok((good.origin.tenant, good.state, again))
}
