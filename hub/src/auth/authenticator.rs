//! Who is calling: a request's headers -> [`Identity`].

use super::claims::ClaimRules;
use super::dev::{DEV_ISSUER, DevIssuer, DevIssuerError};
use super::fetch::Place;
use super::keyring::Keyring;
use super::keys::Keys;
use super::verified::Verified;
use super::{AuthError, Identity, KeysError, token};
use crate::clock::Clock;
use crate::config::AuthSettings;
use crate::limits;
use std::path::Path;
use std::sync::Arc;

/// Knows the accepted issuer, and tells from a token who is calling. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    rules: ClaimRules,
    keyring: Keyring,
    verified: Verified,
    dev_jwks: Option<serde_json::Value>,
    clock: Clock,
}

/// Why nobody could be authenticated from the start.
#[derive(Debug, thiserror::Error)]
pub enum AuthStartError {
    /// The issuer's keys could not be read.
    #[error("the keys of the issuer `{issuer}` are needed to start: {error}")]
    Keys {
        /// The issuer.
        issuer: String,
        /// Why not.
        error: KeysError,
    },
    /// An issuer is set, but not where its keys are.
    #[error("`auth.issuer` is `{0}`, but `auth.jwks` is not set: say where the issuer's keys are")]
    NoJwks(String),
    /// The development issuer could not be opened.
    #[error(transparent)]
    Dev(#[from] DevIssuerError),
}

impl Authenticator {
    /// Reads the keys of the configured issuer. Without one, opens or makes the
    /// development issuer in `data_dir`, and says so loudly.
    ///
    /// # Errors
    /// If there are no keys to start with.
    pub async fn open(
        settings: &AuthSettings,
        data_dir: &Path,
        clock: Clock,
    ) -> Result<Self, AuthStartError> {
        let Some(issuer) = &settings.issuer else {
            let dev = DevIssuer::open_or_create(data_dir)?;
            tracing::warn!(
                key = %DevIssuer::path(data_dir).display(),
                "DEVELOPMENT TOKENS ARE ACCEPTED: whoever can read the key file can sign in as any tenant; \
                 set `auth.issuer` and `auth.jwks` before anyone depends on this hub"
            );
            return Self::with_dev(&dev, settings, clock);
        };
        if settings.audience.is_empty() {
            tracing::warn!(
                issuer,
                "the tokens of every client of the issuer are accepted, whatever they were issued for; \
                 set `auth.audience` to the client that this hub belongs to"
            );
        }
        let location = settings.jwks.as_ref().ok_or_else(|| AuthStartError::NoJwks(issuer.clone()))?;
        let opened = match Place::new(location) {
            Ok(place) => Keyring::open(place, settings.jwks_refresh).await,
            Err(error) => Err(error),
        };
        let keyring = opened.map_err(|error| AuthStartError::Keys { issuer: issuer.clone(), error })?;
        Ok(Self::new(ClaimRules::new(issuer, settings), keyring, None, clock))
    }

    /// Accepts the tokens of `dev`, whose claims have the default names.
    fn with_dev(dev: &DevIssuer, settings: &AuthSettings, clock: Clock) -> Result<Self, AuthStartError> {
        let jwks = dev.jwks();
        let keys = Keys::parse(jwks.to_string().as_bytes()).map_err(DevIssuerError::Unusable)?;
        let settings = AuthSettings { leeway: settings.leeway, ..AuthSettings::default() };
        let rules = ClaimRules::new(DEV_ISSUER, &settings);
        Ok(Self::new(rules, Keyring::fixed(keys), Some(jwks), clock))
    }

    fn new(rules: ClaimRules, keyring: Keyring, dev_jwks: Option<serde_json::Value>, clock: Clock) -> Self {
        let verified = Verified::new(limits::VERIFIED_TOKENS);
        Self { inner: Arc::new(Inner { rules, keyring, verified, dev_jwks, clock }) }
    }

    /// Who sends `headers`. A token of an unknown key makes it look for new keys,
    /// which needs [`Self::refresh_keys`] to be running.
    ///
    /// # Errors
    /// Why the caller is refused.
    pub async fn authenticate(&self, headers: &http::HeaderMap) -> Result<Identity, AuthError> {
        let inner = &*self.inner;
        let token = token::bearer(headers)?;
        let hash = Verified::hash(token);
        if let Some(identity) = inner.verified.get(&hash, &inner.keyring.current()) {
            inner.rules.check_expiry(identity.expires, (inner.clock)())?;
            return Ok(identity);
        }
        let keys = inner.keyring.with(&token::key_id(token)?).await;
        if keys.are_given_up() {
            return Err(AuthError::NoKeys);
        }
        let claims = token::verify(token, &keys)?;
        let identity = inner.rules.identity(&claims, (inner.clock)())?;
        inner.verified.insert(hash, identity.clone(), &keys);
        Ok(identity)
    }

    /// The development issuer's key set, to serve to those who want to verify
    /// its tokens. `None` if an issuer is configured.
    #[must_use]
    pub fn dev_jwks(&self) -> Option<serde_json::Value> {
        self.inner.dev_jwks.clone()
    }

    /// Keeps the issuer's keys fresh for as long as it is polled; it never ends.
    pub async fn refresh_keys(self) {
        self.inner.keyring.refresh().await;
    }
}

#[cfg(test)]
mod tests;
