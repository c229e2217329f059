//! A loaded tenant, as those who listen see it.

use super::View;
use super::entries::Entries;
use super::lane::{Lane, lock};
use super::registry::FollowError;
use crate::backend::{BackendError, Nature, Urgency};
use crate::fanout::{End, Frames, Subscriber, Topic};
use crate::fleet::{About, Crew, InstanceId, Mark, Membership, Reporters};
use crate::limits::REREAD_INTERVAL;
use crate::source::{Address, Applied};
use confhub_proto::{Entry, ServiceName, State, TenantId, Update};
use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Longest wait for the owner to read a tenant again on behalf of a cursor
/// that the hub does not know. Past it the answer is a reset. Clients give up on
/// a stream that says nothing for 3 s (`WELCOME_TIMEOUT` of the SDK).
const REREAD_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a tenant can be listened to.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// It is being read for the first time.
    Loading,
    /// It is in memory.
    Ready,
    /// It could not be read, and is gone.
    Failed(FollowError),
}

/// A tenant in memory. Only its owner changes what it holds.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) phase: watch::Sender<Phase>,
    /// Wakes the owner.
    pub(super) work: Notify,
    /// One for each backend, as the router numbers them.
    pub(super) lanes: Box<[Lane]>,
    /// Who follows it, and what they have applied.
    pub(super) crew: Arc<Crew>,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) entries: Entries,
    pub(super) topics: HashMap<View, Arc<Topic>>,
    pub(super) listeners: usize,
    /// Since when nobody listens.
    pub(super) idle_since: Instant,
    /// Set when the tenant is dropped: whoever comes now loads it anew.
    pub(super) dropped: bool,
}

/// How a loaded tenant stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantStatus {
    /// Entries of all services.
    pub entries: usize,
    /// Bytes of keys, types and values.
    pub bytes: usize,
    /// Open streams.
    pub streams: usize,
}

