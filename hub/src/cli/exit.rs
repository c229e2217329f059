//! Exit codes: one table, part of the interface. A script may rely on each.

use confhub_proto::retry;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line, a setting, a file or a request is wrong (also what `clap` exits with).
    Usage = 2,
    /// There is no such entry or version.
    NotFound = 3,
    /// The entry does not have the expected version.
    Conflict = 4,
    /// No valid token, or a token without the right.
    Denied = 5,
    /// No hub answered, or it cannot serve just now: the same may be done later.
    Unreachable = 6,
    /// `diff` found differences, or could not compare everything.
    Different = 7,
    /// A change was made, and not every instance has applied it.
    NotApplied = 8,
}

/// The table, as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  done
  1  failed for another reason
  2  the command line, a setting, a file or a request is wrong
  3  no such entry or version
  4  conflict: the entry does not have the expected version
  5  no valid token, or not allowed
  6  no hub answered, or it cannot serve just now (it is at a limit): try later
  7  `diff` found differences, or secrets that it could not compare
  8  the change was made, and not every instance has applied it (`--wait`)";

impl Exit {
    /// How JSON spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Different => "different",
            Self::NotApplied => "not_applied",
        }
    }

    /// What a call's status means to a script.
    pub(crate) fn of_status(status: &tonic::Status) -> Self {
        match retry::delay(status) {
            Some(_) if status.code() == tonic::Code::ResourceExhausted => Self::Unreachable,
            _ => Self::of_code(status.code()),
        }
    }

    /// The same for one that does not say when to come back.
    pub(crate) fn of_code(code: tonic::Code) -> Self {
        use tonic::Code;
        match code {
            Code::Ok => Self::Ok,
            Code::NotFound => Self::NotFound,
            Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied,
            Code::InvalidArgument => Self::Usage,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unreachable,
            Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Exit; 9] = [
        Exit::Ok,
        Exit::Failure,
        Exit::Usage,
        Exit::NotFound,
        Exit::Conflict,
        Exit::Denied,
        Exit::Unreachable,
        Exit::Different,
        Exit::NotApplied,
    ];

    #[test]
    fn the_table_has_a_line_for_each_code() {
        let lines: Vec<_> = TABLE.lines().skip(1).collect();
        assert_eq!(lines.len(), ALL.len());
        for exit in ALL {
            let start = format!("  {}  ", exit as u8);
            assert!(lines.iter().any(|line| line.starts_with(&start)), "{exit:?}");
        }
    }

    #[test]
    fn a_status_becomes_the_code_that_the_table_promises() {
        use tonic::Code;
        for (code, exit) in [
            (Code::NotFound, 3),
            (Code::Aborted, 4),
            (Code::Unauthenticated, 5),
            (Code::PermissionDenied, 5),
            (Code::Unavailable, 6),
            (Code::DeadlineExceeded, 6),
            (Code::InvalidArgument, 2),
            (Code::ResourceExhausted, 1),
        ] {
            assert_eq!(Exit::of_status(&tonic::Status::new(code, "x")) as u8, exit, "{code:?}");
        }
        // What no wait cures is no matter of when.
        let later = |code| retry::later(code, "x", std::time::Duration::from_secs(1));
        assert_eq!(Exit::of_status(&later(Code::ResourceExhausted)), Exit::Unreachable);
        assert_eq!(Exit::of_status(&later(Code::Aborted)), Exit::Conflict);
    }
}
