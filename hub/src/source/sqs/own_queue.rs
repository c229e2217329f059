//! A queue of this hub's own.
//!
//! Consumers of one queue compete for its messages, and every hub has to see
//! every change: so each has a queue, subscribed to the topic of changes. It is
//! made when the hub starts, marked as alive for as long as it runs, and removed
//! when it ends. That of a hub that could not remove it is removed by the others
//! (see `reaper`).

use super::super::health::{Failure, Part};
use super::intake::Intake;
use super::queue::{Clients, LONG_POLL, Queue, failure};
use crate::backend::Cause;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use std::collections::HashMap;
use std::iter::repeat_with;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep, timeout};

/// How long a message that was received stays hidden: the next hub has those of
/// one that was killed after it, and a reading takes a tenth of it.
const VISIBILITY: Duration = Duration::from_secs(30);

/// How long the queue keeps a message: a hub that is away for longer reads
/// everything when it is back.
const RETENTION: Duration = Duration::from_secs(300);

/// How often a message is received before it goes to the dead letters.
const RECEIVES: u32 = 5;

/// Time between two marks of life.
const ALIVE_EVERY: Duration = Duration::from_secs(120);

/// Longest time for removing queue and subscription when the hub ends, and for
/// the latter alone. What is left is removed by others.
const REMOVE: Duration = Duration::from_secs(3);
const UNSUBSCRIBE: Duration = Duration::from_millis(1_500);

/// How long it may take until all of SQS knows of a queue that was made. AWS
/// speaks of a second.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>
const SPREADING: Duration = Duration::from_secs(10);

/// Random characters in a queue's name: 62 bits.
const RANDOM: usize = 12;

/// The tags of a hub's queue: which hub, of which topic, and when it last was alive.
pub(super) const HUB_TAG: &str = "confhub:hub";
pub(super) const TOPIC_TAG: &str = "confhub:topic";
pub(super) const ALIVE_TAG: &str = "confhub:alive";

/// The queue of this hub, made or to be made.
pub(super) struct OwnQueue {
    clients: Clients,
    intake: Intake,
    /// ARN of the topic of changes.
    topic: String,
    /// How its name begins.
    prefix: String,
    /// ARN of the queue for messages that cannot be read.
    dead_letters: Option<String>,
    /// Names this run of the hub.
    pub(super) hub: String,
    /// The queue's URL, and when it was made.
    made: Option<(String, Instant)>,
    subscription: Option<String>,
}

impl OwnQueue {
    pub(super) fn new(
        clients: Clients,
        intake: Intake,
        topic: String,
        prefix: String,
        dead_letters: Option<String>,
    ) -> Self {
        Self { clients, intake, topic, prefix, dead_letters, hub: random(), made: None, subscription: None }
    }

    /// Makes the queue and subscribes it, from where the last attempt ended.
    pub(super) async fn open(&mut self) -> Result<Queue, Failure> {
        let (url, made_at) = match &self.made {
            Some(made) => made.clone(),
            None => self.made.insert((self.make().await?, Instant::now())).clone(),
        };
        let mut queue = match Queue::open(&self.clients, &url).await {
            Ok(queue) => queue,
            Err(failure) => {
                if failure.cause == Cause::Missing && made_at.elapsed() > SPREADING {
                    self.made = None;
                }
                return Err(failure);
            }
        };
        queue.known_from = made_at + SPREADING;
        self.subscription = Some(self.subscribe(&queue.arn).await?);
        tracing::info!(
            queue = queue.url,
            topic = self.topic,
            hub = self.hub,
            "this hub has a queue of its own"
        );
        Ok(queue)
    }

    /// Forgets the queue, which somebody else has deleted. The next one has
    /// another name: AWS gives one free only a minute later.
    pub(super) async fn forget(&mut self) {
        self.made = None;
        if let Some(subscription) = self.subscription.take() {
            let _ = timeout(UNSUBSCRIBE, unsubscribe(&self.clients, &subscription)).await;
        }
    }

    /// Keeps the queue alive and subscribed; ends when it is gone.
    pub(super) async fn keep(&mut self, queue: &Queue) -> Failure {
        loop {
            sleep(ALIVE_EVERY).await;
            match self.renew(queue).await {
                Ok(()) => self.intake.working(Part::Keep),
                Err((Renewed::Mark, failure)) if queue.gone(&failure) => return failure,
                // If the topic is gone, the queue may still hold what it sent before.
                Err((_, failure)) => self.intake.failing(Part::Keep, failure),
            }
        }
    }

    async fn renew(&mut self, queue: &Queue) -> Result<(), (Renewed, Failure)> {
        let marked =
            self.clients.sqs.tag_queue().queue_url(&queue.url).tags(ALIVE_TAG, self.now()).send().await;
        marked.map_err(|error| (Renewed::Mark, failure("mark as alive", &queue.url, &error)))?;
        // Does nothing for a queue that is subscribed, and needs no other right.
        let subscription =
            self.subscribe(&queue.arn).await.map_err(|error| (Renewed::Subscription, error))?;
        if self.subscription.replace(subscription.clone()).is_some_and(|before| before != subscription) {
            tracing::warn!(
                queue = queue.url,
                topic = self.topic,
                "the queue was not subscribed any more: it is again"
            );
            self.intake.lost();
        }
        Ok(())
    }

