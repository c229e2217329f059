//! The one task that changes what the hub holds of a tenant.

use super::pending::Job;
use super::registry::{FollowError, Shared};
use super::seat::{Phase, Tenant};
use crate::backend::{Backend, BackendError, Position, Reading, Urgency};
use crate::fanout::End;
use crate::metrics::{Outcome, OutcomeLabel};
use crate::source::Address;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Wait after a failed read of a backend, before jitter.
const RETRY: Duration = Duration::from_secs(1);

/// Loads a tenant, keeps it current, and drops it when nobody listens.
pub(super) struct Owner {
    tenant: Arc<Tenant>,
    shared: Arc<Shared>,
    /// How far each backend had come when it was last read.
    positions: Vec<Position>,
    next_sweep: Instant,
    /// When to try again what failed.
    retry: Option<Instant>,
}

impl Owner {
    pub(super) fn new(tenant: Arc<Tenant>, shared: Arc<Shared>) -> Self {
        let positions = vec![Position::default(); shared.router.backends().len()];
        let next_sweep = Instant::now() + jittered(shared.times.reconcile);
        Self { tenant, shared, positions, next_sweep, retry: None }
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
        if let Err(error) = self.sweep(&HashSet::new()).await {
            tracing::warn!(tenant = %self.tenant.id, %error, "cannot load the tenant");
            self.tenant.phase.send_replace(Phase::Failed(error));
            // Whoever asks meanwhile has the same answer, and not the store the work.
            tokio::time::sleep(jittered(RETRY)).await;
            return;
        }
        self.tenant.phase.send_replace(Phase::Ready);
        tracing::debug!(tenant = %self.tenant.id, "loaded the tenant");
        loop {
            if !self.wait().await {
                tracing::debug!(tenant = %self.tenant.id, "dropped the tenant: nobody listens");
                return;
            }
            let Some(job) = self.tenant.pending().take() else { continue };
            match self.work(&job).await {
                Ok(()) => self.retry = None,
                Err(FollowError::Backend(error)) => {
                    // Those who listen go on with what is in memory.
                    tracing::warn!(tenant = %self.tenant.id, %error, "cannot read the tenant again");
                    self.tenant.pending().put_back(job);
                    self.retry = Some(Instant::now() + jittered(RETRY));
                }
                Err(error) => {
                    tracing::error!(tenant = %self.tenant.id, %error, "cannot serve the tenant any more");
                    self.tenant.phase.send_replace(Phase::Failed(error));
                    self.tenant.end(End::TooLarge);
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do; false: the tenant was dropped.
    async fn wait(&mut self) -> bool {
        loop {
            let now = Instant::now();
            // What failed is pending still, and waits for its time.
            let retry = self.retry.filter(|at| *at > now);
            if retry.is_none() && self.has_work() {
                return true;
            }
            let idle = self.idle_until();
            let next = [Some(self.next_sweep), idle, retry].into_iter().flatten().min();
            tokio::select! {
                () = self.tenant.work.notified() => {}
                () = sleep_until(next.unwrap_or(self.next_sweep)) => {
                    if self.drop_if_idle() {
                        return false;
                    }
                    self.sweep_if_due();
                }
            }
        }
    }

    fn sweep_if_due(&mut self) {
        if self.next_sweep <= Instant::now() {
            self.next_sweep = Instant::now() + jittered(self.shared.times.reconcile);
            self.tenant.pending().sweep();
        }
    }

    fn has_work(&self) -> bool {
        !self.tenant.pending().is_empty()
    }

    /// When to drop the tenant, if nobody listens.
    fn idle_until(&self) -> Option<Instant> {
        let inner = self.tenant.lock();
        (inner.listeners == 0).then(|| inner.idle_since + self.shared.times.tenant_idle)
    }

    fn drop_if_idle(&self) -> bool {
        let mut inner = self.tenant.lock();
        let idle = inner.idle_since.elapsed() >= self.shared.times.tenant_idle;
        if inner.listeners > 0 || !idle {
            return false;
        }
        inner.dropped = true;
        true
    }

    async fn work(&mut self, job: &Job) -> Result<(), FollowError> {
        match job {
            Job::Some(addresses) => self.refresh(addresses).await,
            Job::Everything { asked, hinted } => {
                let done = self.sweep(hinted).await;
                // Whoever waits gets its answer from what there is.
                self.tenant.swept.send_replace(*asked);
                done
            }
        }
    }

    /// Reads everything. What changed and was not hinted had been missed.
    async fn sweep(&mut self, hinted: &HashSet<Address>) -> Result<(), FollowError> {
        let began = Instant::now();
        for index in 0..self.positions.len() {
            let backend = Arc::clone(self.backend(index));
            let reading = self.count(backend.load(&self.tenant.id, &[], Urgency::Demand).await)?;
            let changed = self.absorb(index, reading)?;
            if matches!(*self.tenant.phase.borrow(), Phase::Ready) {
                let missed = changed.iter().filter(|address| !hinted.contains(address)).count();
                self.shared.metrics.drift.inc_by(missed as u64);
            }
        }
        self.tenant.lock().last_sweep = Some(began);
        Ok(())
    }

    /// Reads what was hinted.
    async fn refresh(&mut self, addresses: &[Address]) -> Result<(), FollowError> {
        let mut by_backend = vec![Vec::new(); self.positions.len()];
        for address in addresses {
            // A key that nobody owns can only be hinted by mistake.
            if let Ok(index) = self.shared.router.route(&address.key) {
                by_backend[index].push(address.clone());
            }
        }
        for (index, hinted) in by_backend.into_iter().enumerate() {
            if !hinted.is_empty() {
                let backend = Arc::clone(self.backend(index));
                let reading = backend.refresh(&self.tenant.id, self.positions[index], &hinted).await;
                let reading = self.count(reading)?;
                self.absorb(index, reading)?;
            }
        }
        Ok(())
    }

    fn backend(&self, index: usize) -> &Arc<dyn Backend> {
        &self.shared.router.backends()[index]
    }

    fn count(&self, reading: Result<Reading, BackendError>) -> Result<Reading, BackendError> {
        let outcome = if reading.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.shared.metrics.backend_reads.get_or_create(&OutcomeLabel { outcome }).inc();
        reading
    }

    /// Takes in a reading and publishes what it changed to every view that
    /// shows it; returns what changed.
    fn absorb(&mut self, index: usize, reading: Reading) -> Result<Vec<Address>, FollowError> {
        self.positions[index] = reading.position;
        let Shared { router, limits, metrics, clock, .. } = &*self.shared;
        let mut inner = self.tenant.lock();
        let changed = inner.entries.absorb(reading, |key| router.route(key) == Ok(index));
        inner.entries.check(limits)?;
        let mut updates = Vec::new();
        for (view, topic) in &inner.topics {
            let (next, keys) = inner.entries.next_state(view, &topic.state(), &changed);
            if !keys.is_empty() {
                updates.push((Arc::clone(topic), next, keys));
            }
        }
        let written =
            changed.iter().filter_map(|address| inner.entries.get(address)?.modified().into()).max();
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
        Ok(changed)
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
    }
}

/// Between 75 % and 125 % of `mean`, so that tenants do not move in step.
fn jittered(mean: Duration) -> Duration {
    mean.mul_f64(0.75 + fastrand::f64() / 2.0)
}