impl Tenant {
    pub(super) fn new(
        id: TenantId,
        backends: impl Iterator<Item = Nature>,
        reporters: Reporters,
        streams: usize,
    ) -> Arc<Self> {
        let inner = Inner {
            entries: Entries::default(),
            topics: HashMap::new(),
            listeners: 0,
            idle_since: Instant::now(),
            dropped: false,
        };
        Arc::new(Self {
            id,
            phase: watch::Sender::new(Phase::Loading),
            work: Notify::new(),
            lanes: backends.map(Lane::new).collect(),
            // As many again may have left a moment ago.
            crew: Arc::new(Crew::new(reporters, streams.saturating_mul(2))),
            inner: Mutex::new(inner),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Waits until the tenant is in memory.
    pub(super) async fn ready(&self) -> Result<(), FollowError> {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(|phase| !matches!(phase, Phase::Loading)).await;
        match reached.as_deref() {
            Ok(Phase::Failed(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Has addresses of one backend read again.
    pub(super) fn hint(&self, backend: usize, addresses: Vec<Address>, applied: &mut Applied) {
        if let Some(lane) = self.lanes.get(backend) {
            let ticket = lane.pending().hint(addresses);
            applied.wait_for(lane.answered.subscribe(), ticket);
            self.work.notify_one();
        }
    }

    /// Has everything read again where hints can be lost.
    pub(super) fn lost_hints(&self) {
        for lane in self.lanes.iter().filter(|lane| lane.nature.metered) {
            lane.pending().sweep(Urgency::Sweep);
        }
        self.work.notify_one();
    }

    /// Waits until the entries of a service are in memory too.
    pub(super) async fn cover(&self, service: &ServiceName, limit: usize) -> Result<(), FollowError> {
        for lane in self.lanes.iter().filter(|lane| !lane.covers(service)) {
            // Whoever names services that are none must not cause a read for each.
            if !lane.may_ask(limit) {
                return Err(FollowError::Services { limit });
            }
            let ticket = lane.pending().service(service.clone());
            self.work.notify_one();
            lane.answer(ticket).await?;
        }
        Ok(())
    }

    /// What is in memory at these addresses of one backend, if that is the latest
    /// that anybody here knows of.
    pub(super) fn known(&self, backend: usize, addresses: &[Address]) -> Option<Vec<Option<Arc<Entry>>>> {
        let lane = self.lanes.get(backend)?;
        if !matches!(*self.phase.borrow(), Phase::Ready) || !addresses.iter().all(|at| lane.knows(at)) {
            return None;
        }
        let inner = self.lock();
        (!inner.dropped).then(|| addresses.iter().map(|at| inner.entries.get(at).cloned()).collect())
    }

    /// Has everything read now, and waits for each backend until it is.
    pub(super) async fn sweep(&self) -> Vec<Result<(), BackendError>> {
        self.sweep_those(|_| true).await
    }

    async fn sweep_those(&self, wanted: impl Fn(&Lane) -> bool) -> Vec<Result<(), BackendError>> {
        let lanes = self.lanes.iter().filter(|lane| wanted(lane));
        let tickets: Vec<_> = lanes.map(|lane| (lane, lane.pending().sweep(Urgency::Demand))).collect();
        self.work.notify_one();
        futures_util::future::join_all(tickets.into_iter().map(|(lane, ticket)| lane.answer(ticket))).await
    }

    /// Takes a seat before the topic of `view`. `None`: the tenant was dropped
    /// meanwhile.
    pub(super) fn sit(
        self: &Arc<Self>,
        view: View,
        limits: &crate::config::LimitSettings,
        encodings: &Counter,
        now: SystemTime,
    ) -> Result<Option<Seat>, FollowError> {
        let mut inner = self.lock();
        if inner.dropped {
            return Ok(None);
        }
        if inner.listeners >= limits.streams_per_tenant {
            return Err(FollowError::Streams { limit: limits.streams_per_tenant });
        }
        let topic = inner.topic(view, limits.views_per_tenant, encodings, now)?;
        inner.listeners += 1;
        drop(inner);
        Ok(Some(Seat { tenant: Arc::clone(self), topic }))
    }

    /// Has the owner read once what it has not just read.
    pub(super) async fn reread(&self) {
        let stale = |lane: &Lane| !lane.was_swept_within(REREAD_INTERVAL);
        let _ = tokio::time::timeout(REREAD_PATIENCE, self.sweep_those(stale)).await;
    }

    /// What a view shows, without keeping the view.
    pub(super) fn snapshot(&self, view: &View, now: SystemTime) -> Snapshot {
        let inner = self.lock();
        match inner.topics.get(view) {
            Some(topic) => Snapshot::Kept(Arc::clone(topic)),
            None => Snapshot::Passing(inner.entries.state(view), now),
        }
    }

    pub(super) fn status(&self) -> TenantStatus {
        let inner = self.lock();
        TenantStatus { entries: inner.entries.len(), bytes: inner.entries.bytes(), streams: inner.listeners }
    }

    /// Whether what is in memory is not from before these versions were written. What is
    /// not there was deleted, then or later.
    pub(super) fn has(&self, written: &[(Address, u64)]) -> bool {
        let inner = self.lock();
        written
            .iter()
            .all(|(at, version)| inner.entries.get(at).is_none_or(|entry| entry.version() >= *version))
    }

    /// Where every view stands now, for changes at these addresses.
    pub(super) fn mark(&self, addresses: Vec<Address>) -> Mark {
        let inner = self.lock();
        Mark::new(addresses, inner.topics.iter().map(|(view, topic)| (view.clone(), Arc::clone(topic))))
    }

    /// Ends every subscription.
    pub(super) fn end(&self, end: End) {
        for topic in self.lock().topics.values() {
            topic.end(end);
        }
    }
}

impl Inner {
    /// The topic of a view. One that nobody follows gives way at the limit.
    fn topic(
        &mut self,
        view: View,
        limit: usize,
        encodings: &Counter,
        now: SystemTime,
    ) -> Result<Arc<Topic>, FollowError> {
        if let Some(topic) = self.topics.get(&view) {
            return Ok(Arc::clone(topic));
        }
        if self.topics.len() >= limit {
            self.topics.retain(|_, topic| Arc::strong_count(topic) > 1);
        }
        if self.topics.len() >= limit {
            return Err(FollowError::Views { limit });
        }
        let topic = Arc::new(Topic::new(self.entries.state(&view), now).counted(encodings.clone()));
        self.topics.insert(view, Arc::clone(&topic));
        Ok(topic)
    }
}

/// What a view shows at one moment.
pub(super) enum Snapshot {
    /// Somebody follows it: the encoding can be shared.
    Kept(Arc<Topic>),
    /// Nobody does.
    Passing(State, SystemTime),
}

impl Snapshot {
    pub(super) fn frames(self, encodings: &Counter) -> Arc<Frames> {
        match self {
            Self::Kept(topic) => topic.snapshot(),
            Self::Passing(state, now) => {
                encodings.inc();
                Frames::of(&Update::reset(&state, now))
            }
        }
    }
}

/// Keeps a tenant in memory for as long as it is held.
pub(super) struct Seat {
    tenant: Arc<Tenant>,
    pub(super) topic: Arc<Topic>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.tenant.lock();
        inner.listeners -= 1;
        if inner.listeners == 0 {
            inner.idle_since = Instant::now();
            drop(inner);
            self.tenant.work.notify_one();
        }
    }
}

/// One who follows a view of a tenant.
#[repr(C)]
pub struct Listener {
    /// Where it stands.
    pub subscriber: Subscriber,
    pub(super) _seat: Seat,
    pub(super) _permit: tokio::sync::OwnedSemaphorePermit,
    pub(super) membership: Option<Membership>,
}

impl Listener {
    /// Has who listens listed among the instances of the tenant for as long as it does.
    /// False: they are too many, and it is not.
    pub fn enlist(&mut self, id: Option<InstanceId>, about: About, view: &View, now: SystemTime) -> bool {
        let Seat { tenant, topic } = &self._seat;
        self.membership = tenant.crew.join(id, about, view, topic, now);
        self.membership.is_some()
    }
}
