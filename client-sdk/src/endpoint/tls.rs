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
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
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

    /// An endpoint that verifies and shows all of it.
    #[cfg(feature = "tls")]
    pub(super) fn secure(
        &self,
        endpoint: tonic::transport::Endpoint,
        host: &str,
        material: &Material,
    ) -> Result<tonic::transport::Endpoint, ConfigError> {
        use tonic::transport::{Certificate, ClientTlsConfig, Identity};
        let mut config = match (&self.ca, &material.ca) {
            (Some(pem), Some(text)) => {
                pem.check_certificates("CA", text)?;
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(text))
            }
            _ => ClientTlsConfig::new().with_enabled_roots(),
        };
        let mut wrong = ("the system's roots".to_owned(), "cannot be used");
        if let (Some((pem, key)), Some((certificate, secret))) = (&self.identity, &material.identity) {
            pem.check_certificates("client certificate", certificate)?;
            wrong =
                (key.named("key of the client certificate"), "cannot be used, or is another certificate's");
            config = config.identity(Identity::from_pem(certificate, secret));
        } else if let Some(pem) = &self.ca {
            wrong.0 = pem.named("CA");
        }
        if let Some(name) = &self.server_name {
            wrong = (format!("the server name `{name}`"), "cannot be verified");
        }
        let config = config.domain_name(self.server_name.as_deref().unwrap_or(host));
        endpoint.tls_config(config).map_err(|error| ConfigError::Tls {
            what: wrong.0,
            reason: format!("{}: {}", wrong.1, super::chain(&error)),
        })
    }

    /// Never reached: without the feature no endpoint asks for TLS.
    #[cfg(not(feature = "tls"))]
    pub(super) fn secure(
        &self,
        endpoint: tonic::transport::Endpoint,
        _: &str,
        _: &Material,
    ) -> Result<tonic::transport::Endpoint, ConfigError> {
        Ok(endpoint)
    }
}

impl Pem {
    fn named(&self, what: &str) -> String {
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

    /// Without one, nobody would ever be trusted, and nothing would say why.
    #[cfg(feature = "tls")]
    fn check_certificates(&self, what: &str, text: &[u8]) -> Result<(), ConfigError> {
        use rustls_pki_types::CertificateDer;
        use rustls_pki_types::pem::PemObject as _;
        let refuse = |reason| Err(ConfigError::Tls { what: self.named(what), reason });
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        match found {
            Ok(found) if found.is_empty() => {
                refuse("holds no certificate: expected is PEM (BEGIN CERTIFICATE)".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => refuse(format!("is no PEM: {error}")),
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

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    fn refused(tls: &Tls) -> String {
        let endpoint = tonic::transport::Endpoint::from_static("https://hub");
        let secured = tls.read().and_then(|material| tls.secure(endpoint, "hub", &material));
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
