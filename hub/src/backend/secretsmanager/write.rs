//! One write: checked as far as Secrets Manager lets it be checked, then made.

use super::known::{CURRENT, Known, PREVIOUS, Version, millis};
use super::{KIND, SecretsManager};
use crate::aws::said;
use crate::backend::single::{Place, failed, only};
use crate::backend::{Action, BackendError, Cause, Change, Urgency, WriteError};
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;
use aws_sdk_secretsmanager::operation::delete_secret::DeleteSecretError;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::operation::update_secret_version_stage::UpdateSecretVersionStageError;
use confhub_proto::{Content, TenantId};
use std::time::Duration;

/// Largest value, in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
const VALUE_BYTES: usize = 65_536;

/// How often a write is looked for that does not show yet, and the wait between.
/// All calls are eventually consistent; in practice the first look finds it.
const LOOKS: usize = 6;
const LOOK: Duration = Duration::from_millis(100);

impl SecretsManager {
    pub(super) async fn write(
        &self,
        tenant: &TenantId,
        author: &str,
        changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError> {
        let Some(Change { address, action, expected }) = only(KIND, changes)? else { return Ok(Vec::new()) };
        let name = self.name(tenant, &address);
        let place = Place { kind: KIND, name, address, author, expected };
        let written = match action {
            Action::Put(content) => self.put(&place, &content).await,
            Action::Delete => self.delete(&place).await,
            Action::Restore(version) => self.restore(&place, version).await,
        };
        // Whatever came of it, the list does not show it yet.
        self.recent.note(tenant, &[place.address]);
        Ok(vec![written?])
    }

    async fn put(&self, place: &Place<'_>, content: &Content) -> Result<u64, WriteError> {
        use PutSecretValueError as E;
        fit(content).map_err(|reason| place.unfit(reason))?;
        let Some(known) = self.known(place).await? else {
            return self.create(place, content).await;
        };
        // Taken once: what is begun is ended, though the hub closes meanwhile.
        let calls = self.calls()?;
        if known.deleted {
            calls.restore(&place.name).await?;
        }
        match calls.put(&place.name, &content.value).await {
            Ok(id) => self.put_over(place, &known, &id).await,
            Err(error) => {
                if known.deleted && refused(&error) {
                    calls.delete_again(&place.name).await;
                }
                Err(match error.as_service_error() {
                    Some(E::InvalidParameterException(_) | E::LimitExceededException(_)) => {
                        place.unfit(said(&error))
                    }
                    _ => failed(KIND, &error).into(),
                })
            }
        }
    }

    async fn create(&self, place: &Place<'_>, content: &Content) -> Result<u64, WriteError> {
        use CreateSecretError as E;
        let id = version_id();
        let error = match self.calls()?.create(&place.name, &content.value, &id).await {
            Ok(()) => {
                let seen = self.seen(place, |known| known.has(&id)).await?;
                return Ok(seen.ok_or_else(|| unseen(place))?.version());
            }
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(E::ResourceExistsException(_)) => {
                // The answer to an attempt may have been lost, and the call been made
                // once more by the SDK: then it is ourselves who made it.
                match self.calls()?.describe(&place.name, Urgency::Demand).await? {
                    Some(known) if known.has(&id) => Ok(known.version()),
                    _ => Err(self.others(place).await),
                }
            }
            Some(E::InvalidParameterException(_) | E::LimitExceededException(_)) => {
                Err(place.unfit(said(&error)))
            }
            _ => Err(failed(KIND, &error).into()),
        }
    }

    /// The number of the version `id`, which was put over what was there `before`.
    async fn put_over(&self, place: &Place<'_>, before: &Known, id: &str) -> Result<u64, WriteError> {
        let seen = self.seen(place, |known| known.has(id)).await?;
        let Some(after) = seen.filter(|after| after.staged(CURRENT) == Some(id)) else {
            return self.overwritten(place, before, id).await;
        };
        let under = after.staged(PREVIOUS);
        match place.expected {
            Some(_) if under != before.staged(CURRENT) => {
                let versions = self.calls()?.versions(&place.name).await?;
                let under = versions.into_iter().find(|version| Some(version.id.as_str()) == under);
                let moment = under.map_or(0, |under| millis(under.created));
                Err(place.lost_race(moment, after.version()))
            }
            _ => Ok(after.version()),
        }
    }

    async fn restore(&self, place: &Place<'_>, number: u64) -> Result<u64, WriteError> {
        use UpdateSecretVersionStageError as E;
        let Some(known) = self.known(place).await? else {
            return Err(place.unknown_version(number, "none".to_owned()));
        };
        let versions = self.calls()?.versions(&place.name).await?;
        let kept = kept(&known, &versions);
        let Some(version) = known.at(number, versions) else {
            return Err(place.unknown_version(number, kept));
        };
        let calls = self.calls()?;
        if known.deleted {
            calls.restore(&place.name).await?;
        }
        let current = known.staged(CURRENT);
        if current != Some(version.id.as_str())
            && let Err(error) = calls.promote(&place.name, &version.id, current).await
        {
            // Something else is in force than a moment ago: somebody else's write.
            if matches!(error.as_service_error(), Some(E::InvalidParameterException(_))) {
                return Err(WriteError::Contended(place.address.clone()));
            }
            if known.deleted && refused(&error) {
                calls.delete_again(&place.name).await;
            }
            return Err(failed(KIND, &error).into());
        }
        let done = |known: &Known| !known.deleted && known.staged(CURRENT) == Some(version.id.as_str());
        Ok(self.seen(place, done).await?.ok_or_else(|| unseen(place))?.version())
    }

    /// Deletes what is there. Somebody else's write between the look and the
    /// deletion is deleted with it, and nothing tells.
    async fn delete(&self, place: &Place<'_>) -> Result<u64, WriteError> {
        use DeleteSecretError as E;
        let known = self.known(place).await?.filter(|known| known.version() > 0);
        let Some(known) = known else { return Err(WriteError::NotFound(place.address.clone())) };
        let done = self.calls()?.delete(&place.name).await;
        done.map_err(|error| match error.as_service_error() {
            Some(E::ResourceNotFoundException(_) | E::InvalidRequestException(_)) => place.gone(),
            _ => failed(KIND, &error).into(),
        })?;
        // Deletions have no moment of their own.
        Ok(known.version() + 1)
    }

    /// What there is, if it is what the writer expects.
    async fn known(&self, place: &Place<'_>) -> Result<Option<Known>, WriteError> {
        let known = self.calls()?.describe(&place.name, Urgency::Demand).await?;
        place.check(known.as_ref().map_or(0, Known::version))?;
        Ok(known)
    }

    /// Somebody else made the secret meanwhile.
    async fn others(&self, place: &Place<'_>) -> WriteError {
        if place.expected.is_none() {
            return WriteError::Contended(place.address.clone());
        }
        match self.known(place).await {
            Ok(_) => WriteError::Contended(place.address.clone()),
            Err(error) => error,
        }
    }

    /// The number of the version `id` that was written, and written over at once,
    /// so that the secret's last change is somebody else's. A version that is two
    /// behind has lost its stage.
    async fn overwritten(&self, place: &Place<'_>, before: &Known, id: &str) -> Result<u64, WriteError> {
        let versions = self.calls()?.versions(&place.name).await?;
        if let Some(own) = versions.iter().find(|version| version.id == id) {
            let written = millis(own.created);
            let earlier = versions.iter().filter(|version| version.created < own.created);
            return match earlier.max_by_key(|version| version.created) {
                Some(under)
                    if place.expected.is_some() && Some(under.id.as_str()) != before.staged(CURRENT) =>
                {
                    Err(place.lost_race(millis(under.created), written))
                }
                _ => Ok(written),
            };
        }
        let after = self.calls()?.describe(&place.name, Urgency::Demand).await?;
        // Whoever expected a version is owed more than a guess.
        let moved = |after: &Known| after.staged(CURRENT) != before.staged(CURRENT);
        let after = after.filter(|after| place.expected.is_none() && moved(after));
        after.map(|after| after.version()).ok_or_else(|| unseen(place).into())
    }

    /// The secret once `shown` is true of it: once a write shows.
    async fn seen(
        &self,
        place: &Place<'_>,
        shown: impl Fn(&Known) -> bool,
    ) -> Result<Option<Known>, BackendError> {
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK).await;
            }
            let known = self.calls()?.describe(&place.name, Urgency::Demand).await?;
            if let Some(known) = known.filter(&shown) {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }
}

