//! What the stores share that make one change at a time and have no conditional
//! write.

use super::{BackendError, Change, WriteError};
use crate::aws::{cause, said};
use crate::source::Address;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Where a change is made, by whom, and over what.
pub(super) struct Place<'a> {
    pub(super) kind: &'static str,
    /// What the store calls it.
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) author: &'a str,
    pub(super) expected: Option<u64>,
}

impl Place<'_> {
    /// Whether `actual` is the version that the writer expects; 0: nothing.
    pub(super) fn check(&self, actual: u64) -> Result<(), WriteError> {
        match self.expected {
            Some(expected) if expected != actual => Err(self.conflict(actual)),
            _ => Ok(()),
        }
    }

    pub(super) fn conflict(&self, actual: u64) -> WriteError {
        let expected = self.expected.unwrap_or(0);
        WriteError::Conflict { address: self.address.clone(), expected, actual }
    }

    pub(super) fn unfit(&self, reason: String) -> WriteError {
        WriteError::Unfit { address: self.address.clone(), kind: self.kind, reason }
    }

    /// There is nothing any more, where a look before had found something.
    pub(super) fn gone(&self) -> WriteError {
        self.expected.map_or_else(|| WriteError::NotFound(self.address.clone()), |_| self.conflict(0))
    }

    /// What was written is `written`, over what somebody else had written meanwhile.
    pub(super) fn lost_race(&self, overwritten: u64, written: u64) -> WriteError {
        let expected = self.expected.unwrap_or(0);
        WriteError::LostRace { address: self.address.clone(), expected, overwritten, written }
    }

    pub(super) fn unknown_version(&self, version: u64, kept: String) -> WriteError {
        WriteError::UnknownVersion { address: self.address.clone(), version, kept }
    }
}

/// The one change of a write; `None`: it has none.
pub(super) fn only(kind: &'static str, mut changes: Vec<Change>) -> Result<Option<Change>, WriteError> {
    if changes.len() > 1 {
        return Err(WriteError::TooMany { kind, changes: changes.len(), limit: 1 });
    }
    Ok(changes.pop())
}

/// A call of AWS that failed.
pub(super) fn failed<E, R>(kind: &'static str, error: &SdkError<E, R>) -> BackendError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    BackendError::Unavailable { kind, cause: cause(error), reason: said(error) }
}

/// The token of the next page of a list. One that repeats itself would never end.
pub(super) fn next_page(
    kind: &'static str,
    last: Option<String>,
    next: Option<String>,
) -> Result<Option<String>, BackendError> {
    let next = next.filter(|token| !token.is_empty());
    if next.is_some() && next == last {
        let reason = "a list goes on with the same page for ever".to_owned();
        return Err(BackendError::Damaged { kind, reason });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_repeats_itself_ends() {
        let token = |text: &str| Some(text.to_owned());
        assert_eq!(next_page("x", None, token("a")).unwrap(), token("a"));
        assert_eq!(next_page("x", token("a"), token("")).unwrap(), None);
        assert_eq!(next_page("x", token("a"), None).unwrap(), None);
        assert!(next_page("x", token("a"), token("a")).is_err());
    }
}
