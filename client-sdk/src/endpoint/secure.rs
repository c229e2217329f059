//! TLS over a connection that has been dialed.

use super::dialer::Io;
use super::tls::{Material, Tls};
use crate::{ConfigError, limits};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncBufReadExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore, SignatureScheme};

const HTTP2: &[u8] = b"h2";

/// What handshakes verify and show.
#[derive(Clone)]
pub(super) struct Secured {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secured {
    /// For hubs whose certificates are for `host`.
    ///
    /// # Errors
    /// Which certificate, key or name cannot be used.
    pub(super) fn new(tls: &Tls, host: &str, material: &Material) -> Result<Self, ConfigError> {
        let refuse = |what: String, reason: String| ConfigError::Tls { what, reason };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        // 1.2 and 1.3.
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse("TLS".to_owned(), format!("cannot be set up: {error}")))?;
        let builder = builder.with_root_certificates(roots(tls, material)?);
        let mut config = match (&tls.identity, &material.identity) {
            (Some((pem, key_pem)), Some((certificate, key))) => {
                let chain = certificates(&pem.named("client certificate"), certificate)?;
                let named = key_pem.named("key of the client certificate");
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                    let reason = "is none: expected is PEM, with a key that is not encrypted";
                    refuse(named.clone(), reason.to_owned())
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        refuse(named, "is the key of another certificate".to_owned())
                    }
                    error => refuse(named, format!("cannot be used: {error}")),
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        let name = tls.server_name.as_deref().unwrap_or(host);
        let parsed = ServerName::try_from(name.to_owned());
        let name = parsed
            .map_err(|error| refuse(format!("the server name `{name}`"), format!("is none: {error}")))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The same for a server that is no hub and speaks HTTP/1.1.
    #[cfg(feature = "oauth2")]
    pub(super) fn for_http1(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"http/1.1".to_vec()];
        self
    }

    /// Connects to such a server.
    ///
    /// # Errors
    /// If either end refuses the other.
    #[cfg(feature = "oauth2")]
    pub(super) async fn connect(&self, io: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), io).await?;
        Ok(Box::new(stream))
    }

    /// Verifies who is there, and shows who is here.
    ///
    /// In TLS 1.3 a server says last what it thinks of a client's certificate, after
    /// the client has ended its part. A hub speaks first, so where one has asked for a
    /// certificate its first bytes are waited for: else the reason would get lost in
    /// a connection that breaks.
    ///
    /// # Errors
    /// If either end refuses the other.
    pub(super) async fn handshake(&self, io: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let mut config = ClientConfig::clone(&self.config);
        let asked = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&config.client_auth_cert_resolver);
        config.client_auth_cert_resolver = Arc::new(Asked { inner, asked: Arc::clone(&asked) });
        let mut stream = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), io).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other(
                "what answers there speaks TLS, but no HTTP/2: is it a hub's gRPC port?",
            ));
        }
        if asked.load(Ordering::Relaxed) {
            // One that speaks second is no hub; it may be in front of one.
            match timeout(limits::VERDICT_TIMEOUT, stream.fill_buf()).await {
                Ok(Ok([])) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) | Err(_) => {}
            }
        }
        Ok(Box::new(stream))
    }
}

/// Notes whether a certificate was asked for.
#[derive(Debug)]
struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

fn roots(tls: &Tls, material: &Material) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let (Some(pem), Some(text)) = (&tls.ca, &material.ca) else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let what = "the system's roots".to_owned();
            let reason = "are not there; name the CA of the hubs with `ca_file`".to_owned();
            return Err(ConfigError::Tls { what, reason });
        }
        return Ok(roots);
    };
    let what = pem.named("CA");
    for certificate in certificates(&what, text)? {
        roots.add(certificate).map_err(|error| {
            let what = what.clone();
            ConfigError::Tls { what, reason: format!("holds a certificate that cannot be used: {error}") }
        })?;
    }
    Ok(roots)
}

/// Without one, nobody would ever be trusted, and nothing would say why.
fn certificates(what: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let refuse = |reason| Err(ConfigError::Tls { what: what.to_owned(), reason });
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            refuse("holds no certificate: expected is PEM (BEGIN CERTIFICATE)".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => refuse(format!("is no PEM: {error}")),
    }
}
