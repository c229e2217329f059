//! The calls of Secrets Manager, each read within the budget.

use super::KIND;
use super::known::{CURRENT, Known, Version};
use crate::aws::{Account, Budget, Pulse};
use crate::backend::single::{failed, next_page};
use crate::backend::{BackendError, Urgency};
use crate::config::AwsSettings;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;
use aws_sdk_secretsmanager::operation::delete_secret::DeleteSecretError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::operation::update_secret_version_stage::UpdateSecretVersionStageError;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
use bytes::Bytes;

/// Reads a second, of all tenants together. The scarcest of them, `ListSecrets`,
/// is throttled at 100 a second for all callers of an account and region together;
/// this leaves them half.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const READS_PER_SECOND: usize = 50;

/// Most secrets or versions of one answer.
const PAGE: i32 = 100;

/// How long a deleted secret can be restored, in days: the shortest time that
/// there is, since a name cannot be given away before.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
const RECOVERY_DAYS: i64 = 7;

/// Secrets Manager, as far as the hub uses it. Calls are tried again by the SDK,
/// which names each write by a token, so that none is made twice.
pub(super) struct Calls {
    client: Client,
    budget: Budget,
    pulse: Pulse,
    kms_key: Option<String>,
}

/// A value, which no `Debug` shows.
pub(super) struct Value {
    /// It was written as text, and not as bytes.
    pub(super) text: bool,
    pub(super) bytes: Bytes,
}

impl Calls {
    pub(super) fn new(account: &Account, settings: &AwsSettings) -> Self {
        Self {
            client: Client::new(account.config()),
            budget: Budget::new(READS_PER_SECOND),
            pulse: Pulse::new(KIND),
            kms_key: settings.kms_key.clone(),
        }
    }

    /// A page of the secrets whose names begin with `path`, and some others: the
    /// filter goes by words; and the token of the next one. Those that are scheduled
    /// for deletion are not among them.
    pub(super) async fn below(
        &self,
        path: &str,
        token: Option<String>,
        urgency: Urgency,
    ) -> Result<(Vec<(String, Known)>, Option<String>), BackendError> {
        self.budget.take(urgency).await;
        let filter = Filter::builder().key(FilterNameStringType::Name).values(path).build();
        let call = self.client.list_secrets().filters(filter).include_planned_deletion(false);
        let page = self.heard(call.max_results(PAGE).set_next_token(token.clone()).send().await)?;
        let next = next_page(KIND, token, page.next_token)?;
        let named = |mut secret: SecretListEntry| Some((secret.name.take()?, Known::from(secret)));
        Ok((page.secret_list.unwrap_or_default().into_iter().filter_map(named).collect(), next))
    }

