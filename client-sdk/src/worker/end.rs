//! How streams end, and what follows from it. The one place that knows what a
//! status code means to a client.

use super::session::reason_of;
use crate::budget::OverBudget;
use crate::credentials;
use crate::endpoint::{Connection, chain};
use crate::{Closed, FailureKind, limits};
use confhub_proto::frame::FrameError;
use confhub_proto::{TenantId, retry, wire};
use std::error::Error;
use std::time::Duration;
use tonic::Code;

/// How an attempt or a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The address did not answer as a hub does.
    #[error("cannot reach the hub: {0}")]
    Unreachable(String),
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] credentials::TokenError),
    /// The hub ended it with a status.
    #[error("the hub says {:?}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    /// The connection broke, and whatever status there is was made up here.
    #[error("the connection to the hub broke: {0}")]
    Broken(String),
    /// The hub announced the end.
    #[error("the hub says goodbye: {}", words(*.0))]
    Goodbye(wire::goodbye::Reason, Duration),
    /// No frame came for several heartbeat intervals.
    #[error("the hub was silent for {0:?}")]
    Silent(Duration),
    /// The stream ended with no status, or with a frame that does not belong.
    #[error("the hub broke the protocol: {0}")]
    Protocol(&'static str),
    /// A frame was malformed or an update too large.
    #[error("the hub sent what cannot be used: {0}")]
    Frame(#[from] FrameError),
    /// The state after an update would be too large.
    #[error("the state has {actual} bytes; at most {limit} are allowed: see `.max_state_bytes`")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// All states of a pool would be too large together.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The token is another tenant's than the one that the program asked for.
    /// Whose it is, is for the log alone: errors may be shown to whoever asked.
    #[error("{}", Closed::OtherTenant(.asked.clone()))]
    OtherTenant {
        /// The one asked for.
        asked: TenantId,
        /// The one in the hub's Welcome.
        named: String,
    },
    /// The state is not the hub's; its cursor was dropped.
    #[error("the state differs from the hub's and is asked for anew")]
    Diverged,
    /// The token now names another tenant or service than the state's.
    #[error("{}", Closed::IdentityChanged)]
    Moved,
    /// The same, but the state was that on disk, which nobody has seen yet.
    #[error("the state on disk is another tenant's or service's; the hub is asked for all of it")]
    ForeignFile,
    /// The stream was to take over from one that brought newer entries.
    #[error("the hub is behind the state that is held")]
    Behind,
}

/// How things stood when an attempt ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// The program does not have the client yet: `connect` can still fail.
    pub(super) starting: bool,
    /// A Welcome had arrived, so it is a hub that speaks, and no proxy.
    pub(super) opened: bool,
    /// There will never be another token.
    pub(super) token_is_fixed: bool,
}

/// What follows.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing: there is no use in coming back.
    Close(Closed),
    /// The next address of this round.
    NextAddress,
    /// A new round.
    Again,
    /// A new round after one of the longest pauses.
    MuchLater,
    /// A new round without this address for a while.
    Elsewhere(Duration),
    /// A new round with a new token.
    NewToken,
}

impl End {
    pub(super) fn verdict(&self, standing: Standing) -> Verdict {
        use wire::goodbye::Reason;
        match self {
            Self::Unreachable(_) | Self::Broken(_) => another(standing),
            Self::Status(status) => after(status, standing),
            Self::Goodbye(Reason::Revoked, _) => Verdict::Close(Closed::Revoked),
            Self::Goodbye(_, retry_after) => Verdict::Elsewhere(*retry_after),
            Self::OtherTenant { asked, .. } => Verdict::Close(Closed::OtherTenant(asked.clone())),
            Self::Moved => Verdict::Close(Closed::IdentityChanged),
            Self::TooLarge { .. } | Self::Frame(FrameError::TooLarge { .. }) => Verdict::MuchLater,
            // Somebody makes room meanwhile, if there is anybody to go.
            Self::OverBudget(_) => Verdict::Again,
            Self::Silent(_) | Self::Protocol(_) | Self::Frame(_) => Verdict::Elsewhere(limits::DISTRUST),
            Self::Token(_) | Self::Diverged | Self::ForeignFile | Self::Behind => Verdict::Again,
        }
    }

