//! The one task that writes.

use super::file::Sink;
use super::flood::Flood;
use super::record;
use crate::clock::Clock;
use crate::metrics::Metrics;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Lines that are written together, and so share one wait for the disk.
const BATCH: usize = 256;

/// Lines that are kept while the log cannot be written; more are left out.
const KEPT: usize = 1_024;

/// How often the writer tells what was left out, and tries a log that has failed.
const TICK: Duration = Duration::from_secs(1);

/// A line, and who waits until it is written. Whoever waits is told `false` if it is
/// not, and the line is forgotten then: what it tells of is not done.
pub(super) struct Message {
    /// Empty: nothing but the wait.
    pub(super) line: Vec<u8>,
    pub(super) written: Option<oneshot::Sender<bool>>,
}

/// Writes the records, in the order in which they were told.
pub struct Writer {
    /// Gone if a write of it has panicked.
    sink: Option<Sink>,
    messages: mpsc::Receiver<Message>,
    flood: Flood,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Lines that could not be written yet.
    kept: Vec<Message>,
    /// Whether the last write has failed.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        messages: mpsc::Receiver<Message>,
        flood: Flood,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { sink: Some(sink), messages, flood, clock, metrics, kept: Vec::new(), failing: false }
    }

    /// Writes until the log is dropped everywhere.
    pub async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                received = self.messages.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    // The last word of a hub that ends: once more, whatever came before.
                    let is_flush = batch.iter().any(|message| message.line.is_empty());
                    if self.failing && !is_flush {
                        self.keep(batch.drain(..));
                    } else {
                        self.write(std::mem::take(&mut batch), is_flush).await;
                    }
                }
                _ = tick.tick() => self.write(Vec::new(), true).await,
            }
        }
    }

    /// Writes what is kept, what was left out if `gap`, and then the batch.
    async fn write(&mut self, batch: Vec<Message>, gap: bool) {
        let mut all = std::mem::take(&mut self.kept);
        // While nothing can be written the count goes on: a line of it could be lost.
        let left_out = if gap && !self.failing { self.flood.take_left_out() } else { 0 };
        if left_out > 0 {
            all.push(Message { line: record::gap((self.clock)(), left_out), written: None });
        }
        let gaps = usize::from(left_out > 0);
        all.extend(batch);
        if all.is_empty() && !self.failing {
            return;
        }
        // Who has given up waiting does not do what it tells of.
        all.retain(|message| message.written.as_ref().is_none_or(|waiting| !waiting.is_closed()));
        let Some(mut sink) = self.sink.take() else {
            self.metrics.audit_failures.inc();
            return self.keep(all.into_iter());
        };
        let durably = all.iter().any(|message| message.written.is_some());
        let done = tokio::task::spawn_blocking(move || {
            let done = sink.append(all.iter().map(|message| message.line.as_slice()), durably);
            (sink, all, done)
        });
        // A panic of the system's library: nothing can be written any more.
        let Ok((sink, mut all, done)) = done.await else {
            self.failed(&io::Error::other("the system's library has panicked"));
            return;
        };
        self.sink = Some(sink);
        match done {
            Ok(()) => {
                if std::mem::replace(&mut self.failing, false) {
                    tracing::info!("the audit log is written again");
                }
                self.count(&all, gaps);
                for waiting in all.into_iter().filter_map(|message| message.written) {
                    let _ = waiting.send(true);
                }
            }
            Err((written, error)) => {
                let rest = all.split_off(written);
                self.count(&all, gaps.min(written));
                self.failed(&error);
                // A line that is not known to be on the disk is not written for
                // whoever waits for it.
                self.keep(all.into_iter().filter(|message| message.written.is_some()).chain(rest));
            }
        }
    }

    fn count(&self, written: &[Message], gaps: usize) {
        let records = written.iter().filter(|message| !message.line.is_empty()).count();
        self.metrics.audit_records.inc_by(records.saturating_sub(gaps) as u64);
    }

    fn failed(&mut self, error: &io::Error) {
        self.metrics.audit_failures.inc();
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "the audit log cannot be written: no secret is revealed until it can");
        }
    }

    /// Keeps lines for the next try, as far as there is room.
    fn keep(&mut self, lines: impl Iterator<Item = Message>) {
        for message in lines {
            match message.written {
                Some(waiting) => drop(waiting.send(false)),
                None if self.kept.len() < KEPT => self.kept.push(message),
                None => {
                    self.flood.leave_out(1);
                    self.metrics.audit_dropped.inc();
                }
            }
        }
    }
}
