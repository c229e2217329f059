//! Why a caller is refused, and the one place that turns it into a status.
//!
//! Each error carries its facts and says what to do. None of them ever holds
//! the token or a part of it. What a token claims is repeated only after its
//! signature was found good; before that, nothing but the name of its key. Both
//! are cut short, and hold no control characters.

use super::{Identity, Role};
use crate::admission::Refused;
use jsonwebtoken::Algorithm;
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataValue;

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No `authorization` header.
    #[error(
        "no token: send `authorization: Bearer <token>` (on the embedded default, `confhub token` makes one)"
    )]
    Missing,
    /// More than one `authorization` header.
    #[error("{0} `authorization` headers: send one")]
    Repeated(usize),
    /// The header is something else than a bearer token.
    #[error("the `authorization` header is no bearer token: send `Bearer <token>`")]
    NotBearer,
    /// The header is larger than any token needs to be.
    #[error(
        "the `authorization` header has {bytes} bytes; at most {} are allowed: put fewer groups into the token",
        confhub_proto::limits::TOKEN_BYTES
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The token cannot be read at all.
    #[error("the token is no signed JSON Web Token of the kind RS256, ES256 or EdDSA")]
    Malformed,
    /// Signed in a way that is not accepted.
    #[error("the token is signed with {0:?}; accepted are RS256, ES256 and EdDSA")]
    Algorithm(Algorithm),
    /// The header changes what the token's parts mean.
    #[error("the token's header has `{member}`, which this hub does not know: sign without extensions")]
    Extension {
        /// The header's member.
        member: &'static str,
    },
    /// The header brings a key along.
    #[error(
        "the token's header has `{member}`: the keys of the issuer are known here, and a token must not bring its own"
    )]
    OwnKey {
        /// The header's member.
        member: &'static str,
    },
    /// The header says that it is another kind of token.
    #[error("the `typ` of the token's header is none of `JWT` and `at+jwt`: send an ID or an access token")]
    Type,
    /// The header's `kid` is not what one can be.
    #[error(
        "the `kid` of the token's header is no text of 1 to {} bytes without control characters",
        crate::limits::KEY_ID_BYTES
    )]
    KeyId,
    /// No accepted issuer has issued it. Who it says did is not repeated: nobody
    /// has signed for that.
    #[error(
        "the `iss` of the token is no issuer that this hub accepts: get a token from an issuer that it is set to"
    )]
    UnknownIssuer,
    /// The header names no key.
    #[error("the token's header has no `kid`: the issuer must name the key that it signed with")]
    NoKeyId,
    /// The issuer has no such key.
    #[error(
        "the token is signed with the key `{kid}`, which its issuer does not have: get a new token there"
    )]
    UnknownKey {
        /// The key's name.
        kid: String,
    },
    /// Nobody knows the issuer's keys: it could not be asked for too long.
    #[error(
        "no token of this issuer can be verified now, since its keys could not be read, at the hub's start or for {} h since: try again later",
        crate::limits::JWKS_GRACE.as_secs() / 3_600
    )]
    NoKeys,
    /// The key is for another algorithm.
    #[error("the token says {token:?}, but its key is for {key:?}")]
    KeyAlgorithm {
        /// What the token says.
        token: Algorithm,
        /// What the key is for.
        key: Algorithm,
    },
    /// The signature is not the key's.
    #[error("the token's signature is wrong: it was not made with the key that the token names")]
    Signature,
    /// A claim is missing or is not what it must be.
    #[error("the token's claim `{claim}` {fault}")]
    Claim {
        /// The claim's name.
        claim: String,
        /// What is wrong with it.
        fault: ClaimFault,
    },
    /// The token has expired.
    #[error("the token expired {} s ago: get a new one", .ago.as_secs())]
    Expired {
        /// How long ago.
        ago: Duration,
        /// Whose it was: its signature was good.
        identity: Box<Identity>,
    },
    /// The token is not valid yet.
    #[error(
        "the token's `{claim}` is {} s in the future: wait, or set the clocks of the hub and the issuer right",
        .ahead.as_secs()
    )]
    NotYet {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// How far in the future.
        ahead: Duration,
    },
    /// The token is valid, but does not grant what the method needs.
    #[error("`{method}` needs the role `{role}`, which the token does not grant")]
    Role {
        /// The method's path.
        method: String,
        /// The role.
        role: Role,
    },
    /// The caller is who it says, and is not let in.
    #[error("{}", refused(*.0))]
    Refused(Refused),
    /// No method has this path.
    #[error("this hub has no method `{method}`")]
    UnknownMethod {
        /// The path.
        method: String,
    },
}

