//! A fixed queue with dead letters, and a hub on it.

use super::Aws;
use crate::support::{Hub, HubProcess, command, soon};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use confhub::config::Settings;
use std::path::Path;
use std::time::Duration;
use tokio::time::interval;

/// A queue to which only the test sends.
pub struct FixedQueue {
    pub url: String,
    dead_letters: String,
    sqs: aws_sdk_sqs::Client,
}

impl FixedQueue {
    pub async fn make(aws: &Aws) -> Self {
        let sqs = aws.sqs();
        let make = |name: &str| sqs.create_queue().queue_name(name);
        let dead_letters = make("dead-letters").send().await.unwrap().queue_url.unwrap();
        let get = sqs.get_queue_attributes().queue_url(&dead_letters).attribute_names(Name::QueueArn);
        let arn = get.send().await.unwrap().attributes.unwrap().remove(&Name::QueueArn).unwrap();
        let redrive = format!(r#"{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 3}}"#);
        // What a hub that was killed had received is given to the next after a second.
        let queue =
            make("changes").attributes(Name::RedrivePolicy, redrive).attributes(Name::VisibilityTimeout, "1");
        let url = queue.send().await.unwrap().queue_url.unwrap();
        Self { url, dead_letters, sqs }
    }

    /// A hub that listens to this queue.
    pub async fn hub(&self, aws: &Aws, change: impl FnOnce(&mut Settings)) -> Hub {
        let hub = Hub::start_on_aws(aws, |settings| {
            settings.aws.topic = None;
            settings.aws.queue = Some(self.url.clone());
            change(settings);
        });
        let hub = hub.await;
        hub.until_source_is_up().await;
        // It has looked at its stores, and does so no more for a while.
        assert_eq!(hub.readyz().await.0, 200);
        hub
    }

    /// The same as a process.
    pub async fn process(&self, aws: &Aws, folder: &Path) -> HubProcess {
        let mut command = command();
        let mut variables = aws.variables();
        variables.remove("CONFHUB_AWS_TOPIC");
        variables.insert("CONFHUB_AWS_QUEUE".to_owned(), self.url.clone());
        command.envs(variables);
        HubProcess::start_by(command, folder, &[]).await
    }

    /// Deletes the queue. [`FixedQueue::make`] makes it again.
    pub async fn delete(&self) {
        self.sqs.delete_queue().queue_url(&self.url).send().await.unwrap();
    }

    pub async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    /// Waits until every message has been handled.
    pub async fn until_empty(&self) {
        self.until(&self.url, 0).await;
    }

    /// Waits until so many messages are dead letters.
    pub async fn until_dead(&self, count: usize) {
        self.until(&self.dead_letters, count).await;
    }

    async fn until(&self, url: &str, count: usize) {
        let (shown, hidden) =
            (Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible);
        let mut looks = interval(Duration::from_millis(20));
        let reached = async {
            loop {
                looks.tick().await;
                let get = self.sqs.get_queue_attributes().queue_url(url);
                let get = get.attribute_names(shown.clone()).attribute_names(hidden.clone());
                let there = get.send().await.unwrap().attributes.unwrap();
                let number =
                    |name| there.get(name).map_or(0, |number: &String| number.parse::<usize>().unwrap());
                if number(&shown) + number(&hidden) == count {
                    return;
                }
            }
        };
        soon("the messages", reached).await;
    }
}
