//! The calls of Parameter Store, each within the budget.

use super::KIND;
use super::fit::Fitted;
use crate::aws::{Account, Budget, Pulse, once};
use crate::backend::single::{failed, next_page};
use crate::backend::{BackendError, Urgency};
use crate::config::{AwsSettings, ParameterTier};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::delete_parameter::DeleteParameterError;
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use aws_sdk_ssm::operation::put_parameter::PutParameterError;
use aws_sdk_ssm::types::{self, Parameter, ParameterHistory, ParameterType};

/// Most parameters of one answer of `GetParametersByPath`, and most names of one
/// `GetParameters`.
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html>
pub(super) const BATCH: usize = 10;

/// Most versions of one answer of `GetParameterHistory`.
const HISTORY_PAGE: i32 = 50;

/// Parameter Store, as far as the hub uses it.
pub(super) struct Calls {
    /// Makes calls again that failed on their way.
    reader: Client,
    /// Makes each call once.
    writer: Client,
    budget: Budget,
    pulse: Pulse,
    kms_key: Option<String>,
    tier: types::ParameterTier,
}

impl Calls {
    pub(super) fn new(account: &Account, settings: &AwsSettings) -> Self {
        let once = Builder::from(account.config()).retry_config(RetryConfig::disabled());
        Self {
            reader: Client::new(account.config()),
            writer: Client::from_conf(once.build()),
            budget: Budget::new(settings.parameter_reads),
            pulse: Pulse::new(KIND),
            kms_key: settings.kms_key.clone(),
            tier: match settings.parameter_tier {
                ParameterTier::Standard => types::ParameterTier::Standard,
                ParameterTier::Advanced => types::ParameterTier::Advanced,
                ParameterTier::Intelligent => types::ParameterTier::IntelligentTiering,
            },
        }
    }

    /// A page of the parameters below `path`, nothing of them decrypted, and the
    /// token of the next one.
    pub(super) async fn below(
        &self,
        path: &str,
        token: Option<String>,
        urgency: Urgency,
    ) -> Result<(Vec<Parameter>, Option<String>), BackendError> {
        self.budget.take(urgency).await;
        let call = self.reader.get_parameters_by_path().path(path).recursive(true).with_decryption(false);
        let call = call.max_results(i32::try_from(BATCH).unwrap_or(10)).set_next_token(token.clone());
        let page = self.heard(call.send().await)?;
        let next = next_page(KIND, token, page.next_token)?;
        Ok((page.parameters.unwrap_or_default(), next))
    }

    /// The parameters of at most [`BATCH`] names, as far as they exist.
    pub(super) async fn named(&self, names: &[String]) -> Result<Vec<Parameter>, BackendError> {
        self.budget.take(Urgency::Demand).await;
        let call = self.reader.get_parameters().set_names(Some(names.to_vec())).with_decryption(false);
        let found = self.heard(call.send().await)?;
        Ok(found.parameters.unwrap_or_default())
    }

    /// One parameter; `name` may end in `:version`. `None`: there is none such.
    pub(super) async fn one(&self, name: &str, decrypt: bool) -> Result<Option<Parameter>, BackendError> {
        self.budget.take(Urgency::Demand).await;
        match self.reader.get_parameter().name(name).with_decryption(decrypt).send().await {
            Ok(found) => Ok(found.parameter),
            Err(SdkError::ServiceError(answer))
                if matches!(
                    answer.err(),
                    GetParameterError::ParameterNotFound(_) | GetParameterError::ParameterVersionNotFound(_)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(KIND, &error)),
        }
    }

    /// The kept versions of a parameter, at most 100; none if it does not exist.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<ParameterHistory>, BackendError> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            self.budget.take(Urgency::Demand).await;
            let call = self.reader.get_parameter_history().name(name).with_decryption(false);
            let call = call.max_results(HISTORY_PAGE).set_next_token(token.clone());
            let page = match call.send().await {
                Ok(page) => page,
                Err(error)
                    if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) =>
                {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(failed(KIND, &error)),
            };
            found.extend(page.parameters.unwrap_or_default());
            token = next_page(KIND, token, page.next_token)?;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Writes a parameter and returns its version.
    pub(super) async fn put(
        &self,
        name: &str,
        Fitted { kind, value }: Fitted,
        description: &str,
        overwrite: bool,
    ) -> Result<i64, SdkError<PutParameterError>> {
        let key = self.kms_key.clone().filter(|_| kind == ParameterType::SecureString);
        let call = self.writer.put_parameter().name(name).value(value).description(description);
        let call = call.r#type(kind).tier(self.tier.clone()).overwrite(overwrite).set_key_id(key);
        let written = once(|| call.clone().send()).await?.version;
        self.pulse.record(&Ok(()));
        Ok(written)
    }

    /// Deletes a parameter with its history.
    pub(super) async fn delete(&self, name: &str) -> Result<(), SdkError<DeleteParameterError>> {
        let call = self.writer.delete_parameter().name(name);
        once(|| call.clone().send()).await.map(drop)
    }

    /// Whether Parameter Store answers, at the cost of one read at most.
    pub(super) async fn check(&self, root: &str) -> Result<(), BackendError> {
        // No tenant is named like this: the answer is that there is nothing.
        let probe = async { self.named(&[format!("/{root}/-")]).await.map(drop) };
        self.pulse.check(probe).await
    }

    /// Takes note of how a read went. Only of those that any hub makes all the
    /// time: a key that may not be used, or a write that may not be made, does not
    /// say that the store is down.
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
