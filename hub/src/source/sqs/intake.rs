//! What is done with messages: read, handed on, counted.

use super::super::event::{self, Places};
use super::super::health::{Failure, Part, SourceHealth};
use super::super::{Applied, Feed, Hint};
use super::queue::Message;
use crate::clock::Clock;
use crate::metrics::{CauseLabel, MessageLabel, MessageOutcome, Metrics};
use confhub_proto::TenantId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// How often a message that cannot be read is received before it is deleted, if
/// the queue has no other queue for such: a hub of another version may read it.
const LAST_RECEIVE: u32 = 3;

/// What one receive has brought.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Messages with hints, and the tenants that they are for.
    pub(super) hinting: Vec<(Message, Vec<TenantId>)>,
    /// When the hints of each tenant are applied.
    pub(super) applied: Vec<(TenantId, Applied)>,
    /// Messages to delete at once.
    pub(super) delete: Vec<String>,
    /// Messages that cannot be read, to be shown again before long.
    pub(super) poison: Vec<String>,
}

/// What messages are read with, and where their hints go.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) feed: Feed,
    pub(super) places: Places,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) health: SourceHealth,
}

impl Intake {
    /// Reads messages and hands their hints on, those of one tenant together.
    pub(super) fn take(&self, messages: Vec<Message>, redrive: bool) -> Sorted {
        let mut sorted = Sorted::default();
        let mut by_tenant: BTreeMap<TenantId, Hint> = BTreeMap::new();
        for message in messages {
            let parsed = match event::parse(&message.body, &self.places) {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.poison(message, &error, redrive, &mut sorted);
                    continue;
                }
            };
            if parsed.hints.is_empty() {
                self.count(MessageOutcome::Ignored);
                sorted.delete.push(message.receipt);
                continue;
            }
            let tenants = parsed.hints.iter().map(|hint| hint.tenant.clone()).collect();
            for mut hint in parsed.hints {
                match by_tenant.get_mut(&hint.tenant) {
                    Some(known) => known.addresses.append(&mut hint.addresses),
                    None => drop(by_tenant.insert(hint.tenant.clone(), hint)),
                }
            }
            sorted.hinting.push((message, tenants));
        }
        for (tenant, mut hint) in by_tenant {
            hint.addresses.sort_unstable();
            hint.addresses.dedup();
            sorted.applied.push((tenant, self.feed.hint(hint)));
        }
        sorted
    }

    fn poison(&self, message: Message, error: &event::Malformed, redrive: bool, sorted: &mut Sorted) {
        if message.receives == 1 {
            self.count(MessageOutcome::Poison);
            tracing::warn!(message_id = message.id, %error, "a message on the queue of changes cannot be read");
        }
        if redrive || message.receives < LAST_RECEIVE {
            sorted.poison.push(message.receipt);
            return;
        }
        tracing::error!(
            message_id = message.id,
            receives = message.receives,
            %error,
            "a message that cannot be read is deleted: its queue has no redrive policy to keep it elsewhere"
        );
        sorted.delete.push(message.receipt);
    }

    /// Counts a message whose hints are applied.
    pub(super) fn applied(&self, sent: Option<SystemTime>) {
        self.count(MessageOutcome::Applied);
        if let Some(sent) = sent {
            let lag = (self.clock)().duration_since(sent).unwrap_or_default();
            self.metrics.source.lag.observe(lag.as_secs_f64());
        }
    }

    fn count(&self, outcome: MessageOutcome) {
        self.metrics.source.messages.get_or_create(&MessageLabel { outcome }).inc();
    }

    /// Has everything in memory read again: hints may have been lost.
    pub(super) fn lost(&self) {
        self.health.missed();
        self.feed.lost();
    }

    /// Takes note of a failure. An outage is one line in the log, whatever is tried.
    pub(super) fn failing(&self, part: Part, failure: Failure) {
        self.metrics.source.failures.get_or_create(&CauseLabel { cause: failure.cause }).inc();
        let reason = failure.reason.clone();
        if self.health.failing(part, failure) {
            let what = match part {
                Part::Receive => "changes by others cannot be received, and are found by sweeps alone",
                Part::Settle => "messages that were acted on cannot be deleted, and will come again",
                Part::Keep => "the queue of changes cannot be kept as it should be",
            };
            tracing::warn!(%reason, "{what}");
        } else {
            tracing::debug!(?part, %reason, "still failing");
        }
        self.show();
    }

    /// Takes note that a part works.
    pub(super) fn working(&self, part: Part) {
        if self.health.working(part) {
            let what = match part {
                Part::Receive => "changes by others are received again",
                Part::Settle => "messages that were acted on are deleted again",
                Part::Keep => "the queue of changes is kept as it should be again",
            };
            tracing::info!("{what}");
        }
        self.show();
    }

    fn show(&self) {
        self.metrics.source.up.set(i64::from(self.health.receives()));
    }
}
