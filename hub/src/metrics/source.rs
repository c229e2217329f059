//! What is counted of the change source.

use super::Labelled;
use crate::backend::Cause;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MessageLabel {
    /// What became of it.
    pub outcome: MessageOutcome,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageOutcome {
    /// Its hints were applied.
    Applied,
    /// It said nothing about an entry.
    Ignored,
    /// It could not be read.
    Poison,
}

/// A call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CauseLabel {
    /// Why.
    pub cause: Cause,
}

/// What is counted of the change source.
pub struct SourceMetrics {
    /// Whether the queue is received from (1) or not (0); 1 too where every store sends its own hints.
    pub up: Gauge,
    /// Messages, by what became of them.
    pub messages: Labelled<MessageLabel>,
    /// Calls that failed, by cause.
    pub failures: Labelled<CauseLabel>,
    /// Messages that were hidden for longer, since their hints took long.
    pub visibility_extensions: Counter,
    /// Queues of this hub that were made anew since somebody had deleted them.
    pub queues_remade: Counter,
    /// Queues of hubs that are gone, removed by this hub.
    pub queues_reaped: Counter,
    /// Time from a message's arrival in the queue, by the queue's clock, to the
    /// application of its hints.
    pub lag: Histogram,
}

impl SourceMetrics {
    pub(super) fn new() -> Self {
        Self {
            up: Gauge::default(),
            messages: Family::default(),
            failures: Family::default(),
            visibility_extensions: Counter::default(),
            queues_remade: Counter::default(),
            queues_reaped: Counter::default(),
            // 1 millisecond to 4 minutes.
            lag: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
        }
    }

    pub(super) fn register(&self, r: &mut Registry) {
        let about = "Whether the queue of changes is received from (1; also where all stores are the hub's own) or not (0)";
        r.register("source_up", about, self.up.clone());
        let about = "Messages of the change source, by what became of them";
        r.register("source_messages", about, self.messages.clone());
        r.register(
            "source_failures",
            "Calls of the change source that failed, by cause",
            self.failures.clone(),
        );
        let about = "Messages that were hidden for longer, since their hints took long to apply";
        r.register("source_visibility_extensions", about, self.visibility_extensions.clone());
        let about = "Queues of this hub that were made anew since somebody had deleted them";
        r.register("source_queues_remade", about, self.queues_remade.clone());
        let about = "Queues of hubs that are gone, removed by this hub";
        r.register("source_queues_reaped", about, self.queues_reaped.clone());
        let about = "Time from a message's arrival in the queue to the application of its hints";
        r.register_with_unit("source_lag", about, Unit::Seconds, self.lag.clone());
        // So that a rate sees the first step of each.
        for outcome in MessageOutcome::ALL.iter().copied() {
            let _ = self.messages.get_or_create(&MessageLabel { outcome });
        }
        for cause in Cause::ALL.iter().copied() {
            let _ = self.failures.get_or_create(&CauseLabel { cause });
        }
    }
}