    /// Whether what arrived could not be used. To come back soon would be to
    /// get the same again.
    pub(super) fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Protocol(_) | Self::Frame(_) | Self::TooLarge { .. } | Self::OverBudget(_) | Self::Diverged
        )
    }

    /// Whether an update could not be applied, and will not be when it comes again. (A
    /// state that has diverged is put right by the next stream.)
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::TooLarge { .. } | Self::OverBudget(_))
    }

    /// Tells what it says of the connection, which other streams may be on.
    pub(super) fn blame(&self, connection: &Connection) {
        use wire::goodbye::Reason;
        match self {
            Self::Silent(patience) => connection.cut_if_silent(*patience),
            Self::Unreachable(_) | Self::Broken(_) | Self::Goodbye(Reason::Drain, _) => connection.doubt(),
            _ => {}
        }
    }

    /// Whether the stream ended as agreed. Until the next attempt fails, nothing
    /// is wrong.
    pub(super) fn is_planned(&self) -> bool {
        matches!(self, Self::Goodbye(..))
    }

    /// Whether the hub does not take the token.
    pub(super) fn is_refused_token(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::Unauthenticated)
    }

    /// Whether the token is not one for this client, or its owner is not let in.
    pub(super) fn is_about_identity(&self) -> bool {
        match self {
            Self::Status(status) => status.code() == Code::PermissionDenied,
            Self::OtherTenant { .. } | Self::Moved => true,
            _ => false,
        }
    }

    /// What it means for whoever looks at the status.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => FailureKind::Unreachable,
            Self::Token(_) => FailureKind::Token,
            Self::Status(status) => match status.code() {
                Code::PermissionDenied if Refusal::of(status) == Refusal::NotServed => FailureKind::NotServed,
                Code::PermissionDenied
                | Code::Unauthenticated
                | Code::InvalidArgument
                | Code::Unimplemented => FailureKind::Refused,
                Code::Unavailable | Code::ResourceExhausted => FailureKind::Limited,
                _ => FailureKind::Other,
            },
            Self::Goodbye(..) | Self::Behind => FailureKind::Limited,
            Self::Silent(_) => FailureKind::Silent,
            Self::TooLarge { .. } | Self::OverBudget(_) | Self::Frame(FrameError::TooLarge { .. }) => {
                FailureKind::TooLarge
            }
            Self::Protocol(_) | Self::Frame(_) | Self::Diverged => FailureKind::Protocol,
            Self::OtherTenant { .. } | Self::Moved | Self::ForeignFile => FailureKind::Identity,
        }
    }
}

impl From<tonic::Status> for End {
    fn from(status: tonic::Status) -> Self {
        // A status with a cause comes from the transport on this side; its code
        // is a guess that must not close a client.
        match status.source() {
            Some(cause) => Self::Broken(chain(cause)),
            None => Self::Status(Box::new(status)),
        }
    }
}

/// Why a hub does not let a caller in, in the hub's own word beside the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The token is revoked, and no other will come from the same hand.
    Revoked,
    /// The tenant is not served for now: operators may change that at any time.
    NotServed,
    /// No reason, or one that this version does not know.
    Unsaid,
}

impl Refusal {
    fn of(status: &tonic::Status) -> Self {
        match reason_of(status) {
            Some("revoked") => Self::Revoked,
            Some("suspended" | "unknown-tenant") => Self::NotServed,
            _ => Self::Unsaid,
        }
    }
}

/// A client that a program relies on is not closed by these codes alone: a proxy
/// that is set up wrongly for a minute sends them too.
fn after(status: &tonic::Status, standing: Standing) -> Verdict {
    let Standing { starting, opened, token_is_fixed } = standing;
    let denied = || Verdict::Close(Closed::Denied(status.message().into()));
    match status.code() {
        Code::PermissionDenied => match Refusal::of(status) {
            Refusal::Revoked => Verdict::Close(Closed::Revoked),
            Refusal::NotServed if !starting => Verdict::MuchLater,
            Refusal::NotServed => denied(),
            Refusal::Unsaid if starting || opened => denied(),
            Refusal::Unsaid => Verdict::MuchLater,
        },
        Code::InvalidArgument | Code::Unimplemented if starting => {
            Verdict::Close(Closed::Refused(format!("{:?}: {}", status.code(), status.message()).into()))
        }
        Code::InvalidArgument | Code::Unimplemented => Verdict::MuchLater,
        Code::Unauthenticated if starting && token_is_fixed => denied(),
        // There is no other, so it is for clocks and proxies that may be put right.
        Code::Unauthenticated if token_is_fixed => Verdict::MuchLater,
        Code::Unauthenticated => Verdict::NewToken,
        // This hub cannot serve now; another one may.
        Code::Unavailable | Code::ResourceExhausted => match retry::delay(status) {
            Some(delay) => Verdict::Elsewhere(delay),
            None => another(standing),
        },
        _ => Verdict::Again,
    }
}