    /// What is known of one secret; `None`: there is none.
    pub(super) async fn describe(&self, name: &str, urgency: Urgency) -> Result<Option<Known>, BackendError> {
        self.budget.take(urgency).await;
        match self.client.describe_secret().secret_id(name).send().await {
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                self.pulse.record(&Ok(()));
                Ok(None)
            }
            outcome => self.heard(outcome).map(|found| Some(found.into())),
        }
    }

    /// The versions of a secret, those without a stage too.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<Version>, BackendError> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            self.budget.take(Urgency::Demand).await;
            let call = self.client.list_secret_version_ids().secret_id(name).include_deprecated(true);
            let page = match call.max_results(PAGE).set_next_token(token.clone()).send().await {
                Ok(page) => page,
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_resource_not_found_exception()) =>
                {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(failed(KIND, &error)),
            };
            found.extend(page.versions.unwrap_or_default().into_iter().map(Version::from));
            token = next_page(KIND, token, page.next_token)?;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// The value in force; `None`: there is none.
    pub(super) async fn value(&self, name: &str) -> Result<Option<Value>, BackendError> {
        use GetSecretValueError as E;
        self.budget.take(Urgency::Demand).await;
        let found = match self.client.get_secret_value().secret_id(name).send().await {
            Ok(found) => found,
            Err(error) => {
                return match error.as_service_error() {
                    // The second: it is scheduled for deletion.
                    Some(E::ResourceNotFoundException(_) | E::InvalidRequestException(_)) => Ok(None),
                    _ => Err(failed(KIND, &error)),
                };
            }
        };
        let text = found.secret_string.map(|text| Value { text: true, bytes: text.into() });
        let binary =
            || found.secret_binary.map(|blob| Value { text: false, bytes: blob.into_inner().into() });
        Ok(text.or_else(binary))
    }

    /// Makes a secret, whose first version gets this id.
    pub(super) async fn create(
        &self,
        name: &str,
        value: &Bytes,
        id: &str,
    ) -> Result<(), SdkError<CreateSecretError>> {
        let call = self.client.create_secret().name(name).set_kms_key_id(self.kms_key.clone());
        let (text, binary) = either(value);
        let call = call.client_request_token(id).set_secret_string(text).set_secret_binary(binary);
        call.send().await.map(drop)
    }

    /// Gives a secret a new version, and puts it into force.
    pub(super) async fn put(
        &self,
        name: &str,
        value: &Bytes,
    ) -> Result<String, SdkError<PutSecretValueError>> {
        let (text, binary) = either(value);
        let call = self.client.put_secret_value().secret_id(name);
        let made = call.set_secret_string(text).set_secret_binary(binary).send().await?;
        Ok(made.version_id.unwrap_or_default())
    }

    /// Puts an earlier version into force, in place of the version `from`. The call
    /// fails if that is in force no longer.
    pub(super) async fn promote(
        &self,
        name: &str,
        to: &str,
        from: Option<&str>,
    ) -> Result<(), SdkError<UpdateSecretVersionStageError>> {
        let call = self.client.update_secret_version_stage().secret_id(name).version_stage(CURRENT);
        let call = call.move_to_version_id(to).set_remove_from_version_id(from.map(str::to_owned));
        call.send().await.map(drop)
    }

    /// Takes a secret back that is scheduled for deletion.
    pub(super) async fn restore(&self, name: &str) -> Result<(), BackendError> {
        let done = self.client.restore_secret().secret_id(name).send().await;
        done.map(drop).map_err(|error| failed(KIND, &error))
    }

    /// Schedules a secret for deletion.
    pub(super) async fn delete(&self, name: &str) -> Result<(), SdkError<DeleteSecretError>> {
        let call = self.client.delete_secret().secret_id(name).recovery_window_in_days(RECOVERY_DAYS);
        call.send().await.map(drop)
    }

    /// Deletes what was restored for a write that was refused: what was deleted is
    /// not to come back by it. This may fail as well, and the first error is the
    /// one that tells.
    pub(super) async fn delete_again(&self, name: &str) {
        let _ = self.delete(name).await;
    }

    /// Whether Secrets Manager answers, at the cost of one read at most.
    pub(super) async fn check(&self, root: &str) -> Result<(), BackendError> {
        // No tenant is named like this: the answer is that there is nothing.
        let name = format!("/{root}/-");
        self.pulse.check(async { self.describe(&name, Urgency::Demand).await.map(drop) }).await
    }

    /// Takes note of how a read went that any hub makes all the time: a key that
    /// may not be used does not say that the store is down.
    fn heard<T, E, R>(&self, outcome: Result<T, SdkError<E, R>>) -> Result<T, BackendError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let outcome = outcome.map_err(|error| failed(KIND, &error));
        self.pulse.record(&outcome);
        outcome
    }
}

/// A value as text if it is UTF-8, for those who read it elsewhere, and otherwise
/// as bytes.
fn either(value: &Bytes) -> (Option<String>, Option<Blob>) {
    match std::str::from_utf8(value) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(Blob::new(value.to_vec()))),
    }
}
