//! What can go wrong, as an interface.
//!
//! Three kinds are kept apart: the client was built wrongly ([`ConfigError`]),
//! no state could be had ([`Error`]), and a state is there but a value in it is
//! not what the program expects ([`ValueError`]). Once a client is connected, an
//! unreachable hub is no error at all: reads go on and the
//! [status](crate::Status) says so.

use crate::FailureKind;
use confhub_proto::{Key, NameError, TenantId};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why there is no client.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The builder was told something impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Neither the hub nor the disk had a state in time.
    #[error("no state after {after:?} from {endpoints}; the last attempt: {last}")]
    #[non_exhaustive]
    Timeout {
        /// How long was waited: see `Builder::connect_timeout`.
        after: Duration,
        /// What was tried.
        endpoints: String,
        /// How the last attempt ended.
        last: String,
        /// The same for programs; `None`: it has not ended yet.
        kind: Option<FailureKind>,
    },
    /// No address takes a connection: see `Builder::channel`.
    #[error("no hub answers at {endpoints}: {last}")]
    #[non_exhaustive]
    Unreachable {
        /// What was tried.
        endpoints: String,
        /// How the last attempt ended.
        last: String,
    },
    /// The client has ended for good.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl Error {
    /// Whether the same call may succeed later without a change of settings or
    /// rights.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unreachable { .. })
    }
}

/// The client has ended for good; what it read last can still be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The program asked for it.
    #[error("the client was closed")]
    ByProgram,
    /// The hub refused the caller: the token has no right to listen.
    #[error("the hub denied access: {0}")]
    Denied(Arc<str>),
    /// The hub withdrew the right to listen.
    #[error("the hub revoked the right to listen")]
    Revoked,
    /// The hub says that the token now names another tenant or service. A client
    /// is one tenant's: what it handed out must not become another's.
    #[error("the token names another tenant or service than before: build a client for each")]
    IdentityChanged,
    /// The token that was handed out for this tenant is another's. Nothing of the
    /// other tenant was read.
    #[error("the token for tenant `{0}` is another tenant's: correct what hands out the tokens")]
    OtherTenant(TenantId),
    /// The hub does not take the request, and never will: versions that do not
    /// fit, or an endpoint that is no hub.
    #[error("the hub refused the request: {0}; is this endpoint a hub, and of a version that fits?")]
    Refused(Arc<str>),
    /// The task of the client panicked. That is a mistake in this crate, or in
    /// code of the program that it had to call.
    #[error("the client's own task panicked")]
    Panicked,
    /// The task of the client is gone, with the runtime that it ran on.
    #[error("the runtime of the client has ended")]
    Runtime,
}

/// What the builder was told is impossible. Nothing was tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No endpoint.
    #[error("no endpoint: call `.endpoint(\"https://…\")` at least once")]
    NoEndpoint,
    /// A pool was built where there is no runtime for its tasks.
    #[error("no tokio runtime here: call `.build` inside one")]
    NoRuntime,
    /// No token, no file with one and no source of one.
    #[error(
        "no token: call `.token`, `.token_file`, `.token_command` or `.token_source`; for a pool, `.tokens`"
    )]
    NoToken,
    /// What an issuer would be asked with is missing or cannot be sent.
    #[error("{what} {reason}")]
    #[non_exhaustive]
    Login {
        /// What.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An endpoint that is not one.
    #[error("endpoint `{endpoint}` {reason}")]
    #[non_exhaustive]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate, a key or a name for `https://` that cannot be used.
    #[error("{what} {reason}")]
    #[non_exhaustive]
    Tls {
        /// Which, and where it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many of something.
    #[error("{actual} {what}; at most {limit} are allowed")]
    #[non_exhaustive]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// A service or a prefix outside the alphabet.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A limit of zero.
    #[error("`.{0}` must be more than zero")]
    Zero(&'static str),
    /// The file for the last good state cannot be one.
    #[error("the state file `{}` {reason}", path.display())]
    #[non_exhaustive]
    Disk {
        /// The file, or the folder of a pool's files.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A value is not what the program expects. The hub is fine, and so is the
/// rest of the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There is no entry.
    #[error("there is no entry `{key}` in this view")]
    #[non_exhaustive]
    Missing {
        /// The key asked for.
        key: Arc<str>,
    },
    /// The entry is a secret: its value is never streamed.
    #[error("`{key}` is a secret, which is never streamed: ask the hub to reveal it")]
    #[non_exhaustive]
    Secret {
        /// The key.
        key: Key,
    },
    /// The value does not parse as the type asked for.
    #[error("`{key}` version {version} ({content_type}) is no {expected}: {reason}")]
    #[non_exhaustive]
    Malformed {
        /// The key.
        key: Key,
        /// Version of the entry.
        version: u64,
        /// Media type of the entry.
        content_type: Arc<str>,
        /// Name of the type asked for.
        expected: &'static str,
        /// Where, from 1 on; 0: unknown.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What the parser says. It may quote the value.
        reason: Arc<str>,
    },
}

impl ValueError {
    /// The same for a log, where a value has no place: what a parser says may
    /// quote it.
    pub(crate) fn without_value(&self) -> String {
        match self {
            Self::Malformed { key, version, content_type, expected, line, column, .. } => format!(
                "`{key}` version {version} ({content_type}) is no {expected}, from line {line} column {column} on"
            ),
            other => other.to_string(),
        }
    }
}