/// While no stream was opened the round is young, and its addresses are good.
/// The addresses of a round that led to a stream may be hours old.
fn another(standing: Standing) -> Verdict {
    if standing.opened { Verdict::Again } else { Verdict::NextAddress }
}

fn words(reason: wire::goodbye::Reason) -> &'static str {
    use wire::goodbye::Reason;
    match reason {
        Reason::Unspecified => "no reason given",
        Reason::Drain => "it is shutting down",
        Reason::MaxAge => "the stream has reached its maximum age",
        Reason::TokenExpiring => "the token is about to expire",
        Reason::Revoked => "the right to listen was withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    fn verdict(status: Status) -> Verdict {
        End::from(status).verdict(Standing { starting: true, ..Standing::default() })
    }

    #[test]
    fn a_broken_connection_closes_nothing_whatever_status_it_was_given() {
        for cause in [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::PermissionDenied] {
            let status = Status::from_error(Box::new(std::io::Error::from(cause)));
            assert_eq!(verdict(status), Verdict::NextAddress, "{cause}");
        }
    }

    #[test]
    fn only_what_cannot_change_by_itself_closes() {
        assert_eq!(verdict(Status::permission_denied("no")), Verdict::Close(Closed::Denied("no".into())));
        assert!(matches!(verdict(Status::invalid_argument("x")), Verdict::Close(Closed::Refused(_))));
        assert!(matches!(verdict(Status::unimplemented("x")), Verdict::Close(Closed::Refused(_))));
        assert_eq!(verdict(Status::unauthenticated("x")), Verdict::NewToken);
        assert_eq!(verdict(Status::unavailable("x")), Verdict::NextAddress);
        let later = retry::later(Code::ResourceExhausted, "x", Duration::from_secs(2));
        assert_eq!(verdict(later), Verdict::Elsewhere(Duration::from_secs(2)));
        let fixed = Standing { starting: true, token_is_fixed: true, opened: false };
        let refused = End::from(Status::unauthenticated("x"));
        assert_eq!(refused.verdict(fixed), Verdict::Close(Closed::Denied("x".into())));
        let in_use = Standing { starting: false, ..fixed };
        assert_eq!(refused.verdict(in_use), Verdict::MuchLater);
        for code in [Code::Internal, Code::Unknown, Code::Cancelled, Code::NotFound, Code::DataLoss, Code::Ok]
        {
            assert_eq!(verdict(Status::new(code, "x")), Verdict::Again, "{code:?}");
        }
    }

    #[test]
    fn a_client_in_use_is_closed_by_nobody_but_a_hub() {
        for code in [Code::PermissionDenied, Code::InvalidArgument, Code::Unimplemented] {
            let end = End::from(Status::new(code, "x"));
            assert_eq!(end.verdict(Standing::default()), Verdict::MuchLater, "{code:?}");
        }
        let welcomed = Standing { opened: true, ..Standing::default() };
        let denied = End::from(Status::permission_denied("x"));
        assert_eq!(denied.verdict(welcomed), Verdict::Close(Closed::Denied("x".into())));
    }

    #[test]
    fn the_hubs_reason_decides_and_a_tenant_that_is_not_served_may_be_again() {
        let at_start = Standing { starting: true, ..Standing::default() };
        let welcomed = Standing { opened: true, ..Standing::default() };
        for (reason, verdicts, kind) in [
            (
                "revoked",
                [Verdict::Close(Closed::Revoked), Verdict::Close(Closed::Revoked)],
                FailureKind::Refused,
            ),
            ("suspended", [Verdict::MuchLater, Verdict::MuchLater], FailureKind::NotServed),
            ("unknown-tenant", [Verdict::MuchLater, Verdict::MuchLater], FailureKind::NotServed),
            (
                "of-a-later-version",
                [Verdict::MuchLater, Verdict::Close(Closed::Denied("x".into()))],
                FailureKind::Refused,
            ),
        ] {
            let mut status = Status::permission_denied("x");
            status.metadata_mut().insert(wire::REASON_METADATA, reason.parse().unwrap());
            let end = End::from(status);
            assert_eq!([end.verdict(Standing::default()), end.verdict(welcomed)], verdicts, "{reason}");
            assert!(matches!(end.verdict(at_start), Verdict::Close(_)), "{reason}");
            assert_eq!(end.kind(), kind, "{reason}");
        }
    }
}