/// The same words for every tenant: they tell nothing but that it is not served.
fn refused(refused: Refused) -> &'static str {
    match refused {
        Refused::Revoked => "the token is revoked: get a new one, if you may",
        Refused::Suspended | Refused::Unknown => "the tenant is not served here",
        Refused::NotReady => "the hub does not know yet who is let in: try again",
    }
}

/// What a caller gets that is not let in: an answer on its call, or the end of its
/// stream. The reason stands beside, for clients that act on it.
pub(crate) fn refused_status(reason: Refused) -> Status {
    let word = match reason {
        Refused::NotReady => return Status::unavailable(refused(reason)),
        Refused::Revoked => "revoked",
        Refused::Suspended => "suspended",
        Refused::Unknown => "unknown-tenant",
    };
    let mut status = Status::permission_denied(refused(reason));
    status.metadata_mut().insert(confhub_proto::wire::REASON_METADATA, MetadataValue::from_static(word));
    status
}

/// What is wrong with a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// It is missing.
    #[error("is missing")]
    Missing,
    /// It has another type.
    #[error("is {found}; {expected} is expected")]
    Type {
        /// What it is.
        found: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// It has another value.
    #[error("is `{found}`; {expected} is expected")]
    Value {
        /// What it is, cut short.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// It is no name.
    #[error("is refused: {0}")]
    Name(#[from] confhub_proto::NameError),
}

/// Why the issuer's keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The location is not one that may be read.
    #[error("`{url}` is refused: {reason}")]
    Url {
        /// The location.
        url: String,
        /// Why.
        reason: String,
    },
    /// The system's root certificates could not be loaded.
    #[error("cannot verify `https` addresses, since the system's root certificates cannot be loaded: {0}")]
    Roots(std::io::Error),
    /// The file could not be read.
    #[error("cannot read `{path}`: {error}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The request failed.
    #[error("cannot get `{url}`: {reason}")]
    Get {
        /// The location.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// What the issuer publishes about itself cannot be used.
    #[error("`{url}` does not say where the issuer's keys are: {reason}")]
    Discovery {
        /// The document's location.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is no key set.
    #[error("`{place}` has no JSON Web Key Set: {reason}")]
    Set {
        /// The file or the location.
        place: String,
        /// What went wrong.
        reason: String,
    },
}

/// Longest part of something foreign that an error repeats.
const SHOWN_CHARS: usize = 64;

/// `text` as an error may repeat it: without control characters, and cut short.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

impl AuthError {
    /// Who was refused, if that is known: only a good signature tells.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Expired { identity, .. } => Some(identity),
            _ => None,
        }
    }

    /// A short, fixed word for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated(_) | Self::NotBearer | Self::Malformed => "malformed",
            Self::Extension { .. } | Self::OwnKey { .. } | Self::Type => "header",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownIssuer => "issuer",
            Self::Algorithm(_) | Self::KeyAlgorithm { .. } => "algorithm",
            Self::NoKeyId | Self::KeyId | Self::UnknownKey { .. } => "unknown_key",
            Self::NoKeys => "no_keys",
            Self::Signature => "signature",
            Self::Claim { .. } => "claim",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet_valid",
            Self::Role { .. } => "role",
            Self::Refused(Refused::Revoked) => "revoked",
            Self::Refused(Refused::Suspended) => "suspended",
            Self::Refused(Refused::Unknown) => "unknown_tenant",
            Self::Refused(Refused::NotReady) => "not_ready",
            Self::UnknownMethod { .. } => "unknown_method",
        }
    }
}

impl From<&AuthError> for Status {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Role { .. } => Self::permission_denied(error.to_string()),
            AuthError::Refused(refused) => refused_status(*refused),
            AuthError::NoKeys => Self::unavailable(error.to_string()),
            AuthError::UnknownMethod { .. } => Self::unimplemented(error.to_string()),
            _ => Self::unauthenticated(error.to_string()),
        }
    }
}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        Self::from(&error)
    }
}
