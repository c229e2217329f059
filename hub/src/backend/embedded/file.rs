//! The file: opened once, checked, and opened again after the disk failed.

use super::tables::{self, Snapshot};
use super::{damaged, unavailable};
use crate::backend::BackendError;
use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, StorageError, WriteTransaction};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Name of the file in the data folder.
const FILE_NAME: &str = "confhub.redb";

/// Memory that redb may use for pages, in bytes: a few thousand tenants' worth.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the store in a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or written.
    #[error("the data folder `{}` cannot be used: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data folder `{}` is in use by another hub: stop that one, or give this one a folder of its own",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Another version of the hub wrote it.
    #[error(
        "`{}` has format {}; this version of confhub reads {}: use the version that wrote it",
        file.display(), found.map_or_else(|| "unknown".to_owned(), |found| found.to_string()), tables::FORMAT
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: Option<u64>,
    },
    /// What is in the file is not what a hub wrote.
    #[error(
        "`{}` is damaged or was not written by confhub ({reason}): restore it from a backup, or move it away to start empty",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// An open file.
///
/// After a failed read or write of the disk redb takes no write and reads only
/// what it has in memory, until it is opened again. That happens here before the
/// next write, or when a read needs the disk: a disk that stays full is no reason
/// to open the file again and again.
pub(super) struct File {
    path: PathBuf,
    opened: RwLock<Option<Opened>>,
    /// The last opening that redb has given up on.
    failed: AtomicU64,
    closed: AtomicBool,
}

struct Opened {
    database: Database,
    /// Counts the openings, from 1.
    number: u64,
}

impl File {
    pub(super) fn open(folder: &Path) -> Result<Self, OpenError> {
        let in_folder = |source| OpenError::Folder { folder: folder.to_owned(), source };
        make_folder(folder).map_err(in_folder)?;
        let path = folder.join(FILE_NAME);
        let database = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(folder, &path)?,
            Err(error) => return Err(in_folder(error)),
            Ok(found) if found.len() == 0 => {
                return Err(OpenError::Damaged { file: path, reason: "it is empty".to_owned() });
            }
            Ok(_) => open_existing(folder, &path, true)?,
        };
        let opened = RwLock::new(Some(Opened { database, number: 1 }));
        Ok(Self { path, opened, failed: AtomicU64::new(0), closed: AtomicBool::new(false) })
    }

    /// Reads from a snapshot.
    pub(super) fn read<T>(
        &self,
        read: impl Fn(&Snapshot) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let read = |database: &Database| {
            let transaction = database.begin_read().map_err(unavailable)?;
            read(&Snapshot::new(&transaction)?)
        };
        match self.with(read) {
            Err(BackendError::Unavailable { .. }) => {
                self.revive()?;
                self.with(read)
            }
            done => done,
        }
    }

    /// Writes in one transaction, which is on the disk when this returns.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.revive()?;
        self.with(|database| {
            let transaction = database.begin_write().map_err(unavailable)?;
            let written = write(&transaction)?;
            transaction.commit().map_err(unavailable)?;
            Ok(written)
        })
    }

    /// Waits for the reads and writes under way and gives the file up for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Uses the file as it was opened last, and takes note if the disk fails.
    fn with<T>(&self, using: impl FnOnce(&Database) -> Result<T, BackendError>) -> Result<T, BackendError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        let done = using(&opened.database);
        if matches!(done, Err(BackendError::Unavailable { .. })) {
            self.failed.fetch_max(opened.number, Ordering::SeqCst);
        }
        done
    }

    /// Opens the file again if redb has given up on it.
    fn revive(&self) -> Result<(), BackendError> {
        let failed = || self.failed.load(Ordering::SeqCst);
        let alive = |opened: &Option<Opened>| opened.as_ref().is_some_and(|opened| opened.number > failed());
        if alive(&self.opened.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if alive(&opened) {
            return Ok(());
        }
        if self.closed.load(Ordering::SeqCst) {
            return Err(unavailable("it is closed"));
        }
        // The old one holds the lock on the file until it is dropped.
        *opened = None;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let database = open_existing(folder, &self.path, false).map_err(unavailable)?;
        *opened = Some(Opened { database, number: failed() + 1 });
        tracing::warn!(file = %self.path.display(), "opened the store again after the disk had failed");
        Ok(())
    }
}

/// Only the hub's own user may look: the folder holds keys and secrets.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(folder)
}

/// Makes the file under a name of its own first, so that a crash in between
/// leaves nothing in its place, and then gives it its name unless another hub
/// was faster. Only the hub's own user may read it.
fn create(folder: &Path, path: &Path) -> Result<Database, OpenError> {
    let in_folder = |source| OpenError::Folder { folder: folder.to_owned(), source };
    let unfinished = tempfile::NamedTempFile::new_in(folder).map_err(in_folder)?;
    let made = builder().create(unfinished.path());
    let database = made.map_err(|error| open_error(folder, unfinished.path(), error))?;
    tables::create(&database).map_err(|error| in_folder(io::Error::other(error)))?;
    match unfinished.persist_noclobber(path) {
        Ok(_) => {}
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(OpenError::InUse { folder: folder.to_owned() });
        }
        Err(failed) => return Err(in_folder(failed.error)),
    }
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_folder)?;
    Ok(database)
}

/// Opens the file; `every_page`: verifies all of it first.
fn open_existing(folder: &Path, path: &Path, every_page: bool) -> Result<Database, OpenError> {
    // A file may be bent in ways that redb answers with a panic.
    let opened = std::panic::catch_unwind(|| {
        let database = builder().set_check_integrity_on_open(every_page).open(path);
        database.map_err(|error| open_error(folder, path, error))
    });
    let damaged = |reason: String| OpenError::Damaged { file: path.to_owned(), reason };
    let database = opened.unwrap_or_else(|_| Err(damaged("its structure is broken".to_owned())))?;
    match tables::format(&database) {
        Ok(Some(tables::FORMAT)) => Ok(database),
        Ok(found) => Err(OpenError::Format { file: path.to_owned(), found }),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn open_error(folder: &Path, file: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { folder: folder.to_owned() },
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != io::ErrorKind::InvalidData
                && source.kind() != io::ErrorKind::UnexpectedEof =>
        {
            OpenError::Folder { folder: folder.to_owned(), source }
        }
        error => OpenError::Damaged { file: file.to_owned(), reason: damaged(error).to_string() },
    }
}
