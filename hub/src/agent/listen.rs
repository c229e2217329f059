//! Where the agent listens: on this machine alone, unless somebody insists.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the file system, for the user that the agent runs as.
    Unix(PathBuf),
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The network could read the flags.
    #[error(
        "`{0}` is not on this machine alone, and the agent asks nobody who they are: listen on 127.0.0.1 or \
         unix:/a/path, or say --allow-others if something else keeps others away"
    )]
    Others(SocketAddr),
    /// Somebody has it already.
    #[error("something answers at the socket {} already: stop it, or choose another path", .0.display())]
    Taken(PathBuf),
    /// There is something else.
    #[error("{} is there and is no socket: choose another path, or remove it", .0.display())]
    NoSocket(PathBuf),
    /// The system says no.
    #[error("cannot listen at {place}: {error}")]
    Io {
        /// Where.
        place: Listen,
        /// Why not.
        error: io::Error,
    },
}

/// One who listens, and whose socket is removed with it.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A connection.
pub(super) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after `unix:`".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "expected an address and a port, such as 127.0.0.1:8015, or unix:/a/path".to_owned()
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Listens; `others`: on any address.
    ///
    /// # Errors
    /// If the place cannot be had, or is not on this machine alone.
    pub(crate) async fn open(&self, others: bool) -> Result<Listener, ListenError> {
        let io = |error| ListenError::Io { place: self.clone(), error };
        match self {
            Self::Tcp(address) if !address.ip().is_loopback() && !others => {
                Err(ListenError::Others(*address))
            }
            Self::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp).map_err(io),
            Self::Unix(path) => {
                make_room(path).await?;
                let listener = private(path).map_err(io)?;
                Ok(Listener::Unix(listener, path.clone()))
            }
        }
    }
}

/// Makes sure that nothing is lost with what stands at `path`.
async fn make_room(path: &Path) -> Result<(), ListenError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(ListenError::NoSocket(path.to_owned()));
    }
    // One that nobody listens at was left by an agent that could not remove it.
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::Taken(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// A socket that was never open to other users: it is made in a folder that is closed to
/// them, and moved to its place when its own mode is set.
fn private(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = parent.join(format!(".confhub-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let made = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    if made.is_err() {
        let _ = fs::remove_file(&inside);
    }
    fs::remove_dir(&folder)?;
    made
}

impl Listener {
    /// Where it listens: the port that it got, if any was asked for.
    pub(crate) fn place(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }

    pub(super) async fn accept(&mut self) -> io::Result<Io> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Io::Tcp(stream))
            }
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Io::Unix(stream)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already; then nothing is left to do.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_path() {
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen::Tcp(([127, 0, 0, 1], 0).into())));
        assert_eq!("unix:/a b".parse(), Ok(Listen::Unix("/a b".into())));
        for bad in ["", "unix:", "8015", "localhost:8015", "127.0.0.1"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_takes_the_place_of_nothing_that_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = Listen::Unix(folder.path().join("s"));
        let Listen::Unix(path) = &place else { unreachable!() };
        let listener = place.open(false).await.unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(place.open(false).await, Err(ListenError::Taken(_))));
        drop(listener);
        assert!(!path.exists());
        // As one is left by an agent that was killed.
        drop(UnixListener::bind(path).unwrap());
        assert!(path.exists() && place.open(false).await.is_ok());
        fs::write(path, "text").unwrap();
        assert!(matches!(place.open(false).await, Err(ListenError::NoSocket(_))));
        assert_eq!(fs::read(path).unwrap(), b"text");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn others_are_let_in_only_if_somebody_says_so() {
        let any: Listen = "0.0.0.0:0".parse().unwrap();
        let refused = any.open(false).await.err().unwrap().to_string();
        assert!(refused.contains("--allow-others"), "{refused}");
        assert!(any.open(true).await.is_ok());
    }
}
