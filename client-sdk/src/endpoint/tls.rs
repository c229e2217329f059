//! What `https://` endpoints are verified against, and what the client shows of
//! itself.

use crate::{ConfigError, limits};
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

/// What the program has said.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// In place of the system's roots.
    pub(crate) ca: Option<Pem>,
    /// The client's certificate and its key.
    pub(crate) identity: Option<(Pem, Pem)>,
    /// The name in the hub's certificate, if it is not the endpoint's.
    pub(crate) server_name: Option<String>,
}

/// PEM, or where it is.
#[derive(Clone)]
pub(crate) enum Pem {
    /// Read anew for each connection.
    File(PathBuf),
    Text(Arc<[u8]>),
}

/// What all of it holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Material {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Whether it may hold something else tomorrow.
    pub(super) fn changes(&self) -> bool {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(identity).any(|pem| matches!(pem, Pem::File(_)))
    }

    /// Reads all of it. Blocks for as long as a disk does.
    pub(super) fn read(&self) -> Result<Material, ConfigError> {
        let ca = self.ca.as_ref().map(|pem| pem.read("CA")).transpose()?;
        let identity = match &self.identity {
            Some((certificate, key)) => {
                Some((certificate.read("client certificate")?, key.read("key of the client certificate")?))
            }
            None => None,
        };
        Ok(Material { ca, identity })
    }
}

impl Pem {
    pub(super) fn named(&self, what: &str) -> String {
        match self {
            Self::File(path) => format!("the {what} in `{}`", path.display()),
            Self::Text(_) => format!("the {what}"),
        }
    }

    fn read(&self, what: &str) -> Result<Vec<u8>, ConfigError> {
        let refuse = |reason| Err(ConfigError::Tls { what: self.named(what), reason });
        let mut text = Vec::new();
        match self {
            Self::File(path) => {
                let file = std::fs::File::open(path);
                if let Err(error) =
                    file.and_then(|file| file.take(limits::PEM_BYTES + 1).read_to_end(&mut text))
                {
                    return refuse(format!("cannot be read: {error}"));
                }
            }
            Self::Text(given) => text.extend_from_slice(given),
        }
        match text.len() as u64 > limits::PEM_BYTES {
            true => refuse(format!("has more than {} bytes: is it the right one?", limits::PEM_BYTES)),
            false => Ok(text),
        }
    }
}

/// A key shows itself to nobody.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Text(text) => write!(f, "({} bytes)", text.len()),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish()
    }
}

#[cfg(feature = "tls")]
#[cfg(test)]
mod tests {
    use super::super::secure::Secured;
    use super::*;

    fn refused(tls: &Tls) -> String {
        let secured = tls.read().and_then(|material| Secured::new(tls, "hub", &material));
        secured.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_certificate_is_named_at_once() {
        let text = |text: &str| Pem::Text(text.as_bytes().into());
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no.pem");
        let ca = |pem| Tls { ca: Some(pem), ..Tls::default() };
        for (tls, part) in [
            (ca(Pem::File(missing.clone())), missing.to_str().unwrap()),
            (ca(Pem::File(folder.path().to_owned())), "cannot be read"),
            (ca(text("")), "holds no certificate"),
            (ca(text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")), "is no PEM"),
            (ca(text(&"x".repeat(2 * 1024 * 1024))), "more than"),
            (Tls { identity: Some((text(""), text("hunter2"))), ..Tls::default() }, "client certificate"),
        ] {
            let error = refused(&tls);
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
            assert!(!format!("{tls:?}").contains("hunter2"));
        }
    }
}
