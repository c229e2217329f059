//! One queue, and the calls that are made of it.

use super::super::health::Failure;
use crate::aws::{Account, cause, said};
use crate::backend::Cause;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
    QueueAttributeName,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout};

/// Most messages in one call: the most that SQS allows.
pub(super) const BATCH: usize = 10;

/// How long a receive waits for a message: the longest that SQS allows.
pub(super) const LONG_POLL: Duration = Duration::from_secs(20);

/// How long a receive may take beyond its wait. A network that is gone without a
/// word is noticed by it.
const MARGIN: Duration = Duration::from_secs(5);

/// What the settings of a queue are where it does not tell: the defaults of SQS.
const VISIBILITY: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(4 * 24 * 3_600);

/// The clients that calls are made with.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// Waits as long as a receive may, and never tries again by itself: the
    /// consumer wants to know of each failure.
    patient: Client,
    /// For all other calls to SQS.
    pub(super) sqs: Client,
    pub(super) sns: aws_sdk_sns::Client,
}

/// A queue to receive from.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    clients: Clients,
    pub(super) url: String,
    pub(super) arn: String,
    /// How long a message that was received stays hidden.
    pub(super) visibility: Duration,
    /// How long it keeps a message that nobody deletes.
    pub(super) retention: Duration,
    /// Whether messages that are received too often go to another queue.
    pub(super) redrive: bool,
    /// From when on it is believed that the queue is not there: it takes a while
    /// until all of SQS knows of a new one.
    pub(super) known_from: Instant,
}

/// A message, as far as it matters here.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) receipt: String,
    pub(super) body: String,
    /// How often it was received, this time included.
    pub(super) receives: u32,
    /// When it came into the queue.
    pub(super) sent: Option<SystemTime>,
}

impl Clients {
    pub(super) fn new(account: &Account) -> Self {
        let config = account.config();
        let times = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let times = times.disable_operation_timeout().operation_attempt_timeout(LONG_POLL + MARGIN).build();
        let patient = Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(times)
            // Silence is what a long poll is made of.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self {
            patient: Client::from_conf(patient),
            sqs: Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
        }
    }
}

impl Queue {
    /// Asks the queue at a URL what matters for receiving from it.
    pub(super) async fn open(clients: &Clients, url: &str) -> Result<Self, Failure> {
        let asked = clients.sqs.get_queue_attributes().queue_url(url);
        let asked = asked.set_attribute_names(Some(vec![
            QueueAttributeName::QueueArn,
            QueueAttributeName::VisibilityTimeout,
            QueueAttributeName::MessageRetentionPeriod,
            QueueAttributeName::RedrivePolicy,
        ]));
        let answer = asked.send().await.map_err(|error| failure("read the attributes of", url, &error))?;
        let text = |name| answer.attributes().and_then(|all| all.get(&name)).map(String::as_str);
        let seconds = |name| text(name).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Ok(Self {
            clients: clients.clone(),
            url: url.to_owned(),
            arn: text(QueueAttributeName::QueueArn).unwrap_or_default().to_owned(),
            visibility: seconds(QueueAttributeName::VisibilityTimeout).unwrap_or(VISIBILITY),
            retention: seconds(QueueAttributeName::MessageRetentionPeriod).unwrap_or(RETENTION),
            redrive: text(QueueAttributeName::RedrivePolicy).is_some_and(|policy| !policy.is_empty()),
            known_from: Instant::now(),
        })
    }

    /// Whether a failure means that the queue is not there any more.
    pub(super) fn gone(&self, failure: &Failure) -> bool {
        failure.cause == Cause::Missing && Instant::now() >= self.known_from
    }

    /// Receives up to [`BATCH`] messages; waits for the first one at most `wait`.
    pub(super) async fn receive(&self, wait: Duration) -> Result<Vec<Message>, Failure> {
        let asked = self.clients.patient.receive_message().queue_url(&self.url);
        let asked =
            asked.max_number_of_messages(whole(BATCH as u64)).wait_time_seconds(whole(wait.as_secs()));
        let asked = asked.set_message_system_attribute_names(Some(vec![
            MessageSystemAttributeName::ApproximateReceiveCount,
            MessageSystemAttributeName::SentTimestamp,
        ]));
        let Ok(answer) = timeout(wait + MARGIN, asked.send()).await else {
            let reason = format!("cannot receive from the queue {}: no answer in time", self.url);
            return Err(Failure { cause: Cause::Timeout, reason });
        };
        let answer = answer.map_err(|error| failure("receive from", &self.url, &error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    /// Deletes up to [`BATCH`] messages. Those that the queue refuses to delete
    /// come again.
    pub(super) async fn delete(&self, receipts: Vec<String>) -> Result<(), Failure> {
        let entry = |(at, receipt): (usize, String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(receipt);
            // Only fails without an id or a receipt.
            entry.build().ok()
        };
        let entries = receipts.into_iter().enumerate().filter_map(entry).collect();
        let asked = self.clients.sqs.delete_message_batch().queue_url(&self.url);
        let answer = asked.set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| failure("delete messages of", &self.url, &error))?;
        self.refused("delete", answer.failed().first())
    }

    /// Has up to [`BATCH`] messages hidden for `visibility` from now on.
    pub(super) async fn hide(&self, receipts: Vec<String>, visibility: Duration) -> Result<(), Failure> {
        let entry = |(at, receipt): (usize, String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(whole(visibility.as_secs()));
            entry.build().ok()
        };
        let entries = receipts.into_iter().enumerate().filter_map(entry).collect();
        let asked = self.clients.sqs.change_message_visibility_batch().queue_url(&self.url);
        let answer = asked.set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| failure("hide messages of", &self.url, &error))?;
        self.refused("hide", answer.failed().first())
    }

    /// A receipt that is no longer good is no failure: the message was received
    /// again meanwhile, or is gone.
    fn refused(
        &self,
        what: &str,
        failed: Option<&aws_sdk_sqs::types::BatchResultErrorEntry>,
    ) -> Result<(), Failure> {
        match failed {
            Some(failed) if failed.sender_fault() => {
                tracing::debug!(
                    queue = self.url,
                    code = failed.code(),
                    "the queue does not {what} a message"
                );
                Ok(())
            }
            Some(failed) => {
                let reason = format!("cannot {what} messages of the queue {}: {}", self.url, failed.code());
                Err(Failure { cause: Cause::Failed, reason })
            }
            None => Ok(()),
        }
    }
}

/// What it means that a call about `url` has failed.
pub(super) fn failure<E, R>(what: &str, url: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    Failure { cause: cause(error), reason: format!("cannot {what} {url}: {}", said(error)) }
}

fn message(message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let attributes = message.attributes.unwrap_or_default();
    let number = |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok());
    let receives = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    let sent = number(MessageSystemAttributeName::SentTimestamp);
    Some(Message {
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        receives: u32::try_from(receives).unwrap_or(u32::MAX),
        sent: sent.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis))),
    })
}

fn whole(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
