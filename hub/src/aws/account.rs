//! The account: region, credentials, time limits.

use crate::config::AwsSettings;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::SharedCredentialsProvider;
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Longest wait for one answer. The slowest that is asked for, a page of 1 MB,
/// takes a tenth of it.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Longest time for a call with all its attempts: less than the 10 s that the
/// commands wait for the hub, so that who waits hears that it is the store.
const CALL: Duration = Duration::from_secs(9);

/// Attempts of one call, with the SDK's own backoff and its limit on retries in
/// all. What still fails is tried again by whoever needs it, more slowly.
const ATTEMPTS: u32 = 3;

/// An AWS account, as the settings and the machine describe it.
#[derive(Debug, Clone)]
pub struct Account {
    config: SdkConfig,
}

/// An account that cannot be told from settings and machine.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No region.
    #[error("no AWS region is known: set `aws.region`, or AWS_REGION, or a region in the AWS profile in use")]
    Region,
    /// The address of the emulator is no address.
    #[error("`aws.endpoint` is `{url}`, which {reason}")]
    Endpoint {
        /// What is set.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Account {
    /// Finds region and credentials as all AWS SDKs do. Credentials are only
    /// asked for by the first call, and renewed ahead of their end.
    ///
    /// # Errors
    /// If there is no region, or the endpoint is no URL.
    pub async fn open(settings: &AwsSettings) -> Result<Self, AccountError> {
        Self::open_as(settings, None).await
    }

    /// The same with credentials of the caller's own; `None`: those of the machine.
    ///
    /// # Errors
    /// As [`Account::open`].
    pub async fn open_as(
        settings: &AwsSettings,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, AccountError> {
        let times = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(times)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &settings.endpoint {
            let checked = crate::url::check(url, true);
            checked.map_err(|reason| AccountError::Endpoint { url: crate::url::shown(url), reason })?;
            loader = loader.endpoint_url(url);
        }
        if let Some(credentials) = credentials {
            loader = loader.credentials_provider(credentials);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(AccountError::Region);
        }
        Ok(Self { config })
    }

    /// What clients of the services are made from.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }
}
