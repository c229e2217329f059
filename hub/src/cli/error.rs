//! What can go wrong in a command, in words: which value was wrong, and what
//! to do about it.

use super::document::DocumentError;
use super::exit::Exit;
use crate::app::StartError;
use crate::auth::DevIssuerError;
use crate::config::ConfigErrors;
use confhub_client::{Closed, FailureKind};
use confhub_proto::{ContentError, NameError, retry, wire};
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Arguments that contradict each other or the protocol.
    #[error("{0}")]
    Usage(String),
    /// A name outside the alphabet.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A value over the limit, or a malformed media type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// An entry of a file that the hub would refuse.
    #[error("{what}: {reason}; nothing was sent")]
    Refused {
        /// Which entry.
        what: String,
        /// Why.
        reason: String,
        /// What the hub would answer.
        code: tonic::Code,
    },
    /// A malformed file.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A file or stream that cannot be read or written.
    #[error("cannot {doing} {path}: {error}", path = path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Standard output does not take more.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// No token was given.
    #[error("there is no token, and a hub answers nobody without one")]
    NoToken,
    /// An endpoint that is none of ours.
    #[error("the endpoint `{endpoint}` {reason}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens there, or nobody that speaks our protocol.
    #[error("no hub answers at {endpoint}: {reason}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// The system's words.
        reason: String,
    },
    /// A hub answers, and there is no stream of it for all that.
    #[error("no stream from {endpoint}: {reason}")]
    NoStream {
        /// Where.
        endpoint: String,
        /// What it is about.
        kind: FailureKind,
        /// What the hub says, or what is wrong with what it says.
        reason: String,
    },
    /// The connection broke in the middle of a call.
    #[error("the connection to {endpoint} broke during `{call}`: {reason}")]
    Broken {
        /// Where.
        endpoint: String,
        /// What was asked.
        call: String,
        /// The system's words.
        reason: String,
    },
    /// The hub was silent for too long.
    #[error("the hub at {endpoint} did not answer `{call}` within {timeout_ms} ms")]
    TimedOut {
        /// Where.
        endpoint: String,
        /// What was asked.
        call: String,
        /// The limit in milliseconds.
        timeout_ms: u128,
    },
    /// Nothing has changed, or too little, for as long as somebody wanted to wait.
    #[error("watch: {lacking} of the changes that were waited for did not come within {wait_ms} ms")]
    TooFewChanges {
        /// How many were still to come.
        lacking: u64,
        /// The limit in milliseconds.
        wait_ms: u128,
    },
    /// The hub refused.
    #[error("{call}: {}", said(status))]
    Hub {
        /// What was asked.
        call: String,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// Some entries that were asked for are not there.
    #[error("no such entry: {}", keys.join(", "))]
    Missing {
        /// Their keys.
        keys: Vec<String>,
    },
    /// There is no such flag.
    #[error("{0}")]
    NoFlag(String),
    /// An entry is not of the version that the command line expects.
    #[error("{what} has version {actual}, not {expected}; nothing was written")]
    Stale {
        /// Which.
        what: String,
        /// As expected.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// No kept version has the label that was asked for.
    #[error("no version of `{key}` has the label `{label}`; {}", labels(known))]
    NoLabel {
        /// Of which key.
        key: String,
        /// As it was asked for.
        label: String,
        /// The labels that there are.
        known: Vec<String>,
    },
    /// The hub's answer makes no sense.
    #[error("the hub's answer to `{call}` is malformed: {reason}")]
    Answer {
        /// What was asked.
        call: String,
        /// Why it makes none.
        reason: String,
    },
    /// The hub ended the stream for good.
    #[error(transparent)]
    Ended(#[from] Closed),
    /// A wrong setting of the hub.
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
    /// The hub cannot start, or has ended by itself.
    #[error(transparent)]
    Serve(#[from] StartError),
    /// The development issuer cannot sign.
    #[error(transparent)]
    Issuer(#[from] DevIssuerError),
    /// A write was sent and not answered: it may have been made or not.
    #[error("it is not known whether the write was made: {0}")]
    Uncertain(Box<CliError>),
    /// An import ended before its last batch.
    #[error("batch {} of {batches}: {error}{}", committed + 1, before(*committed))]
    Batch {
        /// How many batches are committed.
        committed: usize,
        /// How many there are.
        batches: usize,
        /// What became of the next one.
        error: Box<CliError>,
    },
    /// The program itself could not do its part.
    #[error("{0}")]
    Failed(String),
}

fn before(committed: usize) -> String {
    match committed {
        0 => "; nothing is committed before it".to_owned(),
        1 => "; the one before it is committed".to_owned(),
        more => format!("; the {more} before it are committed"),
    }
}

fn labels(known: &[String]) -> String {
    match known {
        [] => "no version has a label".to_owned(),
        known => format!("there are `{}`", known.join("`, `")),
    }
}

fn said(status: &tonic::Status) -> String {
    let said = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let said = match retry::delay(status) {
        Some(delay) => format!("{said} (not before {} ms have passed)", delay.as_millis()),
        None => said.to_owned(),
    };
    // What the hub's operators find it by, in the audit log and the logs.
    match request_id(status) {
        // The hub has said it itself where it has kept something back.
        Some(id) if is_operators_matter(status.code()) && !said.contains(id) => {
            format!("{said} (request {id})")
        }
        _ => said,
    }
}

fn request_id(status: &tonic::Status) -> Option<&str> {
    status.metadata().get("x-request-id")?.to_str().ok()
}

/// Whether who reads of it will ask those who run the hub.
fn is_operators_matter(code: tonic::Code) -> bool {
    use tonic::Code::{DataLoss, Internal, PermissionDenied, Unauthenticated, Unavailable, Unknown};
    matches!(code, DataLoss | Internal | PermissionDenied | Unauthenticated | Unavailable | Unknown)
}

impl CliError {
    /// Reads or writes that failed, with the file they were about.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { doing, path, error }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Serve(StartError::Tls(error)) if !error.is_unreadable() => Exit::Usage,
            Self::Usage(_)
            | Self::Name(_)
            | Self::Content(_)
            | Self::Document(_)
            | Self::Endpoint { .. }
            | Self::Settings(_) => Exit::Usage,
            Self::File { error, .. } if error.kind() == io::ErrorKind::FileTooLarge => Exit::Usage,
            Self::Ended(Closed::Denied(_) | Closed::Revoked) => Exit::Denied,
            Self::Ended(Closed::Refused(_)) => Exit::Usage,
            Self::Missing { .. } | Self::NoFlag(_) | Self::NoLabel { .. } => Exit::NotFound,
            Self::Stale { .. } => Exit::Conflict,
            Self::NoToken => Exit::Denied,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::TooFewChanges { .. } => Exit::Unreachable,
            Self::NoStream { kind, .. } => match kind {
                FailureKind::Refused | FailureKind::NotServed | FailureKind::Token => Exit::Denied,
                FailureKind::Limited | FailureKind::Silent | FailureKind::Unreachable => Exit::Unreachable,
                _ => Exit::Failure,
            },
            Self::Hub { status, .. } => Exit::of_status(status),
            Self::Refused { code, .. } => Exit::of_code(*code),
            Self::Uncertain(error) | Self::Batch { error, .. } => error.exit(),
            Self::Ended(_)
            | Self::Serve(_)
            | Self::Issuer(_)
            | Self::File { .. }
            | Self::Output(_)
            | Self::Answer { .. }
            | Self::Failed(_) => Exit::Failure,
        }
    }

    /// What JSON calls it: the word of the exit code, or of what a limit means.
    pub(crate) fn code(&self) -> &'static str {
        let full = |code| code == tonic::Code::ResourceExhausted;
        match self {
            _ if self.retry_after_ms().is_some() => LIMITED,
            Self::NoStream { kind: FailureKind::Limited, .. } => LIMITED,
            Self::Refused { code, .. } if full(*code) => FULL,
            _ if self.answer().is_some_and(|status| full(status.code())) => FULL,
            _ => self.exit().as_str(),
        }
    }

    /// When what was refused for a limit may be asked for again, if the hub has said so.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let limited = self.answer().filter(|status| status.code() == tonic::Code::ResourceExhausted)?;
        retry::delay(limited).map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// What the hub calls the call by.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.answer().and_then(request_id)
    }

    /// What the hub has answered, if it has.
    fn answer(&self) -> Option<&tonic::Status> {
        match self {
            Self::Hub { status, .. } => Some(status),
            Self::Uncertain(error) | Self::Batch { error, .. } => error.answer(),
            _ => None,
        }
    }

    /// Whether a write may have been made or not.
    pub(crate) fn is_uncertain(&self) -> bool {
        match self {
            Self::Uncertain(_) => true,
            Self::Batch { error, .. } => error.is_uncertain(),
            _ => false,
        }
    }

    /// How many batches of an import are committed.
    pub(crate) fn committed_batches(&self) -> Option<usize> {
        match self {
            Self::Batch { committed, .. } => Some(*committed),
            _ => None,
        }
    }

    /// What to do, where there is one thing to do.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        use tonic::Code;
        match self {
            Self::NoToken => Some(GET_A_TOKEN),
            Self::TimedOut { .. } => Some("--timeout takes a longer time"),
            Self::TooFewChanges { .. } => Some("--wait takes a longer time"),
            // It answers, and has said what to do.
            Self::Unreachable { reason, .. } | Self::Broken { reason, .. }
                if reason.contains("the hub speaks TLS") =>
            {
                None
            }
            Self::Uncertain(_) => Some(
                "look (`confhub get`, `confhub history`) before you repeat it; --timeout takes a longer time",
            ),
            Self::Unreachable { reason, .. } | Self::Broken { reason, .. }
                if reason.contains("certificate") =>
            {
                Some(
                    "--ca-file names the CA that signed the hub's certificate, and the host of --endpoint must be \
                 among the certificate's names; a hub may ask for --client-cert and --client-key",
                )
            }
            Self::NoStream { kind: FailureKind::Limited, .. } => Some(
                "close what is not needed, or have the hub's operators raise the limit; --timeout waits longer \
                 for a place",
            ),
            Self::NoStream { kind: FailureKind::Refused, .. } | Self::Ended(Closed::Denied(_)) => {
                Some(GET_A_TOKEN)
            }
            Self::Unreachable { .. } | Self::Broken { .. } => Some(
                "is it running? `confhub serve` starts one here; \
                 --endpoint or CONFHUB_ENDPOINT names another",
            ),
            Self::Endpoint { .. } => Some(
                "for example: https://confhub.example.com, http://127.0.0.1:7600; \
                 --allow-plaintext allows http:// elsewhere",
            ),
            Self::Hub { status, .. } => match status.code() {
                Code::Unauthenticated => Some(GET_A_TOKEN),
                // Whoever is not let in needs no other role.
                Code::PermissionDenied if status.metadata().contains_key(wire::REASON_METADATA) => None,
                Code::PermissionDenied => Some(
                    "`confhub status` shows what the token grants; for a development hub, `confhub token --help` \
                     has the roles",
                ),
                Code::Unimplemented => {
                    Some("is the endpoint the gRPC port of a hub, and of a version that fits?")
                }
                Code::Aborted => Some("read the entry again, then decide; or leave out --expect-version"),
                _ => None,
            },
            Self::Batch { .. } => {
                Some("put it right and run the same command again: it compares anew, and sends what is left")
            }
            _ => None,
        }
    }
}

/// A limit is reached, and there may be room later.
const LIMITED: &str = "limited";

/// A limit is reached, and there is no room unless somebody makes some.
const FULL: &str = "full";

const GET_A_TOKEN: &str = "for a development hub: `export CONFHUB_TOKEN=$(confhub token --tenant acme --role writer)`; \
     otherwise use your identity provider's; --token-file takes a file";
