//! Who is calling: a request's headers -> [`Identity`].

use super::dev::{DevIssuer, DevIssuerError};
use super::issuer::Issuers;
use super::keys::Keys;
use super::token::{self, Token};
use super::verified::{Known, TokenHash, Verified};
use super::{AuthError, Identity, KeysError};
use crate::clock::Clock;
use crate::config::AuthSettings;
use crate::limits;
use std::path::Path;
use std::sync::Arc;

/// Knows the accepted issuers, and tells from a token who is calling. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    issuers: Issuers,
    verified: Verified,
    dev_jwks: Option<serde_json::Value>,
    clock: Clock,
}

/// Why nobody could be authenticated from the start.
#[derive(Debug, thiserror::Error)]
pub enum AuthStartError {
    /// The keys of no issuer could be read, or can never be.
    #[error("the keys of the issuer `{issuer}` are needed to start: {error}")]
    Keys {
        /// The issuer.
        issuer: String,
        /// Why not.
        error: KeysError,
    },
    /// The development issuer could not be opened.
    #[error(transparent)]
    Dev(#[from] DevIssuerError),
}

impl Authenticator {
    /// Reads the keys of the configured issuers. Without one, opens or makes the
    /// development issuer in `data_dir`, and says so loudly.
    ///
    /// # Errors
    /// If there are no keys to start with.
    pub async fn open(
        settings: &AuthSettings,
        data_dir: &Path,
        clock: Clock,
    ) -> Result<Self, AuthStartError> {
        if settings.has_issuer() {
            return Ok(Self::new(Issuers::open(settings).await?, None, clock));
        }
        let dev = DevIssuer::open_or_create(data_dir)?;
        tracing::warn!(
            key = %DevIssuer::path(data_dir).display(),
            "DEVELOPMENT TOKENS ARE ACCEPTED: whoever can read the key file can sign in as any tenant; \
             set `auth.issuer` before anyone depends on this hub"
        );
        let jwks = dev.jwks();
        let keys = Keys::parse(jwks.to_string().as_bytes()).map_err(DevIssuerError::Unusable)?;
        Ok(Self::new(Issuers::development(keys, settings), Some(jwks), clock))
    }

    fn new(issuers: Issuers, dev_jwks: Option<serde_json::Value>, clock: Clock) -> Self {
        let verified = Verified::new(limits::VERIFIED_TOKENS);
        Self { inner: Arc::new(Inner { issuers, verified, dev_jwks, clock }) }
    }

    /// Who sends `headers`. A token of an unknown key makes it look for new keys,
    /// which needs [`Self::refresh_keys`] to be running.
    ///
    /// # Errors
    /// Why the caller is refused.
    pub async fn authenticate(&self, headers: &http::HeaderMap) -> Result<Identity, AuthError> {
        let text = token::bearer(headers)?;
        let hash = Verified::hash(text);
        match self.remembered(&hash) {
            Some(known) => known,
            None => self.verify(text, hash).await,
        }
    }

    /// The answer of a moment ago, if it still stands on the issuer's keys.
    fn remembered(&self, hash: &TokenHash) -> Option<Result<Identity, AuthError>> {
        let inner = &*self.inner;
        let known = inner.verified.get(hash)?;
        let issuer = inner.issuers.at(known.issuer)?;
        if issuer.keyring.digest() != known.keys {
            return None;
        }
        Some(issuer.rules.check_expiry(known.identity, (inner.clock)()))
    }

    async fn verify(&self, text: &str, hash: TokenHash) -> Result<Identity, AuthError> {
        let inner = &*self.inner;
        let token = Token::read(text)?;
        let name = token.unverified_issuer().ok_or(AuthError::UnknownIssuer)?;
        let (place, issuer) = inner.issuers.named(name).ok_or(AuthError::UnknownIssuer)?;
        let keys = issuer.keyring.with(token.key_id()).await;
        if keys.are_given_up() {
            return Err(AuthError::NoKeys);
        }
        let signed = token.verify(&keys)?;
        let identity = issuer.rules.identity(&signed, (inner.clock)())?;
        let known = Known { identity: identity.clone(), issuer: place, keys: keys.digest() };
        inner.verified.insert(hash, known);
        Ok(identity)
    }

    /// The development issuer's key set, to serve to those who want to verify
    /// its tokens. `None` if an issuer is configured.
    #[must_use]
    pub fn dev_jwks(&self) -> Option<serde_json::Value> {
        self.inner.dev_jwks.clone()
    }

    /// Keeps the issuers' keys fresh for as long as it is polled; it never ends.
    pub async fn refresh_keys(self) {
        self.inner.issuers.refresh().await;
    }
}

#[cfg(test)]
mod tests;
