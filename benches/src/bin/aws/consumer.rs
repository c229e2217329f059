//! A plain consumer of the topic of changes: what anybody would have who received
//! the events and did nothing with them.

use crate::account::Account;
use crate::measure::now;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName};
use confhub_benches::{Error, Result};
use serde_json::json;
use tokio::sync::mpsc;

/// Most messages in one call, and longest wait for one in seconds: what SQS allows.
const BATCH: i32 = 10;
const LONG_POLL_S: i32 = 20;

/// What was received and nobody has asked for yet, at most.
const UNREAD: usize = 64;

/// What one receive has brought, and when.
struct Received {
    at: i128,
    messages: Vec<Message>,
}

/// A queue of its own that follows the topic, and whoever receives from it.
pub(crate) struct Consumer {
    sqs: aws_sdk_sqs::Client,
    url: String,
    received: mpsc::Receiver<Result<Received>>,
    /// Messages that were received and are to be deleted.
    done: Vec<String>,
}

impl Consumer {
    /// Makes the queue, subscribes it, raw, as the hub does, and receives from now on.
    pub(crate) async fn open(account: &Account) -> Result<Self> {
        let (sqs, topic) = (account.sqs(), account.setting("TOPIC")?);
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        let make = sqs.create_queue().queue_name("plain-consumer");
        let make = make.attributes(QueueAttributeName::Policy, policy.to_string());
        let url = make.send().await?.queue_url.ok_or("a queue without a URL")?;
        let name = QueueAttributeName::QueueArn;
        let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(name.clone()).send().await?;
        let arn = asked.attributes.and_then(|mut all| all.remove(&name)).ok_or("a queue without an ARN")?;
        let subscribe = account.sns().subscribe().topic_arn(topic).protocol("sqs").endpoint(arn);
        subscribe.attributes("RawMessageDelivery", "true").send().await?;
        let (send, received) = mpsc::channel(UNREAD);
        tokio::task::spawn_local(receive(sqs.clone(), url.clone(), send));
        Ok(Self { sqs, url, received, done: Vec::new() })
    }

    /// When an event came that speaks of `key`; waits for it.
    pub(crate) async fn heard(&mut self, key: &str) -> Result<i128> {
        // As a row's event has it, and as a parameter's.
        let spelled = [format!("CONFIG#{key}\""), format!("/{key}\"")];
        loop {
            let Received { at, messages } = self.received.recv().await.ok_or("the consumer ended")??;
            let speaks = |body: &str| spelled.iter().any(|key| body.contains(key));
            let found = messages.iter().any(|message| message.body().is_some_and(speaks));
            self.done.extend(messages.into_iter().filter_map(|message| message.receipt_handle));
            if found {
                return Ok(at);
            }
        }
    }

    /// Deletes what was received: in between, so that it costs no other anything.
    pub(crate) async fn tidy(&mut self) -> Result<()> {
        while !self.done.is_empty() {
            let batch = self.done.split_off(self.done.len().saturating_sub(10));
            let entry = |(number, receipt): (usize, String)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(receipt).build()
            };
            let entries = batch.into_iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
            self.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await?;
        }
        Ok(())
    }
}

/// Has a receive under way at all times, as the hub has.
async fn receive(sqs: aws_sdk_sqs::Client, url: String, send: mpsc::Sender<Result<Received>>) {
    loop {
        let ask = sqs.receive_message().queue_url(&url);
        let got = ask.max_number_of_messages(BATCH).wait_time_seconds(LONG_POLL_S).send().await;
        let at = now();
        let messages = got.map(|got| got.messages.unwrap_or_default()).map_err(Error::from);
        let received = messages.and_then(|messages| Ok(Received { at: at?, messages }));
        let failed = received.is_err();
        if send.send(received).await.is_err() || failed {
            return;
        }
    }
}
