//! The one thread that writes.

use super::file::File;
use super::write::Tables;
use super::{Bounds, unavailable};
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

    fn commit(&self, group: &[Write]) -> Vec<Outcome> {
        let committed = self.file.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            let mut outcomes = Vec::with_capacity(group.len());
            for write in group {
                let now = (self.clock)();
                match tables.apply(&write.tenant, &write.author, &write.changes, self.bounds, now) {
                    Err(WriteError::Backend(error)) => return Err(error),
                    outcome => outcomes.push(outcome),
                }
            }
            Ok(outcomes)
        });
        committed.unwrap_or_else(|error: BackendError| {
            tracing::error!(%error, writes = group.len(), "nothing of these writes was done");
            group.iter().map(|_| Err(error.clone().into())).collect()
        })
    }

    fn announce(&self, group: &[Write], outcomes: &[Outcome]) {
        for (write, outcome) in group.iter().zip(outcomes) {
            if outcome.is_ok() {
                let addresses = write.changes.iter().map(|change| change.address.clone()).collect();
                // The feed is closed only when the hub is going down.
                let _ = self.feed.blocking_send(Hint { tenant: write.tenant.clone(), addresses });
            }
        }
    }
}
