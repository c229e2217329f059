//! From files to what connections are opened with.

use super::TlsError;
use crate::config::{ClientCertificates, TlsSettings};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig};

/// Largest file, in bytes: a bundle of all public CAs has a quarter of it.
const FILE_BYTES: u64 = 1024 * 1024;

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client-ca";

/// The files of one hub.
#[derive(Debug, Clone)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_certificates: ClientCertificates,
}

/// What they hold, as it was read.
pub(super) struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What connections are opened with.
pub(super) struct Pair {
    pub(super) grpc: Arc<ServerConfig>,
    pub(super) http: Arc<ServerConfig>,
    /// When the certificate expires, in seconds since the Unix epoch.
    pub(super) expiry: u64,
}

impl Files {
    /// `None`: there is to be no TLS.
    ///
    /// # Errors
    /// If only a part of what TLS needs is set.
    pub(super) fn of(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        let incomplete = |present, missing| Err(TlsError::Incomplete { present, missing });
        match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: settings.client_ca.clone(),
                client_certificates: settings.client_certificates,
            })),
            (Some(_), None) => incomplete(CERTIFICATE, KEY),
            (None, Some(_)) => incomplete(KEY, CERTIFICATE),
            (None, None) if settings.client_ca.is_some() => incomplete(CLIENT_CA, CERTIFICATE),
            (None, None) => Ok(None),
        }
    }

    /// Reads all of them, on a thread that may wait for a disk.
    pub(super) async fn read(&self) -> Result<Content, TlsError> {
        let files = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            Ok(Content {
                certificate: read(CERTIFICATE, &files.certificate)?,
                key: read(KEY, &files.key)?,
                client_ca: files.client_ca.as_deref().map(|path| read(CLIENT_CA, path)).transpose()?,
            })
        });
        read.await.unwrap_or_else(|error| {
            let (path, error) = (self.certificate.clone(), io::Error::other(error));
            Err(TlsError::File { setting: CERTIFICATE, path, error })
        })
    }

    /// Makes of it what connections are opened with.
    ///
    /// # Errors
    /// If it is not whole, does not belong together, or is not valid now.
    pub(super) fn pair(&self, content: &Content, now: SystemTime) -> Result<Pair, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(CERTIFICATE, &self.certificate, &content.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|_| {
            let problem = "holds no private key: expected is PEM, with a key that is not encrypted";
            wrong(KEY, &self.key, problem)
        })?;
        let expiry = self.check(&chain, now, &provider)?;
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let certificate = self.certificate.display();
                wrong(KEY, &self.key, format!("is not the key of the certificate in `{certificate}`"))
            }
            error => wrong(KEY, &self.key, format!("cannot be used: {error}")),
        })?;
        let key = Arc::new(key);
        let verifier = self.verifier(content, &provider)?;
        let config = |verifier, resolver, protocol: &[u8]| {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
            // 1.2 and 1.3.
            let builder = builder
                .with_safe_default_protocol_versions()
                .map_err(|error| self.unusable(&error.to_string()))?;
            let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Pair {
            grpc: config(verifier, Arc::new(ForHttp2(Arc::clone(&key))), b"h2")?,
            // Probes have no certificate.
            http: config(WebPkiClientVerifier::no_client_auth(), Arc::new(ForAll(key)), b"http/1.1")?,
            expiry,
        })
    }

    /// When the certificate expires, if it is valid now.
    ///
    /// The verifier asks for the dates before it asks who has signed, and says
    /// which date a time is beyond: asked without any CA, it only reads them.
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<u64, TlsError> {
        let refuse = |problem: String| Err(wrong(CERTIFICATE, &self.certificate, problem));
        let parsed = match chain.first().map(ParsedCertificate::try_from) {
            Some(Ok(parsed)) => parsed,
            Some(Err(error)) => return refuse(format!("holds no certificate that can be used: {error}")),
            None => return refuse("holds no certificate".to_owned()),
        };
        let algorithms = provider.signature_verification_algorithms.all;
        let ask = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let empty = RootCertStore::empty();
            verify_server_cert_signed_by_trust_anchor(&parsed, &empty, &[], time, algorithms)
        };
        match ask(seconds(now)) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                return refuse(format!("holds a certificate that expired at {}", date(not_after.as_secs())));
            }
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                let from = date(not_before.as_secs());
                return refuse(format!("holds a certificate that is valid from {from} on, not yet"));
            }
            Err(Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })) => {
                return refuse("holds a certificate that is not for servers (extended key usage)".to_owned());
            }
            _ => {}
        }
        match ask(u64::MAX) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                Ok(not_after.as_secs())
            }
            _ => refuse("holds a certificate whose dates make no sense".to_owned()),
        }
    }

    /// Who may connect to the gRPC port.
    fn verifier(
        &self,
        content: &Content,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (Some(path), Some(pem)) = (&self.client_ca, &content.client_ca) else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let roots = roots_of(CLIENT_CA, path, pem)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_certificates {
            ClientCertificates::Required => builder,
            ClientCertificates::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| wrong(CLIENT_CA, path, format!("cannot be used: {error}")))
    }

    fn unusable(&self, reason: &str) -> TlsError {
        TlsError::Unusable { path: self.certificate.clone(), reason: reason.to_owned() }
    }
}

impl Content {
    /// Tells one content from another without keeping it: a key is in it.
    pub(super) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map_or(&[][..], Vec::as_slice);
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }
}

/// The certificate for whoever asks.
#[derive(Debug)]
struct ForAll(Arc<CertifiedKey>);

impl ResolvesServerCert for ForAll {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The certificate for whoever says which protocol it means to speak, as HTTP/2
/// over TLS must (RFC 9113, 3.2). Other protocols than h2 are refused by ALPN itself.
#[derive(Debug)]
struct ForHttp2(Arc<CertifiedKey>);

impl ResolvesServerCert for ForHttp2 {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.alpn().map(|_| Arc::clone(&self.0))
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > FILE_BYTES => {
            Err(wrong(setting, path, format!("has more than {FILE_BYTES} bytes: is it the right file?")))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(TlsError::File { setting, path: path.to_owned(), error }),
    }
}

fn certificates(
    setting: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| wrong(setting, path, format!("is no PEM: {error}")))?;
    match found.is_empty() {
        true => Err(wrong(setting, path, "holds no certificate: expected is PEM (BEGIN CERTIFICATE)")),
        false => Ok(found),
    }
}

/// The CAs of a file, for whoever is a client.
///
/// # Errors
/// If it cannot be read, or holds none that can be used.
pub(crate) fn roots(setting: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    roots_of(setting, path, &read(setting, path)?)
}

fn roots_of(setting: &'static str, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path, pem)? {
        roots.add(certificate).map_err(|error| {
            wrong(setting, path, format!("holds a certificate that cannot be used: {error}"))
        })?;
    }
    Ok(roots)
}

fn wrong(setting: &'static str, path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Content { setting, path: path.to_owned(), problem: problem.into() }
}

/// Seconds since the Unix epoch.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A time for people.
pub(super) fn date(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) {
        Some(time) => prost_types::Timestamp::from(time).to_string(),
        None => format!("second {seconds} since 1970"),
    }
}