/// A new id for a version, of the form that Secrets Manager asks for: 32 to 64
/// characters.
fn version_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// Whether Secrets Manager has said that it does not do this. Any other failure
/// may have come after it was done.
fn refused<E>(error: &SdkError<E>) -> bool {
    matches!(error, SdkError::ServiceError(answer) if answer.raw().status().is_client_error())
}

fn unseen(place: &Place<'_>) -> BackendError {
    let reason = format!("{} was written, and does not show: read it before writing again", place.address);
    BackendError::Unavailable { kind: KIND, cause: Cause::Timeout, reason }
}

/// What Secrets Manager can keep.
fn fit(content: &Content) -> Result<(), String> {
    if !content.secret {
        return Err("everything in this backend is a secret: mark it as one, or give it a key of another \
                    prefix"
            .to_owned());
    }
    if content.value.is_empty() {
        return Err("the value is empty, which Secrets Manager does not keep: delete the entry".to_owned());
    }
    if content.value.len() > VALUE_BYTES {
        let bytes = content.value.len();
        return Err(format!("the value has {bytes} bytes, and Secrets Manager takes at most {VALUE_BYTES}"));
    }
    if ![Content::TEXT, Content::JSON, Content::BINARY].contains(&&*content.content_type) {
        return Err(format!(
            "its content type is `{}`, and Secrets Manager keeps none: write it as `{}`",
            content.content_type,
            Content::TEXT
        ));
    }
    Ok(())
}

/// Which moments can be restored, in words.
fn kept(known: &Known, versions: &[Version]) -> String {
    let moments = || versions.iter().map(|version| millis(known.moment_of(version)));
    match (moments().min(), moments().max()) {
        (Some(oldest), Some(newest)) => format!("{oldest} to {newest}"),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_secrets_of_a_size_are_kept() {
        let fit = |bytes: usize, content_type: &str, secret| {
            fit(&Content { value: Bytes::from(vec![0xff; bytes]), content_type: content_type.into(), secret })
        };
        for content_type in [Content::TEXT, Content::JSON, Content::BINARY] {
            assert_eq!(fit(65_536, content_type, true), Ok(()));
        }
        assert!(fit(65_537, Content::BINARY, true).unwrap_err().contains("65537"));
        assert!(fit(0, Content::BINARY, true).is_err());
        assert!(fit(1, "application/yaml", true).unwrap_err().contains("yaml"));
        assert!(fit(1, Content::TEXT, false).unwrap_err().contains("mark it"));
    }
}
