//! Where tokens come from.
//!
//! A token is asked for once an address has taken the connection, and again
//! before it expires, so one that is rotated on disk or renewed by a library is
//! picked up in time. No token is ever logged or shown by `{:?}`.

mod claims;

pub(crate) use claims::Marks;

use crate::limits;
use confhub_proto::limits::TOKEN_BYTES;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
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
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid now.
    ///
    /// # Errors
    /// If there is none now; the client tries again after a pause.
    fn token(&self, request: TokenRequest) -> impl Future<Output = Result<String, TokenError>> + Send;
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

/// What the builder was given.
#[derive(Clone)]
pub(crate) enum Credentials {
    Fixed(String),
    File(PathBuf),
    Source(Arc<dyn DynTokenSource>),
}

impl Credentials {
    /// A token, within a bound.
    pub(crate) async fn token(&self, renew: bool) -> Result<Token, TokenError> {
        let token = async {
            match self {
                Self::Fixed(token) => Ok(token.clone()),
                Self::File(path) => read(path).await.map_err(|error| {
                    TokenError::new(format!("cannot read the token file `{}`: {error}", path.display()))
                }),
                Self::Source(source) => source.dyn_token(renew).await,
            }
        };
        let token = tokio::time::timeout(limits::TOKEN_TIMEOUT, token).await;
        let limit = limits::TOKEN_TIMEOUT;
        Token::new(&token.map_err(|_| TokenError::new(format!("the source took over {limit:?}")))??)
    }

    /// Waits for a token other than `old`, which is about to expire.
    pub(crate) async fn newer_than(self, old: Token) -> Token {
        loop {
            match self.token(true).await {
                Ok(token) if token != old => return token,
                Ok(_) => tracing::debug!("the token is about to expire, and there is no newer one yet"),
                Err(error) => tracing::warn!(%error, "the token is about to expire"),
            }
            tokio::time::sleep(limits::RENEW_INTERVAL).await;
        }
    }

    /// Whether there will never be another token.
    pub(crate) fn are_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

/// Reads a token file, but no more of it than a token can have.
async fn read(path: &PathBuf) -> std::io::Result<String> {
    let most = u64::try_from(TOKEN_BYTES).unwrap_or(u64::MAX).saturating_add(2);
    let mut token = String::new();
    tokio::fs::File::open(path).await?.take(most).read_to_string(&mut token).await?;
    Ok(token)
}

/// [`TokenSource`] behind a pointer.
pub(crate) trait DynTokenSource: Send + Sync {
    fn dyn_token(&self, renew: bool) -> BoxFuture<'_, Result<String, TokenError>>;
}

impl<S: TokenSource> DynTokenSource for S {
    fn dyn_token(&self, renew: bool) -> BoxFuture<'_, Result<String, TokenError>> {
        let token = AssertUnwindSafe(async move { self.token(TokenRequest { renew }).await }).catch_unwind();
        token.map(|token| token.unwrap_or_else(|_| Err(TokenError::new("the source panicked")))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_each_time_and_its_newline_is_no_part_of_the_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let credentials = Credentials::File(file.path().to_owned());
        for token in ["one", "two", &"t".repeat(LONGEST)] {
            std::fs::write(file.path(), format!("{token}\n")).unwrap();
            let read = credentials.token(false).await.unwrap();
            assert!(read.as_str() == token && read.header().unwrap().len() <= TOKEN_BYTES);
        }
        std::fs::write(file.path(), "t".repeat(LONGEST + 1)).unwrap();
        assert!(credentials.token(false).await.is_err());
        let missing = Credentials::File("/nonexistent/token".into());
        assert!(missing.token(false).await.unwrap_err().to_string().contains("/nonexistent/token"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("s3cret").unwrap();
        assert!(!format!("{token:?} {:?}", token.header().unwrap()).contains("s3cret"));
        for bad in ["", " ", "a b", "a\u{e9}", "a\nb"] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }
}
