//! The one task that changes what the hub holds of a tenant.

use super::desk::{Desk, RETRY};
use super::entries::{Absorbed, Change, Trust};
use super::lane::{Lane, Sweep, lock};
use super::pending::{Job, What, Why};
use super::registry::{FollowError, Shared};
use super::seat::{Phase, Tenant};
use crate::backend::{Backend, BackendError, Position, Reading, Urgency};
use crate::fanout::End;
use crate::metrics::{Drift, Purpose};
use crate::source::Address;
use confhub_proto::ServiceName;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until};

/// Keys in the wrong store that are named in the log; the rest are only counted.
const NAMED_STRANGERS: usize = 16;

/// Loads a tenant, keeps it current, and drops it when nobody listens.
pub(super) struct Owner {
    tenant: Arc<Tenant>,
    shared: Arc<Shared>,
    desks: Vec<Desk>,
    reading: FuturesUnordered<BoxFuture<'static, Read>>,
    /// The service for which the tenant is loaded.
    first: Option<ServiceName>,
}

/// A read that is over.
struct Read {
    backend: usize,
    job: Job,
    services: Vec<ServiceName>,
    began: Instant,
    outcome: Result<Reading, BackendError>,
}

impl Owner {
    pub(super) fn new(tenant: Arc<Tenant>, shared: Arc<Shared>, first: Option<ServiceName>) -> Self {
        let desk = |_: &Lane| Desk::new(Instant::now() + jittered(shared.times.reconcile));
        let desks = tenant.lanes.iter().map(desk).collect();
        Self { tenant, shared, desks, reading: FuturesUnordered::new(), first }
    }

