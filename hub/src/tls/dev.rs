//! Certificates for trying TLS out: a CA of the moment, whose key nobody keeps,
//! and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// How long a certificate is valid: long enough to work with, too short to be
/// forgotten somewhere that matters.
const VALID: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Clocks differ.
const SLACK: Duration = Duration::from_secs(3_600);

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for `{names}`: {error}")]
pub struct DevCertificateError {
    names: String,
    error: rcgen::Error,
}

/// A CA that signs for development.
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    validity: Range<SystemTime>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct DevCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its key, in PKCS#8.
    pub key: String,
}

impl DevCa {
    /// A CA whose certificates are valid for 30 days from `now` on.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn new(now: SystemTime) -> Result<Self, DevCertificateError> {
        Self::valid(now - SLACK..now + VALID)
    }

    /// The same, valid at other times.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn valid(validity: Range<SystemTime>) -> Result<Self, DevCertificateError> {
        // No two have one name: a client that trusts another one is to say just that,
        // not that a signature is wrong.
        let name = format!("confhub development CA {:08x}", fastrand::u32(..));
        let failed = |error| DevCertificateError { names: name.clone(), error };
        let mut params = params(&[], &name, &validity).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, validity })
    }

    /// Its own certificate, in PEM: what clients are to trust.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for a server with these names and addresses.
    ///
    /// # Errors
    /// If one of them cannot be in a certificate.
    pub fn server(&self, names: &[&str]) -> Result<DevCertificate, DevCertificateError> {
        self.sign(names, "confhub development hub", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Signs a certificate for a client.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn client(&self) -> Result<DevCertificate, DevCertificateError> {
        self.sign(&[], "confhub development client", ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        names: &[&str],
        subject: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<DevCertificate, DevCertificateError> {
        let failed = |error| DevCertificateError { names: names.join(", "), error };
        let mut params = params(names, subject, &self.validity).map_err(failed)?;
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(DevCertificate { certificate, key: key.serialize_pem() })
    }
}

fn params(
    names: &[&str],
    subject: &str,
    validity: &Range<SystemTime>,
) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = validity.start.into();
    params.not_after = validity.end.into();
    Ok(params)
}

/// A key shows itself to nobody.
impl fmt::Debug for DevCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCertificate").finish_non_exhaustive()
    }
}
