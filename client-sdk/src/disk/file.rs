//! Replacing and reading the file. All of it blocks, and belongs on a thread
//! that may.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// End of the name of a file that is being written.
const TEMPORARY: &str = ".tmp";

/// Length of what the `tempfile` crate puts between prefix and suffix.
const RANDOM: usize = 6;

/// A file that is being written is younger: it is never waited for that long.
const ABANDONED: Duration = Duration::from_secs(60);

/// A file is never larger than its state by more than this factor: entries have
/// fields beside those that count as their size. The smallest entry counts as 2
/// bytes, and those fields take at most about 120.
const LARGER_THAN_STATE: usize = 64;

/// What a file has beside its entries, in bytes: names and claims.
const HEADER: usize = 64 * 1024;

/// Replaces the file with `bytes`: after a crash at any moment there is the old
/// one or the new one, never a part.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder(path);
    let prefix = prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o600));
    }
    let mut file = builder.tempfile_in(&folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself is on disk only once its folder is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// The bytes of the file, `None` if there is none.
pub(super) fn read(path: &Path, max_state_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let limit = max_state_bytes.saturating_mul(LARGER_THAN_STATE).saturating_add(HEADER);
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Removes what writers of this file that were killed have left behind. Those of
/// other files, and one that is at work, are not touched.
pub(super) fn sweep(path: &Path) -> io::Result<()> {
    let prefix = prefix(path);
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let middle = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let random = middle.and_then(|rest| rest.strip_suffix(TEMPORARY.as_bytes()));
        if random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
            && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ABANDONED)
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `.name.`: hidden, and telling what it is a part of.
fn prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or(OsStr::new("confhub")));
    prefix.push(".");
    prefix
}
