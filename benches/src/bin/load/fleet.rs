//! The subscribers of one round, of whatever peer.

use crate::ledger::{Held, Shared, Totals};
use crate::plan::Plan;
use confhub_benches::Result;
use confhub_proto::Digest;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::task::JoinSet;

/// All streams, and the tasks that follow them.
pub(crate) struct Fleet {
    pub(crate) totals: RefCell<Totals>,
    /// They end with the fleet.
    pub(crate) tasks: RefCell<JoinSet<()>>,
    /// With the number of its tenant.
    streams: RefCell<Vec<(usize, Shared<dyn Held>)>>,
}

impl Fleet {
    pub(crate) fn new() -> Result<Rc<Self>> {
        let totals = RefCell::new(Totals::new()?);
        Ok(Rc::new(Self { totals, tasks: RefCell::default(), streams: RefCell::default() }))
    }

    /// Adds a stream.
    pub(crate) fn add<T: Held + 'static>(&self, tenant: usize, stream: T) -> Shared<T> {
        let stream = Rc::new(RefCell::new(stream));
        let held: Shared<dyn Held> = Rc::<RefCell<T>>::clone(&stream);
        self.streams.borrow_mut().push((tenant, held));
        stream
    }

    /// Follows a stream, or a connection of them, until it ends: which it should not.
    pub(crate) fn follow(self: &Rc<Self>, following: impl Future<Output = Result<()>> + 'static) {
        let fleet = Rc::clone(self);
        self.tasks.borrow_mut().spawn_local(async move {
            let ended = following.await.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
            let mut totals = fleet.totals.borrow_mut();
            if totals.faults.broken == 0 {
                eprintln!("a stream broke: {ended}");
            }
            totals.faults.broken += 1;
        });
    }

    /// So many streams know that they are current.
    pub(crate) fn current(&self, streams: usize) {
        self.totals.borrow_mut().current += streams;
    }

    /// Ends all streams, and with them what holds the fleet.
    pub(crate) fn end(&self) {
        self.tasks.borrow_mut().abort_all();
        self.streams.borrow_mut().clear();
    }

    /// Compares what each stream has with what was written, and with the digests
    /// that the peer has of tenants.
    pub(crate) fn check(&self, written: &Written, digests: &HashMap<usize, Digest>) {
        let faults = &mut self.totals.borrow_mut().faults;
        for (tenant, stream) in self.streams.borrow().iter() {
            let stream = stream.borrow();
            faults.lost += stream.lacks(&written.versions[*tenant]);
            let differs = digests.get(tenant).is_some_and(|digest| stream.digest() != Some(*digest));
            faults.unequal += u64::from(differs);
        }
    }
}

/// What was written in one round.
pub(crate) struct Written {
    /// The last acknowledged version of each key of each tenant.
    pub(crate) versions: Vec<Vec<u64>>,
    /// How many times this load has written each key of each tenant.
    pub(crate) times: Vec<Vec<u64>>,
}

impl Written {
    pub(crate) fn new(plan: &Plan) -> Self {
        let none = vec![vec![0; plan.settings.len()]; plan.shape.tenants];
        Self { versions: none.clone(), times: none }
    }

    /// The tenants of which anything was written.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = usize> {
        let touched = |(_, times): &(usize, &Vec<u64>)| times.iter().any(|times| *times > 0);
        self.times.iter().enumerate().filter(touched).map(|(tenant, _)| tenant)
    }
}
