//! What is made once and used again: the folder, and how things come into it.
//!
//! Each thing has a name that says what it was made from, is made beside its
//! place, and moves there when it is whole. So a run that is killed leaves
//! nothing that another takes for whole, and versions of this program share the
//! folder.

use crate::cli::error::CliError;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The scripts, as they lie in `infra/`: their path, and what is in them.
const SCRIPTS: [(&str, &str); 5] = [
    ("stack.yaml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/stack.yaml"))),
    ("local/emulator.py", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/local/emulator.py"))),
    ("local/patches.py", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/local/patches.py"))),
    ("local/stack.py", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/local/stack.py"))),
    ("local/user.py", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/local/user.py"))),
];

/// Characters of a hash that a name has: 64 bits tell a handful of versions apart.
const HASH_CHARS: usize = 16;

/// Time between two looks at a lock that somebody else holds.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder that the caller names, or the one that is usual here.
    ///
    /// # Errors
    /// If there is none that is usual, or it cannot be made.
    pub(super) fn open(
        named: Option<&Path>,
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, CliError> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => usual(variable).ok_or_else(|| {
                let reason = "neither XDG_CACHE_HOME nor HOME names a folder: name one with --cache";
                CliError::Usage(reason.to_owned())
            })?,
        };
        std::fs::create_dir_all(&folder).map_err(CliError::file("make", &folder))?;
        // Scripts are run from elsewhere.
        let folder = std::path::absolute(&folder).map_err(CliError::file("find", &folder))?;
        Ok(Self { folder })
    }

    /// The place of what is called `name`, which may not be there.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder beside the places, to make something in.
    pub(super) fn beside(&self) -> Result<TempDir, CliError> {
        let made = tempfile::Builder::new().prefix(".making-").tempdir_in(&self.folder);
        made.map_err(CliError::file("write", &self.folder))
    }

    /// Moves what is whole to its place.
    pub(super) fn keep(&self, made: TempDir, name: &str) -> Result<PathBuf, CliError> {
        let place = self.place(name);
        let made = made.keep();
        match std::fs::rename(&made, &place) {
            Ok(()) => Ok(place),
            Err(error) => {
                // Whatever is wrong, half of it is of no use to anybody.
                let _ = std::fs::remove_dir_all(&made);
                // Somebody else was faster, and has made the same.
                if place.is_dir() { Ok(place) } else { Err(CliError::file("write", &place)(error)) }
            }
        }
    }

    /// Waits until nobody else makes what is called `name`. The lock goes with the
    /// file, and with the process.
    pub(super) async fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<File, CliError> {
        let path = self.folder.join(format!("{name}.lock"));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(CliError::file("write", &path))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    tokio::time::sleep(LOCK_EVERY).await;
                }
                Err(TryLockError::Error(error)) => return Err(CliError::file("lock", &path)(error)),
            }
        }
    }

    /// The folder with the scripts and the stack: `local/…` and `stack.yaml`, as
    /// they lie beside each other in `infra/`.
    pub(super) fn scripts(&self) -> Result<PathBuf, CliError> {
        let parts = SCRIPTS.iter().flat_map(|(path, text)| [*path, *text]);
        let name = format!("aws-scripts-{}", hash(parts));
        let place = self.place(&name);
        if place.is_dir() {
            return Ok(place);
        }
        let made = self.beside()?;
        for (path, text) in SCRIPTS {
            let path = made.path().join(path);
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).map_err(CliError::file("make", folder))?;
            std::fs::write(&path, text).map_err(CliError::file("write", &path))?;
        }
        self.keep(made, &name)
    }
}

/// Names what was made from these parts.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(HASH_CHARS).collect()
}

/// <https://specifications.freedesktop.org/basedir-spec/latest/>: a path that does
/// not begin at the root counts for nothing.
fn usual(variable: impl Fn(&'static str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(caches.join("confhub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_usual_folder_is_where_the_system_has_caches() {
        let given = |xdg: &'static str, home: &'static str| {
            usual(move |name| Some(if name == "HOME" { home.into() } else { xdg.into() }))
        };
        assert_eq!(given("/c", "/h"), Some("/c/confhub".into()));
        assert_eq!(given("relative", "/h"), Some("/h/.cache/confhub".into()));
        assert_eq!(given("", ""), None);
        let error = Cache::open(None, none).unwrap_err();
        assert!(error.to_string().contains("--cache"), "{error}");
    }

    #[test]
    fn scripts_are_made_once_and_lie_as_in_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path()), none).unwrap();
        let scripts = cache.scripts().unwrap();
        for (path, text) in SCRIPTS {
            assert_eq!(std::fs::read_to_string(scripts.join(path)).unwrap(), text, "{path}");
        }
        assert_eq!(cache.scripts().unwrap(), scripts);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something else was left behind");
    }

    #[test]
    fn who_is_second_takes_what_the_first_has_made() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path()), none).unwrap();
        let (one, other) = (cache.beside().unwrap(), cache.beside().unwrap());
        for (made, text) in [(&one, "one"), (&other, "other")] {
            std::fs::write(made.path().join("file"), text).unwrap();
        }
        let (one, other) = (cache.keep(one, "thing").unwrap(), cache.keep(other, "thing").unwrap());
        assert_eq!(one, other);
        assert_eq!(std::fs::read_to_string(one.join("file")).unwrap(), "one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something else was left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn one_makes_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path()), none).unwrap();
        let held = cache.lock("thing", || panic!("nobody holds it")).await.unwrap();
        let mut waits = false;
        let late = cache.lock("thing", || waits = true);
        assert!(tokio::time::timeout(Duration::from_secs(1), late).await.is_err());
        assert!(waits);
        drop(held);
        cache.lock("thing", || panic!("nobody holds it")).await.unwrap();
    }

    #[test]
    fn a_name_says_what_a_thing_was_made_from() {
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_eq!(hash(["a"]).len(), HASH_CHARS);
    }
}
