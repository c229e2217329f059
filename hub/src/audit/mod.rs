//! Who did what: one JSON object a line, of every write, roll-back, reveal,
//! revocation and reconciliation, and of every call that was refused.
//!
//! The way of a record: the edge makes a [`Call`] of each request, and whoever
//! learns something of it adds that: who calls, what it is about, why it is
//! refused. When its end is known it becomes a record, which goes through a bounded
//! queue to the one [`Writer`], and so to standard output or a file.
//!
//! What is promised:
//! - No record holds a value or a token. A [`Call`] is never given one.
//! - The value of a secret leaves the hub after the record of its reveal is written
//!   and, in a file, on the disk. If it cannot be written, the reveal is refused.
//! - Writes are not refused for want of a log: that would keep an operator from
//!   putting things right, and the history in the store has their authors. They wait
//!   a while for room, and are kept until the log can be written again.
//! - Refused calls never wait, and are recorded at a bounded rate. What is left out
//!   is counted, and a line of its own tells the number.
//!
//! Off unless the settings say otherwise; for the program `serve` they do.

mod call;
mod file;
mod flood;
mod record;
mod writer;

pub use call::{Act, Call};
pub use record::Outcome;
pub use writer::Writer;

use crate::clock::Clock;
use crate::config::{AuditSettings, AuditTo};
use crate::metrics::Metrics;
use file::{LogFile, Sink};
use flood::Flood;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use writer::Message;

/// Records that wait for the writer; a few hundred bytes each, and 25 kB for a
/// part of an `Apply`.
const QUEUE: usize = 1_024;

/// Longest wait for the log by a call that needs it: well within the time of a call.
const WAIT: Duration = Duration::from_secs(5);

/// The audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the audit log `{}` (`audit.to`): {source}", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// The audit log cannot be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written, and without it no secret is revealed: try again later")]
pub struct Unwritten;

/// The audit log. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    queue: mpsc::Sender<Message>,
    flood: Flood,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// Opens the log, and makes the writer, which has to be run.
    ///
    /// # Errors
    /// If it is a file that cannot be opened.
    pub fn open(
        settings: &AuditSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Option<Writer>), OpenError> {
        let sink = match &settings.to {
            AuditTo::Off => return Ok((Self(None), None)),
            AuditTo::Output => Sink::Output,
            AuditTo::File(path) => {
                let file = LogFile::open(path, settings.max_bytes, settings.keep);
                Sink::File(file.map_err(|source| OpenError { path: path.clone(), source })?)
            }
        };
        let (queue, messages) = mpsc::channel(QUEUE);
        let flood = Flood::default();
        let writer = Writer::new(sink, messages, flood.clone(), clock.clone(), Arc::clone(&metrics));
        Ok((Self(Some(Arc::new(Inner { queue, flood, clock, metrics }))), Some(writer)))
    }

    /// Records the end of a call, once; but that it was done is told also after it has
    /// seemed to fail, since a write that took too long may be made all the same.
    /// `word` says why it was not done, if nobody has said it better.
    ///
    /// One that was done waits for room in the queue, though not for the disk; others
    /// are left out if there is none, or if there have been too many of late.
    pub async fn tell(&self, call: &Call, outcome: Outcome, word: &'static str) {
        let Some(inner) = &self.0 else { return };
        if !call.is_news(outcome) {
            return;
        }
        let records = record::of(call, (inner.clock)(), outcome, word);
        if outcome == Outcome::Done {
            let until = Instant::now() + WAIT;
            for line in records {
                let sent = timeout_at(until, inner.queue.send(Message { line, written: None })).await;
                if !matches!(sent, Ok(Ok(()))) {
                    inner.left_out();
                }
            }
            return;
        }
        for line in records {
            let admitted = inner.flood.admits(call.is_identified(), Instant::now());
            if !admitted || inner.queue.try_send(Message { line, written: None }).is_err() {
                inner.left_out();
            }
        }
    }

    /// Records that a call will now be done, and waits until that is written.
    ///
    /// # Errors
    /// If it is not, within a few seconds: then the call must not be done.
    pub async fn tell_first(&self, call: &Call) -> Result<(), Unwritten> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let records = record::of(call, (inner.clock)(), Outcome::Done, "");
        let until = Instant::now() + WAIT;
        for line in records {
            let (written, is_written) = oneshot::channel();
            let sent = timeout_at(until, inner.queue.send(Message { line, written: Some(written) })).await;
            sent.map_err(|_| Unwritten)?.map_err(|_| Unwritten)?;
            match timeout_at(until, is_written).await {
                Ok(Ok(true)) => {}
                _ => return Err(Unwritten),
            }
        }
        call.is_news(Outcome::Done);
        Ok(())
    }

    /// Waits until everything that was told before is written, or given up.
    pub async fn flush(&self, at_most: Duration) {
        let Some(inner) = &self.0 else { return };
        let (written, is_written) = oneshot::channel();
        let flushed = async {
            let sent = inner.queue.send(Message { line: Vec::new(), written: Some(written) }).await;
            sent.is_ok() && is_written.await == Ok(true)
        };
        if !timeout(at_most, flushed).await.unwrap_or_default() {
            tracing::error!("the audit log could not be written to its end");
        }
    }
}

impl Inner {
    fn left_out(&self) {
        self.flood.leave_out(1);
        self.metrics.audit_dropped.inc();
    }
}

#[cfg(test)]
mod tests;
