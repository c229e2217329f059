//! Secrets in the file are sealed: AES-256-GCM, with a key in a file beside it.
//!
//! So nothing of a secret is in the store's pages, in the memory that caches them,
//! or in a copy of the file alone. Whoever has the folder has the key too: protect
//! the folder. A value is bound to its place (tenant, service, key), so that a record
//! that somebody moves to another place cannot be revealed there.

use super::record::service_text;
use super::{KIND, damaged};
use crate::backend::BackendError;
use crate::key_file;
use crate::source::Address;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use bytes::Bytes;
use confhub_proto::TenantId;
use std::io;
use std::path::Path;

/// The key file's name in the data folder.
const FILE: &str = "secrets.key";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What a sealed value has more than the value: the nonce and the tag.
pub(super) const OVERHEAD_BYTES: usize = NONCE_LEN + 16;

/// Seals and opens the values of secrets.
pub(super) struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// With the key of a data folder, which is made first if there is none.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        if !path.try_exists()? {
            let mut key = zeroize::Zeroizing::new([0; KEY_BYTES]);
            rand::fill(&mut *key).map_err(|_| io::Error::other("the system gives no randomness"))?;
            key_file::create(&path, &*key)?;
        }
        // Another process may have been faster: what is in the file counts.
        let key = zeroize::Zeroizing::new(std::fs::read(&path)?);
        if key_file::is_exposed(&path).unwrap_or(false) {
            tracing::warn!(path = %path.display(), "others can read the key of the secrets: chmod 600");
        }
        let wrong = || io::Error::other(format!("`{}` holds no key of {KEY_BYTES} bytes", path.display()));
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Self).map_err(|_| wrong())
    }

    /// Seals the value of the secret at an address.
    pub(super) fn seal(
        &self,
        tenant: &TenantId,
        address: &Address,
        value: &[u8],
    ) -> Result<Bytes, BackendError> {
        let mut sealed = value.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place(tenant, address)), &mut sealed);
        let nonce = nonce.map_err(|_| super::unavailable("a secret could not be sealed"))?;
        sealed.splice(0..0, nonce.as_ref().iter().copied());
        Ok(sealed.into())
    }

    /// Opens what [`Sealer::seal`] made.
    pub(super) fn unseal(
        &self,
        tenant: &TenantId,
        address: &Address,
        sealed: &[u8],
    ) -> Result<Bytes, BackendError> {
        let wrong = || {
            damaged(format!(
                "the secret {address} was not sealed with the key in `{FILE}` of the data folder of {KIND}, or not \
                 for this place"
            ))
        };
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut value = rest.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(place(tenant, address)), &mut value);
        let bytes = opened.map_err(|_| wrong())?.len();
        value.truncate(bytes);
        // Whoever lets go of it last wipes it.
        Ok(Bytes::from_owner(zeroize::Zeroizing::new(value)))
    }
}

/// What a value is bound to. Names have no NUL.
fn place(tenant: &TenantId, address: &Address) -> Vec<u8> {
    [tenant.as_str(), service_text(address), address.key.as_str()].join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::{Key, ServiceName};

    fn at(service: Option<&str>, key: &str) -> Address {
        let service = service.map(|name| ServiceName::new(name).unwrap());
        Address { service, key: Key::new(key).unwrap() }
    }

    #[test]
    fn a_value_opens_with_its_key_and_at_its_place_alone() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealer = Sealer::open(folder.path()).unwrap();
        let (acme, globex) = (TenantId::new("acme").unwrap(), TenantId::new("globex").unwrap());
        let here = at(None, "k");
        for value in [&b""[..], b"hunter2", &[7; 70_000]] {
            let sealed = sealer.seal(&acme, &here, value).unwrap();
            assert_eq!(sealed.len(), value.len() + OVERHEAD_BYTES);
            assert!(value.is_empty() || !sealed.windows(value.len()).any(|part| part == value));
            assert_eq!(sealer.unseal(&acme, &here, &sealed).unwrap(), value);
            // The same key, read from its file again.
            assert_eq!(Sealer::open(folder.path()).unwrap().unseal(&acme, &here, &sealed).unwrap(), value);
            assert_ne!(sealer.seal(&acme, &here, value).unwrap(), sealed, "a nonce is never used twice");
            for (tenant, address) in
                [(&globex, &here), (&acme, &at(Some("k"), "k")), (&acme, &at(None, "kk"))]
            {
                assert!(sealer.unseal(tenant, address, &sealed).is_err());
            }
            assert!(Sealer::open(other.path()).unwrap().unseal(&acme, &here, &sealed).is_err());
            for cut in [0, 5, sealed.len() - 1] {
                assert!(sealer.unseal(&acme, &here, &sealed[..cut]).is_err());
            }
        }
    }

    #[test]
    fn a_key_file_that_is_none_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "short").unwrap();
        let error = Sealer::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains(FILE), "{error}");
        assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), b"short");
    }
}
