//! The development issuer: what signs tokens until a real issuer is configured.
//!
//! Its Ed25519 key pair is a file in the data folder (PKCS#8). Whoever can read
//! the file can sign in as anyone, so it is for one machine and its developer.
//! The hub only verifies with it; `confhub token` signs.

use super::Role;
use crate::key_file;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use confhub_proto::{ServiceName, TenantId};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The `iss` of development tokens.
pub const DEV_ISSUER: &str = "confhub-dev";

/// The key file's name in the data folder.
const FILE: &str = "dev-issuer.key";

/// Signs development tokens.
pub struct DevIssuer {
    key: EncodingKey,
    jwk: Jwk,
    kid: String,
}

/// What a development token says.
#[derive(Debug, Clone)]
pub struct DevClaims {
    /// The tenant.
    pub tenant: TenantId,
    /// The service, if the token is for one alone.
    pub service: Option<ServiceName>,
    /// The roles.
    pub roles: Vec<Role>,
    /// Who.
    pub subject: String,
    /// For how long.
    pub ttl: Duration,
}

/// Why the development issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    /// There is none yet.
    #[error(
        "there is no development issuer in `{0}` yet: start the hub there once (`confhub serve --data-dir {0}`), or name the folder that it uses"
    )]
    None(PathBuf),
    /// The key file could not be read or made.
    #[error("cannot {action} the development issuer's key `{path}`: {error}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The file does not hold a key.
    #[error(
        "`{0}` holds no Ed25519 key in PKCS#8: move it away, and the hub makes a new one at its next start"
    )]
    Damaged(PathBuf),
    /// The key could not be used.
    #[error("the development issuer's key cannot be used: {0}")]
    Unusable(String),
}

impl DevIssuer {
    /// Opens the issuer of a data folder, and makes its key first if there is none.
    ///
    /// # Errors
    /// If the key can be neither read nor made.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, DevIssuerError> {
        match Self::open(data_dir) {
            Err(DevIssuerError::None(_)) => {}
            opened => return opened,
        }
        // The first version of PKCS#8, without the public key: what JWT libraries read.
        let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())
            .map_err(|_| DevIssuerError::Unusable("the system gives no randomness".to_owned()))?;
        let path = Self::path(data_dir);
        key_file::create(&path, key.as_ref()).map_err(|error| DevIssuerError::File {
            action: "make",
            path: path.clone(),
            error,
        })?;
        // Another process may have been faster: what is in the file counts.
        Self::open(data_dir)
    }

    /// Opens the issuer of a data folder.
    ///
    /// # Errors
    /// If there is none yet, or its key cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, DevIssuerError> {
        let path = Self::path(data_dir);
        let pkcs8 = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => DevIssuerError::None(data_dir.to_owned()),
            _ => DevIssuerError::File { action: "read", path: path.clone(), error },
        })?;
        if key_file::is_exposed(&path).unwrap_or(false) {
            tracing::warn!(path = %path.display(), "others can read the development issuer's key: chmod 600");
        }
        Self::from_pkcs8(&pkcs8).ok_or(DevIssuerError::Damaged(path))
    }

    /// Where the key of a data folder is.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// The public key, as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// Signs a token with Cognito-shaped claims, valid from `now` on.
    ///
    /// # Errors
    /// If a time is out of the range of a token, or signing fails.
    pub fn mint(&self, claims: &DevClaims, now: SystemTime) -> Result<String, DevIssuerError> {
        let out_of_range = || DevIssuerError::Unusable("a time is out of range".to_owned());
        let issued = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| out_of_range())?;
        let expires = issued.checked_add(claims.ttl).ok_or_else(out_of_range)?;
        let roles: Vec<_> = claims.roles.iter().map(|role| role.as_str()).collect();
        let mut body = json!({
            "iss": DEV_ISSUER,
            "sub": claims.subject,
            "aud": "confhub",
            "token_use": "id",
            "jti": format!("{:032x}", fastrand::u128(..)),
            "iat": issued.as_secs(),
            "exp": expires.as_secs(),
            "custom:tenantId": claims.tenant.as_str(),
            "cognito:groups": roles,
        });
        if let Some(service) = &claims.service {
            body["custom:service"] = service.as_str().into();
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, &body, &self.key)
            .map_err(|error| DevIssuerError::Unusable(error.to_string()))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let key = EncodingKey::from_ed_der(pkcs8);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).ok()?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        Some(Self { key, jwk, kid })
    }
}

impl std::fmt::Debug for DevIssuer {
    /// Shows the key's name, never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevIssuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("new/data");
        let error = DevIssuer::open(&data_dir).unwrap_err();
        assert!(error.to_string().contains("confhub serve --data-dir"), "{error}");
        let first = DevIssuer::open_or_create(&data_dir).unwrap();
        let bytes = std::fs::read(DevIssuer::path(&data_dir)).unwrap();
        let second = DevIssuer::open_or_create(&data_dir).unwrap();
        assert_eq!(first.jwks(), second.jwks());
        assert_eq!(bytes, std::fs::read(DevIssuer::path(&data_dir)).unwrap());
        assert!(!key_file::is_exposed(&DevIssuer::path(&data_dir)).unwrap());
        assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn many_that_start_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let sets: Vec<_> = std::thread::scope(|scope| {
            let make = || DevIssuer::open_or_create(folder.path()).unwrap().jwks();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(sets.iter().all(|set| *set == sets[0]));
    }

    #[test]
    fn a_damaged_key_is_named_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(DevIssuer::path(folder.path()), b"junk").unwrap();
        let error = DevIssuer::open_or_create(folder.path()).unwrap_err();
        assert!(error.to_string().contains("holds no Ed25519 key"), "{error}");
        assert_eq!(std::fs::read(DevIssuer::path(folder.path())).unwrap(), b"junk");
    }

    #[test]
    fn the_published_set_has_no_private_part() {
        let folder = tempfile::tempdir().unwrap();
        let set = DevIssuer::open_or_create(folder.path()).unwrap().jwks();
        assert!(set["keys"][0]["x"].is_string());
        assert!(set["keys"][0]["d"].is_null());
    }
}
