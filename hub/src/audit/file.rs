//! Where the lines go.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A place for lines. Its calls block.
pub(super) enum Sink {
    /// Standard output.
    Output,
    /// A file.
    File(LogFile),
}

impl Sink {
    /// Appends lines; `durably`: they are on the disk when this returns. If it fails,
    /// as many as it returns beside the error are written whole, and nothing else is.
    pub(super) fn append<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a [u8]>,
        durably: bool,
    ) -> Result<(), (usize, io::Error)> {
        for (written, line) in lines.enumerate() {
            self.append_one(line).map_err(|error| (written, error))?;
        }
        let flushed = match self {
            Self::Output => io::stdout().flush(),
            Self::File(file) if durably => file.sync(),
            Self::File(_) => Ok(()),
        };
        // What the disk may not have is told again: better twice than not at all.
        flushed.map_err(|error| (0, error))
    }

    fn append_one(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            _ if line.is_empty() => Ok(()),
            Self::Output => io::stdout().write_all(line),
            Self::File(file) => file.append(line),
        }
    }
}

/// A file that is put aside when it has grown: `audit.log` becomes `audit.log.1`,
/// that one `audit.log.2`, and so on; the oldest goes. Who moves it away themselves
/// needs to tell nobody: the next line makes a new one.
pub(super) struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    keep: usize,
    open: Option<Open>,
}

struct Open {
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Opens or makes the file, which only the hub's own user may read.
    pub(super) fn open(path: &Path, max_bytes: usize, keep: usize) -> io::Result<Self> {
        let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let open = Some(open(path)?);
        Ok(Self { path: path.to_owned(), max_bytes, keep, open })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let more = line.len() as u64;
        if self.opened()?.bytes + more > self.max_bytes && self.opened()?.bytes > 0 {
            self.put_aside()?;
        }
        let open = self.opened()?;
        let written = open.file.write_all(line);
        match written {
            Ok(()) => open.bytes += more,
            Err(_) => {
                // Half a line would spoil the next one; that the file shrinks is
                // no more sure than that it grows, so it is looked at anew then.
                let _ = open.file.set_len(open.bytes);
                self.open = None;
            }
        }
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// The file as it stands under its name.
    fn opened(&mut self) -> io::Result<&mut Open> {
        let present = match self.open.take() {
            Some(present) if present.is_at(&self.path) => present,
            other => {
                // What was written to the one that is let go of counts as written.
                if let Some(other) = other {
                    other.file.sync_data()?;
                }
                open(&self.path)?
            }
        };
        Ok(self.open.insert(present))
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.sync()?;
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))?;
        self.open = None;
        Ok(())
    }
}

impl Open {
    /// Whether this file is still the one of that name.
    fn is_at(&self, path: &Path) -> bool {
        let (Ok(here), Ok(there)) = (self.file.metadata(), std::fs::metadata(path)) else { return false };
        // Whoever cut it short has read it.
        same(&here, &there) && here.len() == self.bytes
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut bytes = file.metadata()?.len();
    if bytes > 0 {
        // A line that a crash has cut in half gets an end.
        let mut last = [0];
        file.seek(SeekFrom::Start(bytes - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            bytes += 1;
        }
    }
    Ok(Open { file, bytes })
}

#[cfg(unix)]
fn same(here: &Metadata, there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (here.dev(), here.ino()) == (there.dev(), there.ino())
}

/// Whether both are of one file: not known on this system, where an open file
/// cannot be moved away either.
#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn it_is_put_aside_when_it_has_grown_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = LogFile::open(&path, 10, 2).unwrap();
        for line in ["1111111\n", "2222222\n", "3333333\n", "4444444\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "4444444\n");
        assert_eq!(read(&folder.path().join("audit.log.1")), "3333333\n");
        assert_eq!(read(&folder.path().join("audit.log.2")), "2222222\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_was_moved_away_or_cut_short_is_noticed_and_half_a_line_gets_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "{\"half").unwrap();
        let mut file = LogFile::open(&path, 1_000, 2).unwrap();
        file.append(b"1\n").unwrap();
        assert_eq!(read(&path), "{\"half\n1\n");
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        file.append(b"2\n").unwrap();
        assert_eq!(read(&path), "2\n");
        File::create(&path).unwrap();
        file.append(b"3\n").unwrap();
        assert_eq!(read(&path), "3\n");
        std::fs::remove_file(&path).unwrap();
        file.append(b"4\n").unwrap();
        assert_eq!(read(&path), "4\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
