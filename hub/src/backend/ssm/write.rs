//! One write: checked as far as Parameter Store lets it be checked, then made.

use super::fit::Fitted;
use super::history::description;
use super::parameter::{Raw, Stored};
use super::{KIND, Ssm};
use crate::backend::single::{Place, failed, only};
use crate::backend::{Action, BackendError, Change, WriteError};
use aws_sdk_ssm::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ssm::operation::put_parameter::PutParameterError;
use aws_sdk_ssm::types::ParameterType;
use confhub_proto::{Content, TenantId};

impl Ssm {
    pub(super) async fn write(
        &self,
        tenant: &TenantId,
        author: &str,
        changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError> {
        let Some(Change { address, action, expected }) = only(KIND, changes)? else { return Ok(Vec::new()) };
        let place = Place { kind: KIND, name: self.name(tenant, &address), address, author, expected };
        let written = match action {
            Action::Put(content) => self.put(&place, &content).await?,
            Action::Delete => self.delete(&place).await?,
            Action::Restore(version) => self.restore(&place, version).await?,
        };
        Ok(vec![written])
    }

    async fn put(&self, place: &Place<'_>, content: &Content) -> Result<u64, WriteError> {
        // Where nothing is expected, the write itself fails if there is something.
        let existing = if place.expected == Some(0) { None } else { self.present(place).await? };
        place.check(present_version(existing.as_ref()))?;
        let secret = existing.as_ref().is_some_and(|existing| existing.entry.is_secret());
        if secret && !content.secret {
            return Err(WriteError::Exposes(place.address.clone()));
        }
        let kind = existing.as_ref().map(|existing| &existing.kind);
        let fitted = self.rules.fit(content, kind).map_err(|reason| place.unfit(reason))?;
        self.over(place, existing.as_ref(), fitted).await
    }

    async fn restore(&self, place: &Place<'_>, version: u64) -> Result<u64, WriteError> {
        let existing = self.present(place).await?;
        place.check(present_version(existing.as_ref()))?;
        let selected = format!("{}:{version}", place.name);
        let Some(kept) = self.calls()?.one(&selected, false).await? else {
            return Err(self.unknown(place, version).await);
        };
        let Raw { kind, mut value, .. } = kept.into();
        if kind == ParameterType::SecureString {
            let Some(decrypted) = self.calls()?.one(&selected, true).await? else {
                return Err(self.unknown(place, version).await);
            };
            // From here on the call that writes it owns it.
            value = Raw::from(decrypted).value;
        } else if existing.as_ref().is_some_and(|existing| existing.entry.is_secret()) {
            return Err(WriteError::Exposes(place.address.clone()));
        }
        self.rules.check_size(&value).map_err(|reason| place.unfit(reason))?;
        self.over(place, existing.as_ref(), Fitted { kind, value }).await
    }

    /// Deletes what is there. Somebody else's write between the look and the
    /// deletion is deleted with it, and nothing tells.
    async fn delete(&self, place: &Place<'_>) -> Result<u64, WriteError> {
        let existing = self.present(place).await?;
        place.check(present_version(existing.as_ref()))?;
        let existing = existing.ok_or_else(|| WriteError::NotFound(place.address.clone()))?;
        match self.calls()?.delete(&place.name).await {
            // Parameter Store does not count deletions.
            Ok(()) => Ok(existing.entry.version() + 1),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => {
                Err(place.gone())
            }
            Err(error) => Err(failed(KIND, &error).into()),
        }
    }

    /// Writes over `existing`, or where there is nothing.
    async fn over(
        &self,
        place: &Place<'_>,
        existing: Option<&Stored>,
        fitted: Fitted,
    ) -> Result<u64, WriteError> {
        let next = present_version(existing) + 1;
        let overwrite = place.expected != Some(0);
        let text = description(place.author, next);
        let written = match self.calls()?.put(&place.name, fitted, &text, overwrite).await {
            Ok(written) => u64::try_from(written).unwrap_or(0),
            Err(error) => return Err(self.refused(place, error).await),
        };
        match place.expected {
            Some(expected) if written != expected + 1 => Err(WriteError::LostRace {
                address: place.address.clone(),
                expected,
                overwritten: written.saturating_sub(1),
                written,
            }),
            _ => Ok(written),
        }
    }

    /// What the refusal of a write means.
    async fn refused(&self, place: &Place<'_>, error: SdkError<PutParameterError>) -> WriteError {
        use PutParameterError as E;
        let said = crate::aws::said(&error);
        let reason = match error.as_service_error() {
            Some(E::ParameterAlreadyExists(_)) => {
                return match self.present(place).await {
                    Ok(Some(existing)) => place.conflict(existing.entry.version()),
                    // Something that was there a moment ago.
                    Ok(None) => WriteError::Contended(place.address.clone()),
                    Err(error) => error.into(),
                };
            }
            Some(E::ParameterMaxVersionLimitExceeded(_)) => format!(
                "{said}: the oldest of its 100 versions has a label, so that no more are taken: move the label \
                 to a newer version"
            ),
            Some(E::HierarchyTypeMismatchException(_)) => {
                format!("{said}: delete the entry first, to write it as another type")
            }
            Some(E::ParameterPatternMismatchException(_)) => {
                format!("{said}: the parameter has an allowed pattern, which the value does not match")
            }
            Some(
                E::ParameterLimitExceeded(_)
                | E::InvalidKeyId(_)
                | E::UnsupportedParameterType(_)
                | E::PoliciesLimitExceededException(_),
            ) => said,
            Some(other) if other.code() == Some("ValidationException") => said,
            _ => return failed(KIND, &error).into(),
        };
        place.unfit(reason)
    }

    /// What there is now.
    async fn present(&self, place: &Place<'_>) -> Result<Option<Stored>, BackendError> {
        let found = self.calls()?.one(&place.name, false).await?;
        let Some(found) = found else { return Ok(None) };
        let stored = Raw::from(found).stored(&place.address, self.lists());
        stored.map(Some).map_err(super::damaged)
    }

    async fn unknown(&self, place: &Place<'_>, version: u64) -> WriteError {
        let found = match self.calls() {
            Ok(calls) => calls.versions(&place.name).await,
            Err(error) => Err(error),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        let versions = || found.iter().map(|found| found.version);
        let kept = match (versions().min(), versions().max()) {
            (Some(oldest), Some(newest)) => format!("{oldest} to {newest}"),
            _ => "none".to_owned(),
        };
        place.unknown_version(version, kept)
    }
}

fn present_version(existing: Option<&Stored>) -> u64 {
    existing.map_or(0, |existing| existing.entry.version())
}