    /// Removes subscription and queue, as far as that goes within a bound.
    pub(super) async fn remove(&mut self) {
        let remove = async {
            if let Some(subscription) = self.subscription.take() {
                let _ = timeout(UNSUBSCRIBE, unsubscribe(&self.clients, &subscription)).await;
            }
            let Some((url, _)) = self.made.take() else { return };
            match delete(&self.clients, &url).await {
                Ok(()) => tracing::info!(queue = url, "removed this hub's queue"),
                Err(Failure { reason, .. }) => {
                    tracing::warn!(queue = url, reason, "this hub's queue is left to be removed by others");
                }
            }
        };
        if timeout(REMOVE, remove).await.is_err() {
            tracing::warn!("this hub's queue is left to be removed by others: AWS does not answer in time");
        }
    }

    async fn make(&self) -> Result<String, Failure> {
        let name = format!("{}-{}", self.prefix, random());
        let asked = self.clients.sqs.create_queue().queue_name(&name);
        let asked = asked.set_attributes(Some(attributes(&self.topic, self.dead_letters.as_deref())));
        let asked = asked.tags(HUB_TAG, &self.hub).tags(TOPIC_TAG, &self.topic).tags(ALIVE_TAG, self.now());
        let made = asked.send().await.map_err(|error| failure("make the queue", &name, &error))?;
        made.queue_url.ok_or_else(|| Failure {
            cause: Cause::Failed,
            reason: format!("the queue {name} was made, and its URL not told"),
        })
    }

    /// Subscribes the queue unless it is, and returns the subscription's ARN.
    async fn subscribe(&self, queue: &str) -> Result<String, Failure> {
        let asked = self.clients.sns.subscribe().topic_arn(&self.topic).protocol("sqs").endpoint(queue);
        let asked = asked.attributes("RawMessageDelivery", "true").return_subscription_arn(true);
        let answer =
            asked.send().await.map_err(|error| failure("subscribe to the topic", &self.topic, &error))?;
        Ok(answer.subscription_arn.unwrap_or_default())
    }

    fn now(&self) -> String {
        seconds((self.intake.clock)()).to_string()
    }
}

/// What of a renewal has failed.
enum Renewed {
    Mark,
    Subscription,
}

/// Ends a subscription; one that is not there is ended.
pub(super) async fn unsubscribe(clients: &Clients, subscription: &str) -> Result<(), Failure> {
    let asked = clients.sns.unsubscribe().subscription_arn(subscription).send().await;
    unless_missing(asked.map(drop).map_err(|error| failure("end the subscription", subscription, &error)))
}

/// Deletes a queue; one that is not there is deleted.
pub(super) async fn delete(clients: &Clients, url: &str) -> Result<(), Failure> {
    let asked = clients.sqs.delete_queue().queue_url(url).send().await;
    unless_missing(asked.map(drop).map_err(|error| failure("delete the queue", url, &error)))
}

fn unless_missing(done: Result<(), Failure>) -> Result<(), Failure> {
    done.or_else(|failure| if failure.cause == Cause::Missing { Ok(()) } else { Err(failure) })
}

/// Seconds since the Unix epoch.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a hub's queue is made with.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
fn attributes(topic: &str, dead_letters: Option<&str>) -> HashMap<QueueAttributeName, String> {
    // The topic and nobody else. A policy speaks of the one queue that has it,
    // whose ARN is not known before it is made.
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TheTopicAndNobodyElse",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }],
    });
    let mut attributes = HashMap::from([
        (QueueAttributeName::VisibilityTimeout, VISIBILITY.as_secs().to_string()),
        (QueueAttributeName::MessageRetentionPeriod, RETENTION.as_secs().to_string()),
        (QueueAttributeName::ReceiveMessageWaitTimeSeconds, LONG_POLL.as_secs().to_string()),
        // A key of SQS itself: a topic may send to a queue that has it.
        (QueueAttributeName::SqsManagedSseEnabled, "true".to_owned()),
        (QueueAttributeName::Policy, policy.to_string()),
    ]);
    if let Some(arn) = dead_letters {
        let redrive = json!({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES});
        attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
    }
    attributes
}

fn random() -> String {
    repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(RANDOM).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_takes_messages_of_its_topic_alone() {
        let topic = "arn:aws:sns:eu-central-1:123456789012:confhub";
        let plain = attributes(topic, None);
        assert!(!plain.contains_key(&QueueAttributeName::RedrivePolicy));
        let policy: serde_json::Value = serde_json::from_str(&plain[&QueueAttributeName::Policy]).unwrap();
        assert_eq!(policy["Statement"].as_array().map(Vec::len), Some(1));
        assert_eq!(policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"], topic);
        let redriven = attributes(topic, Some("arn:aws:sqs:eu-central-1:123456789012:dead"));
        let redrive = &redriven[&QueueAttributeName::RedrivePolicy];
        assert_eq!(
            redrive,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:123456789012:dead","maxReceiveCount":5}"#
        );
    }

    #[test]
    fn names_are_random_and_within_the_alphabet_of_queues() {
        let (one, other) = (random(), random());
        assert!(one.len() == RANDOM && one != other);
        assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{one}");
    }
}
