//! Files: read up to a bound, written whole or not at all.

use super::error::CliError;
use std::io::{self, Read, Write};
use std::path::Path;

/// Reads a file of at most `limit_bytes`.
pub(crate) fn read(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, CliError> {
    std::fs::File::open(path)
        .and_then(|file| read_bounded(file, limit_bytes))
        .map_err(CliError::file("read", path))
}

/// Reads standard input, at most `limit_bytes` of it.
pub(crate) fn read_stdin(limit_bytes: usize) -> Result<Vec<u8>, CliError> {
    read_bounded(io::stdin().lock(), limit_bytes).map_err(CliError::file("read", "standard input"))
}

/// Reads a file, or standard input if the path is `-`. The name is for errors.
pub(crate) fn read_or_stdin(path: &Path, limit_bytes: usize) -> Result<(String, Vec<u8>), CliError> {
    match path.to_str() {
        Some("-") => Ok(("(standard input)".to_owned(), read_stdin(limit_bytes)?)),
        _ => Ok((path.display().to_string(), read(path, limit_bytes)?)),
    }
}

/// Writes a file in one step: readers see the old one or the new one. It keeps
/// the rights of the old one. What is no file (a pipe, a terminal, a link) is
/// written to, not replaced.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let old = std::fs::symlink_metadata(path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return std::fs::write(path, bytes).map_err(CliError::file("write", path));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // As any new file: what the user's mask leaves of this.
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let written = builder.prefix(".confhub-").tempfile_in(folder).and_then(|mut file| {
        if let Some(old) = old {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(CliError::file("write", path))
}

fn read_bounded(from: impl Read, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    from.take(one_more).read_to_end(&mut bytes)?;
    if bytes.len() > limit_bytes {
        let reason = format!("it is too large: at most {limit_bytes} bytes are taken");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_in_one_step_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(read(&path, 2).is_err());
        let nowhere = write(&folder.path().join("no/such/x"), b"").unwrap_err().to_string();
        assert!(nowhere.starts_with("cannot write ") && nowhere.contains("no/such/x"), "{nowhere}");
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_rights_and_what_is_no_file_is_written_to() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("export.json"), folder.path().join("link"));
        write(&path, b"one").unwrap();
        for mode in [0o600, 0o664] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            write(&path, b"two").unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, b"three").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&path, 5).unwrap(), b"three");
        write(Path::new("/dev/null"), b"four").unwrap();
    }
}
