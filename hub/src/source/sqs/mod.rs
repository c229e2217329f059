//! Hints from a queue.
//!
//! Changes in the stores of AWS are told on a queue of SQS. Its messages are
//! received as soon as they are there, read by `event`, and handed to the feed;
//! a message is deleted once the hints of it are applied. Until then it is kept
//! hidden, and a hub that is killed meanwhile leaves it to whoever receives next.
//!
//! A message that cannot be read goes where the queue's redrive policy sends it.
//!
//! The queue is one that is there ([`AwsSettings::queue`](crate::config::AwsSettings::queue),
//! for one hub), or one of the hub's own that follows a topic
//! ([`AwsSettings::topic`](crate::config::AwsSettings::topic)). Whenever changes may
//! have been lost (the queue was not there, or could not be received from for
//! longer than it keeps a message), everything in memory is read again.
//!
//! What this is not: a source of truth. Without it a hub works all the same, and
//! finds changes by its sweeps.

mod backoff;
mod intake;
mod own_queue;
mod queue;
mod reaper;
mod session;
mod unsettled;

use super::event::Places;
use super::health::{Part, SourceHealth};
use super::{Feed, Source};
use crate::aws::Account;
use crate::clock::Clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use backoff::Backoff;
use futures_util::future::BoxFuture;
use intake::Intake;
use own_queue::OwnQueue;
use queue::{Clients, Queue};
use reaper::Reaper;
use session::{End, Session, told};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long a queue must have been there for its end not to be one of a row.
const CALM: Duration = Duration::from_secs(60);

/// Receives changes from a queue.
struct Consumer {
    intake: Intake,
    clients: Clients,
    place: Place,
}

/// Where the queue is.
enum Place {
    /// At this URL.
    Fixed(String),
    /// It is this hub's own; others of its kind are looked after.
    Own(Box<OwnQueue>, Option<Box<Reaper>>),
}

/// The consumer that the settings ask for. `None`: they name neither a queue nor
/// a topic, or there is no account since no backend is in one. Calls nobody yet.
#[must_use]
pub fn open(
    settings: &Settings,
    account: Option<&Account>,
    feed: &Feed,
    metrics: &Arc<Metrics>,
    clock: &Clock,
) -> Option<Box<dyn Source>> {
    let (account, aws) = (account?, &settings.aws);
    let clients = Clients::new(account);
    let intake = Intake {
        feed: feed.clone(),
        places: Places { root: aws.root.clone() },
        metrics: Arc::clone(metrics),
        clock: clock.clone(),
        health: SourceHealth::starting(),
    };
    let place = match (&aws.queue, &aws.topic) {
        (Some(queue), _) => Place::Fixed(queue.clone()),
        (None, Some(topic)) => {
            let own = OwnQueue::new(
                clients.clone(),
                intake.clone(),
                topic.clone(),
                aws.queue_prefix.clone(),
                aws.dead_letter_queue.clone(),
            );
            let reaper = Reaper {
                clients: clients.clone(),
                clock: clock.clone(),
                metrics: Arc::clone(metrics),
                topic: topic.clone(),
                prefix: aws.queue_prefix.clone(),
                every: aws.queue_reap,
                hub: own.hub.clone(),
            };
            Place::Own(Box::new(own), Some(Box::new(reaper)))
        }
        (None, None) => {
            let reconcile_s = settings.times.reconcile.as_secs();
            tracing::warn!(
                reconcile_s,
                "neither `aws.topic` nor `aws.queue` is set: changes by others arrive with the sweeps of \
                 `times.reconcile` alone"
            );
            return None;
        }
    };
    Some(Box::new(Consumer { intake, clients, place }))
}

impl Source for Consumer {
    fn kind(&self) -> &'static str {
        "sqs"
    }

    fn health(&self) -> SourceHealth {
        self.intake.health.clone()
    }

    fn run(self: Box<Self>, shutdown: watch::Receiver<bool>) -> BoxFuture<'static, ()> {
        Box::pin((*self).receive(shutdown))
    }
}

impl Consumer {
    async fn receive(mut self, shutdown: watch::Receiver<bool>) {
        let reaper = match &mut self.place {
            Place::Own(_, reaper) => reaper.take(),
            Place::Fixed(_) => None,
        };
        let reap = async {
            if let Some(reaper) = reaper {
                reaper.run().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.consume(shutdown) => {}
            () = reap => {}
        }
        if let Place::Own(own, _) = &mut self.place {
            own.remove().await;
        }
    }

    /// Receives from one queue after the other until the hub ends.
    async fn consume(&mut self, mut shutdown: watch::Receiver<bool>) {
        // A queue that is being deleted can be there for one call and gone for the next.
        let mut backoff = Backoff::default();
        loop {
            let queue = tokio::select! {
                queue = self.reach() => queue,
                () = told(&mut shutdown) => return,
            };
            let reached = Instant::now();
            // Whatever changed until now may have been told to nobody. A tenant
            // that is not in memory yet costs nothing.
            tracing::info!(queue = queue.url, "receiving changes");
            self.intake.lost();
            // Whoever sees that it works finds nothing more to be read for what was missed.
            self.intake.working(Part::Receive);
            let session = Session::new(&self.intake, &queue);
            let end = match &mut self.place {
                Place::Fixed(_) => session.run(shutdown.clone()).await,
                Place::Own(own, _) => tokio::select! {
                    end = session.run(shutdown.clone()) => end,
                    failure = own.keep(&queue) => End::Gone(failure),
                },
            };
            let End::Gone(failure) = end else { return };
            self.intake.failing(Part::Receive, failure);
            if let Place::Own(own, _) = &mut self.place {
                self.intake.metrics.source.queues_remade.inc();
                own.forget().await;
            }
            if reached.elapsed() > CALM {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = told(&mut shutdown) => return,
            }
        }
    }

    /// The queue, once it is there.
    async fn reach(&mut self) -> Queue {
        let mut backoff = Backoff::default();
        loop {
            let reached = match &mut self.place {
                Place::Fixed(url) => Queue::open(&self.clients, url).await,
                Place::Own(own, _) => own.open().await,
            };
            match reached {
                Ok(queue) => return queue,
                Err(failure) => self.intake.failing(Part::Receive, failure),
            }
            sleep(backoff.next()).await;
        }
    }
}
