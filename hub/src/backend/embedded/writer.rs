//! The one thread that writes.

use super::file::File;
use super::write::Tables;
use super::{Bounds, unavailable};
use crate::auth::HUB_TENANT;
use crate::backend::{BackendError, Change, WriteError};
use crate::clock::Clock;
use crate::source::{Feed, Hint};
use confhub_proto::TenantId;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Writes that wait for the thread; a further one waits to get in.
const QUEUE: usize = 256;

/// Writes that share one transaction, and so one fsync.
const GROUP: usize = 128;

/// A handle on the thread, which ends when the last handle is dropped.
pub(super) struct Writer {
    queue: mpsc::Sender<Write>,
}

struct Write {
    tenant: TenantId,
    author: Arc<str>,
    changes: Vec<Change>,
    reply: oneshot::Sender<Outcome>,
}

type Outcome = Result<Vec<u64>, WriteError>;

impl Writer {
    pub(super) fn start(file: Arc<File>, bounds: Bounds, clock: Clock, feed: Feed) -> io::Result<Self> {
        let (queue, writes) = mpsc::channel(QUEUE);
        let thread = Thread { file, bounds, clock, feed };
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || thread.run(writes))?;
        Ok(Self { queue })
    }

    /// Whether the thread runs.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        if self.queue.is_closed() { Err(unavailable("its writer has stopped")) } else { Ok(()) }
    }

    pub(super) async fn apply(&self, tenant: TenantId, author: Arc<str>, changes: Vec<Change>) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let write = Write { tenant, author, changes, reply };
        self.queue.send(write).await.map_err(|_| unavailable("it has stopped"))?;
        outcome.await.map_err(|_| unavailable("it has stopped"))?
    }
}

struct Thread {
    file: Arc<File>,
    bounds: Bounds,
    clock: Clock,
    feed: Feed,
}

impl Thread {
    fn run(self, mut writes: mpsc::Receiver<Write>) {
        let mut group = Vec::with_capacity(GROUP);
        while writes.blocking_recv_many(&mut group, GROUP) > 0 {
            let outcomes = self.commit(&group);
            // Hints go out before the acknowledgements: whoever has seen one
            // can rely on the change being on its way.
            self.announce(&group, &outcomes);
            for (write, outcome) in group.drain(..).zip(outcomes) {
                // A writer that has gone away does not want to know.
                let _ = write.reply.send(outcome);
            }
        }
    }

    /// Makes the writes of a group in one transaction, each whole or not at all.
    fn commit(&self, group: &[Write]) -> Vec<Outcome> {
        let committed = self.file.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            let mut outcomes = Vec::with_capacity(group.len());
            for write in group {
                let now = (self.clock)();
                // The limits of tenants say nothing of the hub's own records.
                let records = write.tenant.as_str() == HUB_TENANT;
                let bounds = if records { Bounds::of_records() } else { self.bounds };
                match tables.apply(&write.tenant, &write.author, &write.changes, bounds, now) {
                    Err(WriteError::Backend(error)) => return Err(error),
                    outcome => outcomes.push(outcome),
                }
            }
            Ok(outcomes)
        });
        match committed {
            Ok(outcomes) => outcomes,
            // What is damaged is one tenant's: the others are made without it.
            Err(BackendError::Damaged { .. }) if group.len() > 1 => {
                group.iter().flat_map(|write| self.commit(std::slice::from_ref(write))).collect()
            }
            Err(error) => {
                tracing::error!(%error, writes = group.len(), "these writes were not acknowledged");
                group.iter().map(|_| Err(error.clone().into())).collect()
            }
        }
    }

    /// Sends a hint for every write that is in the file, or may be: a disk that
    /// fails during a commit does not say whether it was made.
    fn announce(&self, group: &[Write], outcomes: &[Outcome]) {
        for (write, outcome) in group.iter().zip(outcomes) {
            if matches!(outcome, Ok(_) | Err(WriteError::Backend(_))) {
                let addresses = write.changes.iter().map(|change| change.address.clone()).collect();
                drop(self.feed.hint(Hint { tenant: write.tenant.clone(), addresses }));
            }
        }
    }
}
