//! Removes the queues of hubs that are gone.
//!
//! A hub that is killed leaves its queue and its subscription behind. Every hub
//! looks for such now and then. That two do so at once does no harm: what is not
//! there any more counts as removed.

use super::super::health::Failure;
use super::own_queue::{ALIVE_TAG, HUB_TAG, TOPIC_TAG, delete, seconds, unsubscribe};
use super::queue::{Clients, Queue, failure};
use crate::backend::Cause;
use crate::clock::Clock;
use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// When the first round is after the start at the latest: hubs that start
/// together do not come together.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

/// A queue that was not marked as alive for so long has no hub any more: seven
/// marks were missed, and clocks may differ by minutes.
const DEAD_AFTER: Duration = Duration::from_secs(15 * 60);

/// Most queues in one round: what one call lists.
const QUEUES: i32 = 1_000;

/// Most subscriptions that are looked through in one round, in pages of 100: ten
/// for each of the queues.
const SUBSCRIPTION_PAGES: usize = 100;

/// Looks for queues of hubs that are gone.
pub(super) struct Reaper {
    pub(super) clients: Clients,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// ARN of the topic.
    pub(super) topic: String,
    /// How the names of hubs' queues begin.
    pub(super) prefix: String,
    /// Mean time between two rounds.
    pub(super) every: Duration,
    /// This hub, whose queue is its own business.
    pub(super) hub: String,
}

impl Reaper {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        sleep(FIRST_WITHIN.min(self.every).mul_f64(fastrand::f64())).await;
        loop {
            if let Err(Failure { reason, .. }) = self.round().await {
                tracing::warn!(reason, "cannot look for queues of hubs that are gone");
            }
            sleep(self.every.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    }

    async fn round(&self) -> Result<(), Failure> {
        let prefix = format!("{}-", self.prefix);
        let asked = self.clients.sqs.list_queues().queue_name_prefix(&prefix).max_results(QUEUES);
        let listed = asked.send().await.map_err(|error| failure("list queues named", &prefix, &error))?;
        let mut subscriptions = None;
        for url in listed.queue_urls() {
            let silent = match self.orphaned(url).await {
                Ok(Some(silent)) => silent,
                Ok(None) => continue,
                Err(Failure { reason, .. }) => {
                    tracing::warn!(queue = url, reason, "cannot tell whose queue this is");
                    continue;
                }
            };
            let silent_s = silent.as_secs();
            tracing::warn!(queue = url, silent_s, "a hub is gone and has left its queue: removing it");
            let subscriptions = match &mut subscriptions {
                Some(known) => known,
                none => none.insert(self.subscriptions().await?),
            };
            // One that cannot be removed shields none that comes after it.
            if let Err(Failure { reason, .. }) = self.remove(url, subscriptions).await {
                tracing::warn!(queue = url, reason, "cannot remove the queue of a hub that is gone");
            }
        }
        Ok(())
    }

    /// For how long the hub of a queue was silent, if it is one of ours and dead.
    async fn orphaned(&self, url: &str) -> Result<Option<Duration>, Failure> {
        match self.clients.sqs.list_queue_tags().queue_url(url).send().await {
            Ok(answer) => {
                let tags = answer.tags.unwrap_or_default();
                Ok(silent(&tags, &self.topic, &self.hub, seconds((self.clock)())))
            }
            Err(error) => match failure("read the tags of", url, &error) {
                Failure { cause: Cause::Missing, .. } => Ok(None),
                failure => Err(failure),
            },
        }
    }

    async fn remove(&self, url: &str, subscriptions: &HashMap<String, String>) -> Result<(), Failure> {
        let arn = match Queue::open(&self.clients, url).await {
            Ok(queue) => queue.arn,
            Err(Failure { cause: Cause::Missing, .. }) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if let Some(subscription) = subscriptions.get(&arn) {
            unsubscribe(&self.clients, subscription).await?;
            tracing::info!(subscription, "ended the subscription of a queue whose hub is gone");
        }
        delete(&self.clients, url).await?;
        tracing::info!(queue = url, "deleted a queue whose hub is gone");
        self.metrics.source.queues_reaped.inc();
        Ok(())
    }

    /// The subscriptions of queues to the topic, by the ARN of the queue.
    async fn subscriptions(&self) -> Result<HashMap<String, String>, Failure> {
        let mut found = HashMap::new();
        let mut next = None;
        for _ in 0..SUBSCRIPTION_PAGES {
            let asked =
                self.clients.sns.list_subscriptions_by_topic().topic_arn(&self.topic).set_next_token(next);
            let page = match asked.send().await {
                Ok(page) => page,
                // Without the topic there is no subscription to it.
                Err(error) => match failure("list the subscriptions of", &self.topic, &error) {
                    Failure { cause: Cause::Missing, .. } => break,
                    failure => return Err(failure),
                },
            };
            for one in page.subscriptions.unwrap_or_default() {
                found.extend(one.endpoint.zip(one.subscription_arn));
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// For how long the hub that a queue's tags name was silent, if that is too long.
fn silent(tags: &HashMap<String, String>, topic: &str, hub: &str, now: u64) -> Option<Duration> {
    if tags.get(TOPIC_TAG)? != topic || tags.get(HUB_TAG)? == hub {
        return None;
    }
    let alive: u64 = tags.get(ALIVE_TAG)?.parse().ok()?;
    let silent = Duration::from_secs(now.saturating_sub(alive));
    (silent > DEAD_AFTER).then_some(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_of_a_silent_hub_of_this_topic_is_orphaned() {
        let tags = |hub: &str, topic: &str, alive: &str| {
            let tags = [(HUB_TAG, hub), (TOPIC_TAG, topic), (ALIVE_TAG, alive)];
            tags.iter()
                .map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned()))
                .collect::<HashMap<_, _>>()
        };
        let (now, old) = (1_000_000, "999000");
        let found = |tags: &HashMap<_, _>| silent(tags, "topic", "me", now);
        assert_eq!(found(&tags("other", "topic", old)), Some(Duration::from_secs(1_000)));
        assert_eq!(found(&tags("other", "topic", "999100")), None);
        assert_eq!(found(&tags("other", "topic", "1000900")), None, "a clock that is ahead");
        assert_eq!(found(&tags("other", "another topic", old)), None);
        assert_eq!(found(&tags("me", "topic", old)), None);
        assert_eq!(found(&tags("other", "topic", "long ago")), None);
        for lacking in [HUB_TAG, TOPIC_TAG, ALIVE_TAG] {
            let mut tags = tags("other", "topic", old);
            tags.remove(lacking);
            assert_eq!(found(&tags), None, "{lacking}");
        }
    }
}
