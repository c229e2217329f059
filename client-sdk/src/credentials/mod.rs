//! Where tokens come from.
//!
//! A token is asked for once an address has taken the connection, and again
//! before it expires. Behind every source stands one piece ([`SharedTokens`]) that
//! keeps what it handed out, so that any number of clients ask it once; it also
//! decides when a source is asked again. No token is ever logged or shown by
//! `{:?}`.

mod answer;
mod claims;
mod command;
mod file;
#[cfg(feature = "oauth2")]
pub mod oauth2;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use claims::Marks;
pub use shared::SharedTokens;

use confhub_proto::limits::TOKEN_BYTES;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};

/// A source of tokens, for programs whose tokens come from a library or a
/// service.
///
/// ```
/// use confhub_client::{TokenError, TokenRequest, TokenSource};
///
/// struct Login;
///
/// impl TokenSource for Login {
///     async fn token(&self, request: TokenRequest) -> Result<String, TokenError> {
///         if request.renew {
///             // The hub refused the token handed out before.
///         }
///         Ok("eyJ…".to_owned())
///     }
/// }
/// ```
///
/// It is never asked twice at the same time, and not again before a pause that grows
/// while it fails, however many clients want a token: see [`SharedTokens`].
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid now.
    ///
    /// # Errors
    /// If there is none now; the client tries again after a pause.
    fn token(&self, request: TokenRequest) -> impl Future<Output = Result<String, TokenError>> + Send;

    /// The same, with how long the token lives, for sources that are told so. By
    /// default that is what the token's own `exp` says.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    fn issue(&self, request: TokenRequest) -> impl Future<Output = Result<Issued, TokenError>> + Send {
        async { self.token(request).await.map(Issued::new) }
    }
}

/// A token as a [`TokenSource`] hands it out.
#[derive(Clone)]
pub struct Issued {
    token: String,
    lives: Option<Duration>,
}

impl Issued {
    /// A token that says itself how long it lives, or does not say it at all.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self { token, lives: None }
    }

    /// How long it lives from now on, as the issuer says (`expires_in`, RFC 6749
    /// section 5.1). The token's own `exp` wins if that is earlier.
    #[must_use]
    pub fn lives(self, lives: Duration) -> Self {
        Self { lives: Some(lives), ..self }
    }
}

/// A token is shown to nobody.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("lives", &self.lives).finish_non_exhaustive()
    }
}

/// What is asked of a [`TokenSource`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The hub has refused the last token, or it is about to expire: a cached
    /// one will not do.
    pub renew: bool,
}

/// There is no token now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token: {0}")]
pub struct TokenError(Arc<str>);

impl TokenError {
    /// An error with a reason for people, which must not have the token in it.
    #[must_use]
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().into())
    }
}

/// What stands before a token in the header.
const SCHEME: &str = "Bearer ";

/// Longest token, in bytes: hubs count the whole header.
const LONGEST: usize = TOKEN_BYTES - SCHEME.len();

/// A token that fits into a header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(token: &str) -> Result<Self, TokenError> {
        let token = token.trim();
        if token.is_empty() {
            return Err(TokenError::new("it is empty"));
        }
        if token.len() > LONGEST {
            let actual = token.len();
            return Err(TokenError::new(format!("it has {actual} bytes; at most {LONGEST} are allowed")));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::new("it has characters that no token has"));
        }
        Ok(Self(token.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the `authorization` header, marked so that it is never shown.
    pub(crate) fn header(&self) -> Result<MetadataValue<Ascii>, TokenError> {
        let mut value = MetadataValue::try_from(format!("{SCHEME}{}", self.0)).map_err(TokenError::new)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where one client has its tokens from, and which it had last.
#[derive(Clone)]
pub(crate) struct Credentials {
    kind: Kind,
    /// What was handed to this client last: what `renew` is about. Other clients of
    /// the same source may have had a newer one since.
    last: Arc<Mutex<Option<Token>>>,
}

#[derive(Clone)]
enum Kind {
    Fixed(String),
    Shared(SharedTokens),
}

impl Credentials {
    /// A token that never changes.
    pub(crate) fn fixed(token: String) -> Self {
        Self { kind: Kind::Fixed(token), last: Arc::default() }
    }

    /// A client's part of a source.
    pub(crate) fn of(tokens: SharedTokens) -> Self {
        Self { kind: Kind::Shared(tokens), last: Arc::default() }
    }

    /// A token, within a bound; with `renew` another one than the last, if there is.
    pub(crate) async fn token(&self, renew: bool) -> Result<Token, TokenError> {
        let tokens = match &self.kind {
            Kind::Fixed(token) => return Token::new(token),
            Kind::Shared(tokens) => tokens,
        };
        let refused = if renew { self.last().clone() } else { None };
        let token = tokens.get(refused.as_ref()).await?;
        *self.last() = Some(token.clone());
        Ok(token)
    }

    /// Waits for a token other than `old`, which is about to expire.
    pub(crate) async fn newer_than(self, old: Token) -> Token {
        match &self.kind {
            Kind::Fixed(_) => std::future::pending().await,
            Kind::Shared(tokens) => {
                let token = tokens.newer_than(&old).await;
                *self.last() = Some(token.clone());
                token
            }
        }
    }

    /// Waits until the source has another token than `old` of itself: a file that
    /// was replaced, one that another client was given, one that is renewed at a
    /// share of its life. Nobody is asked more often for it.
    pub(crate) async fn rotated(self, old: Token) -> Token {
        match &self.kind {
            Kind::Fixed(_) => std::future::pending().await,
            Kind::Shared(tokens) => {
                let token = tokens.rotated(&old).await;
                *self.last() = Some(token.clone());
                token
            }
        }
    }

    /// The same for the token that this client was handed last.
    pub(crate) async fn last_rotated(&self) -> Token {
        let last = self.last().clone();
        match last {
            Some(last) => self.clone().rotated(last).await,
            None => std::future::pending().await,
        }
    }

    /// Whether there will never be another token.
    pub(crate) fn are_fixed(&self) -> bool {
        matches!(self.kind, Kind::Fixed(_))
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Token>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a source may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It costs somebody something: rarely, and more so while it fails.
    Careful,
    /// It is a look at a local file.
    Cheap,
}

/// [`TokenSource`] behind a pointer, and the sources of this crate.
trait DynTokenSource: Send + Sync {
    fn dyn_token(&self, renew: bool) -> BoxFuture<'_, Result<Issued, TokenError>>;

    fn pace(&self) -> Pace {
        Pace::Careful
    }
}

impl<S: TokenSource> DynTokenSource for S {
    fn dyn_token(&self, renew: bool) -> BoxFuture<'_, Result<Issued, TokenError>> {
        let token = AssertUnwindSafe(async move { self.issue(TokenRequest { renew }).await }).catch_unwind();
        token.map(|token| token.unwrap_or_else(|_| Err(TokenError::new("the source panicked")))).boxed()
    }
}