    /// Runs until the tenant is dropped or the hub drains.
    pub(super) async fn run(self) {
        let mut closing = self.shared.closing.subscribe();
        tokio::select! {
            () = self.keep_current() => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }

    async fn keep_current(mut self) {
        for lane in &self.tenant.lanes {
            lane.pending().sweep(Urgency::Demand);
        }
        loop {
            self.begin_reads();
            let wake = self.wake();
            let done = tokio::select! {
                Some(read) = self.reading.next() => self.finish(read),
                () = self.tenant.work.notified() => Ok(()),
                () = sleep_until(wake) => {
                    if self.drop_if_idle() {
                        tracing::debug!(tenant = %self.tenant.id, "dropped the tenant: nobody listens");
                        return;
                    }
                    self.sweep_if_due();
                    Ok(())
                }
            };
            if let Err(error) = done {
                return give_up(&self.tenant, error).await;
            }
        }
    }

    /// Begins what is due, a reading of everything and one of a few keys at a
    /// time; where reads cost nothing, one after another.
    fn begin_reads(&mut self) {
        for index in 0..self.desks.len() {
            loop {
                let lane = &self.tenant.lanes[index];
                // What failed is pending still, and waits for its time.
                let (wide, listed) = self.desks[index].ready(lane.nature);
                let job = lane.pending().take(wide, listed);
                let Some(job) = job else { break };
                self.begin(index, job);
            }
        }
    }

    fn begin(&mut self, index: usize, job: Job) {
        self.desks[index].begin(&job);
        let services = self.services();
        let backend = Arc::clone(&self.shared.router.backends()[index]);
        let (tenant, since) = (Arc::clone(&self.tenant), self.desks[index].position);
        let began = Instant::now();
        let read = async move {
            let outcome = perform(&*backend, &tenant, since, &job, &services).await;
            Read { backend: index, job, services, began, outcome }
        };
        self.reading.push(read.boxed());
    }

    /// The services that somebody follows.
    fn services(&self) -> Vec<ServiceName> {
        let inner = self.tenant.lock();
        let followed = inner.topics.keys().filter_map(|view| view.service().cloned());
        let mut services: Vec<_> = followed.chain(self.first.clone()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Takes in what a read has brought.
    fn finish(&mut self, read: Read) -> Result<(), FollowError> {
        let Read { backend: index, job, services, began, outcome } = read;
        let touched = self.desks[index].end(&job);
        let kind = self.shared.router.backends()[index].kind();
        let purpose = match &job.what {
            What::Some(_) => Purpose::Hint,
            What::Everything { .. } if self.desks[index].loaded => Purpose::Sweep,
            What::Everything { .. } | What::Service(_) => Purpose::Load,
        };
        self.shared.metrics.read(kind, purpose, outcome.as_ref().err());
        match outcome {
            Err(error) => self.failed(index, job, error)?,
            Ok(reading) => {
                self.recovered(index, &job);
                let absorbed = self.absorb(index, &job, reading, &touched)?;
                self.follow_up(index, &job, absorbed, services, began);
                let lane = &self.tenant.lanes[index];
                let answered = {
                    let mut pending = lane.pending();
                    pending.done(&job);
                    pending.answered()
                };
                lane.answered.send_replace(answered);
            }
        }
        Ok(())
    }

    fn failed(&mut self, index: usize, job: Job, error: BackendError) -> Result<(), FollowError> {
        if matches!(*self.tenant.phase.borrow(), Phase::Loading) {
            return Err(error.into());
        }
        let (desk, lane) = (&mut self.desks[index], &self.tenant.lanes[index]);
        let first = !desk.is_failing();
        desk.failed(&job, jittered);
        lane.failed(job.what.is_wide(), Some(error.clone()));
        lane.pending().put_back(job);
        // Those who listen go on with what is in memory.
        if first {
            tracing::warn!(tenant = %self.tenant.id, %error, "cannot read the tenant again");
        }
        Ok(())
    }

    fn recovered(&mut self, index: usize, job: &Job) {
        let desk = &mut self.desks[index];
        let failing = desk.is_failing();
        desk.recovered(job);
        self.tenant.lanes[index].failed(job.what.is_wide(), None);
        if failing && !desk.is_failing() {
            let backend = self.shared.router.backends()[index].kind();
            tracing::info!(tenant = %self.tenant.id, backend, "the tenant can be read again");
        }
    }

    /// Takes in a reading and publishes what it changed to every view that
    /// shows it; returns what changed.
    fn absorb(
        &mut self,
        index: usize,
        job: &Job,
        reading: Reading,
        touched: &HashSet<Address>,
    ) -> Result<Absorbed, FollowError> {
        let desk = &mut self.desks[index];
        desk.position = reading.position;
        let Shared { router, limits, metrics, clock, .. } = &*self.shared;
        let trust = Trust {
            nature: self.tenant.lanes[index].nature,
            owned: &|key| router.route(key) == Ok(index),
            touched,
        };
        let mut inner = self.tenant.lock();
        let absorbed = inner.entries.absorb(reading, &trust);
        desk.touch(job, absorbed.changed.iter().map(|(address, _)| address));
        inner.entries.check(limits)?;
        let mut updates = Vec::new();
        for (view, topic) in &inner.topics {
            let (next, keys) = inner.entries.next_state(view, &topic.state(), &absorbed.changed);
            if !keys.is_empty() {
                updates.push((Arc::clone(topic), next, keys));
            }
        }
        let modified = |(address, _): &(Address, _)| Some(inner.entries.get(address)?.modified());
        // Rows that were written by hand may tell no time.
        let written = absorbed.changed.iter().filter_map(modified).max().filter(|at| *at > UNIX_EPOCH);
        // Nobody but this owner publishes, so the lock need not be held for it.
        drop(inner);
        let now = clock();
        if let (Some(written), false) = (written, updates.is_empty()) {
            metrics.publish_delay.observe(now.duration_since(written).unwrap_or_default().as_secs_f64());
        }
        for (topic, next, keys) in updates {
            metrics.updates.inc();
            topic.publish(next, keys, now);
        }
        Ok(absorbed)
    }

    /// Asks again for what a reading left open, and counts what hints had missed.
    fn follow_up(
        &mut self,
        index: usize,
        job: &Job,
        absorbed: Absorbed,
        services: Vec<ServiceName>,
        began: Instant,
    ) {
        self.name_strangers(index, &absorbed.strangers);
        let lane = &self.tenant.lanes[index];
        if let What::Some(hints) = &job.what {
            // A store that answers from before says "not there", or nothing new.
            let there = absorbed.changed.iter().filter(|(_, change)| *change != Change::Deleted);
            let sure: HashSet<_> = there.map(|(address, _)| address).collect();
            let hinted = hints.iter().filter(|(_, ask)| ask.why == Why::Hint && !lane.nature.consistent);
            for (address, _) in hinted.filter(|(address, _)| !sure.contains(address)) {
                lane.pending().again(address.clone(), Why::Confirm);
            }
        }
        for address in absorbed.doubtful.iter().cloned() {
            lane.pending().again(address, Why::Doubt);
        }
        let missed = self.missed(index, job, &absorbed);
        match &job.what {
            What::Some(_) => {}
            What::Service(service) => drop(lane.covered().insert(service.clone())),
            What::Everything { .. } => self.swept(index, services, &missed, began),
        }
    }

    /// What had changed although no hint had told.
    fn missed(&self, index: usize, job: &Job, absorbed: &Absorbed) -> Drift {
        let mut missed = Drift::default();
        if !self.desks[index].loaded {
            return missed;
        }
        let lane = &self.tenant.lanes[index];
        let pending = lane.pending();
        for (address, change) in &absorbed.changed {
            let told = match &job.what {
                What::Some(asks) => asks.get(address).is_none_or(|ask| ask.why != Why::Doubt),
                What::Service(_) => true,
                What::Everything { hinted: beside, .. } => {
                    beside.contains_key(address) || pending.expects(address)
                }
            };
            if !told {
                missed.add(*change);
            }
        }
        drop(pending);
        let backend = self.shared.router.backends()[index].kind();
        let since = self.desks[index].swept;
        self.shared.metrics.drifted(backend, &missed, (self.shared.drift_cause)(backend, since));
        missed
    }

    fn swept(&mut self, index: usize, services: Vec<ServiceName>, missed: &Drift, began: Instant) {
        let (desk, lane) = (&mut self.desks[index], &self.tenant.lanes[index]);
        desk.loaded = true;
        desk.swept = Some(began);
        let inner = self.tenant.lock();
        if !lane.nature.lists_services {
            *lane.covered() = inner.entries.services().into_iter().chain(services).collect();
        }
        let router = &self.shared.router;
        let entries = inner.entries.count(|key| router.route(key) == Ok(index));
        let Drift { created, updated, deleted } = *missed;
        *lock(&lane.swept) = Some(Sweep { entries, created, updated, deleted });
        drop(inner);
        lane.swept_at(began);
        if self.desks.iter().all(|desk| desk.loaded) {
            // Nobody could listen until now, however long the load took.
            self.tenant.lock().idle_since = Instant::now();
            let ready = |phase: &mut Phase| {
                let first = matches!(phase, Phase::Loading);
                *phase = Phase::Ready;
                first
            };
            if self.tenant.phase.send_if_modified(ready) {
                self.first = None;
                tracing::debug!(tenant = %self.tenant.id, "loaded the tenant");
            }
        }
    }

    /// Says of keys in a store that another store owns that they are not served.
    fn name_strangers(&mut self, index: usize, strangers: &[Address]) {
        let named = &mut self.desks[index].strangers;
        let backend = self.shared.router.backends()[index].kind();
        for address in strangers {
            if named.len() < NAMED_STRANGERS && named.insert(address.clone()) {
                tracing::warn!(tenant = %self.tenant.id, backend, %address,
                    "the store holds an entry whose key belongs to another backend or to none: it is not served");
            }
        }
    }

    /// When to look again although nothing has come.
    fn wake(&self) -> Instant {
        let idle = self.idle_until();
        let due = self.desks.iter().zip(&self.tenant.lanes).filter_map(|(desk, lane)| {
            let (wide, listed) = desk.free(lane.nature);
            let (wide_retry, listed_retry) = desk.retries();
            let pending = lane.pending();
            let at =
                |due: Option<Instant>, retry: Option<Instant>| due.map(|due| retry.unwrap_or(due).max(due));
            let dues =
                [at(pending.due(wide, false), wide_retry), at(pending.due(false, listed), listed_retry)];
            dues.into_iter().flatten().min()
        });
        let sweeps = self.desks.iter().map(|desk| desk.next_sweep);
        due.chain(sweeps).chain(idle).min().unwrap_or_else(|| Instant::now() + RETRY)
    }

    fn sweep_if_due(&mut self) {
        let now = Instant::now();
        for (desk, lane) in self.desks.iter_mut().zip(&self.tenant.lanes) {
            if desk.next_sweep <= now {
                desk.next_sweep = now + jittered(self.shared.times.reconcile);
                lane.pending().sweep(Urgency::Sweep);
            }
        }
    }

    /// When to drop the tenant, if nobody listens.
    fn idle_until(&self) -> Option<Instant> {
        if !matches!(*self.tenant.phase.borrow(), Phase::Ready) {
            return None;
        }
        let inner = self.tenant.lock();
        (inner.listeners == 0).then(|| inner.idle_since + self.shared.times.tenant_idle)
    }

    fn drop_if_idle(&self) -> bool {
        if !matches!(*self.tenant.phase.borrow(), Phase::Ready) {
            return false;
        }
        let mut inner = self.tenant.lock();
        let idle = inner.idle_since.elapsed() >= self.shared.times.tenant_idle;
        if inner.listeners > 0 || !idle {
            return false;
        }
        inner.dropped = true;
        true
    }
}

/// Tells everyone that the tenant cannot be served.
async fn give_up(tenant: &Tenant, error: FollowError) {
    let loading = matches!(*tenant.phase.borrow(), Phase::Loading);
    if loading {
        tracing::warn!(tenant = %tenant.id, %error, "cannot load the tenant");
    } else {
        tracing::error!(tenant = %tenant.id, %error, "cannot serve the tenant any more");
    }
    tenant.phase.send_replace(Phase::Failed(error));
    if loading {
        // Whoever asks meanwhile has the same answer, and not the store the work.
        tokio::time::sleep(jittered(RETRY)).await;
    } else {
        tenant.end(End::TooLarge);
    }
}

/// Reads what a job asks for.
async fn perform(
    backend: &dyn Backend,
    tenant: &Tenant,
    since: Position,
    job: &Job,
    services: &[ServiceName],
) -> Result<Reading, BackendError> {
    match &job.what {
        What::Some(hints) => {
            let addresses: Vec<_> = hints.keys().cloned().collect();
            backend.refresh(&tenant.id, since, &addresses).await
        }
        What::Service(service) => backend.load_service(&tenant.id, service).await,
        What::Everything { urgency, .. } => backend.load(&tenant.id, services, *urgency).await,
    }
}

impl Drop for Owner {
    /// A tenant without its owner is no longer kept current, whatever has
    /// ended it: it is taken out of the map, and whoever listens is sent away.
    fn drop(&mut self) {
        self.tenant.lock().dropped = true;
        self.shared.forget(&self.tenant);
        self.tenant.end(End::Drain);
        // Whoever waits for the load is told; whoever comes to one that was
        // loaded finds it dropped, and has it loaded anew.
        self.tenant.phase.send_if_modified(|phase| {
            let loading = matches!(phase, Phase::Loading);
            if loading {
                *phase = Phase::Failed(FollowError::Closing);
            }
            loading
        });
        // Nobody waits for an answer that will not come.
        for lane in &self.tenant.lanes {
            lane.answered.send_replace(u64::MAX);
        }
    }
}

/// Between 75 % and 125 % of `mean`, so that tenants do not move in step.
fn jittered(mean: Duration) -> Duration {
    mean.mul_f64(0.75 + fastrand::f64() / 2.0)
}
