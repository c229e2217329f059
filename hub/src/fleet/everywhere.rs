//! The instances of a tenant on all hubs that share a store.
//!
//! Each hub writes a record for each of its tenants with instances, when they have
//! changed, but at most once a [`GAP`]; and one that says that it lives. Those of a hub
//! that says so no more are not believed, and are removed by another. All hubs follow all records, by the hints and sweeps by which they follow all
//! else. A state is named by its digest, which means the same on every hub, so whoever
//! waits here knows where an instance stands that is elsewhere, once this hub follows
//! its view too; it does so for as long as it waits.
//!
//! A hub whose store is its own has nobody to tell, and writes nothing.

use super::crew::Listed;
use super::record::{self, Record, Told, ms};
use super::wait::{Mark, Verdict};
use super::{InstanceId, Row};
use crate::admission::{Admission, hub_tenant};
use crate::backend::{Action, Change, WriteError};
use crate::clock::Clock;
use crate::fanout::End;
use crate::source::{Address, Hint, Sink as _};
use crate::tenant::{Listener, Tenants, View};
use arc_swap::ArcSwap;
use confhub_proto::{Content, ServiceName, State, TenantId};
use futures_util::StreamExt as _;
use std::collections::{HashMap, HashSet};
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Shortest time between two records of one tenant.
const GAP: Duration = Duration::from_secs(1);

/// How often a hub says that it lives.
const ALIVE: Duration = Duration::from_secs(30);

/// A hub is gone that has not said so for this time, by the clock of who listens.
const GONE: Duration = Duration::from_secs(90);

/// Its records are removed after this time: by then it is not merely cut off.
const REMOVED: Duration = Duration::from_secs(900);

/// Records of hubs that are gone that are removed at a time.
const REMOVALS: usize = 16;

/// Most instances in a record: at about 250 bytes each a row of DynamoDB has room.
const MOST: usize = 1_000;

/// Bytes of a record, at most: what DynamoDB takes, with room for what stands beside.
const BYTES: usize = 380 * 1024;

/// Records that are written at the same time.
const AT_ONCE: usize = 8;

/// Most views that are followed here for instances that are elsewhere.
const VIEWS: usize = 64;

/// The instances on all hubs. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Everywhere(Arc<Inner>);

struct Inner {
    admission: Admission,
    tenants: Tenants,
    clock: Clock,
    /// Names this hub among those on the store.
    hub: String,
    /// Whether there may be others.
    shared: bool,
    /// What the other hubs have told.
    others: ArcSwap<HashMap<TenantId, Vec<Hub>>>,
    /// What each has said last to show that it lives, and when that was heard.
    signs: Mutex<HashMap<String, (u64, Instant)>>,
    moves: watch::Sender<u64>,
    /// What this hub has told.
    written: Mutex<HashMap<TenantId, Vec<Told>>>,
}

/// What another hub has told of a tenant.
struct Hub {
    name: String,
    instances: Vec<Listed>,
}

/// A [`Mark`], and what has to be held for it.
pub struct Marked {
    mark: Mark,
    _held: Vec<Listener>,
}

impl Everywhere {
    /// The instances of `tenants`, and those of other hubs if there may be any.
    #[must_use]
    pub fn new(admission: Admission, tenants: Tenants, clock: Clock) -> Self {
        let shared = !admission.backend().nature().announces;
        Self::of(admission, tenants, clock, shared)
    }

    pub(super) fn of(admission: Admission, tenants: Tenants, clock: Clock, shared: bool) -> Self {
        let hub = format!("{:016x}", fastrand::u64(..));
        let inner = Inner {
            admission,
            tenants,
            clock,
            hub,
            shared,
            others: ArcSwap::default(),
            signs: Mutex::default(),
            moves: watch::Sender::new(0),
            written: Mutex::default(),
        };
        Self(Arc::new(inner))
    }

    /// Tells the others, and follows what they tell, for as long as it is polled; it
    /// never ends.
    pub async fn keep(self) {
        if !self.0.shared {
            pending().await
        }
        loop {
            match self.0.admission.tenants().follow(&hub_tenant(), record::view(), None).await {
                Ok(listener) => self.follow(listener).await,
                Err(error) => tracing::warn!(%error, "the instances of other hubs are not known"),
            }
            sleep(GAP).await;
        }
    }

    async fn follow(&self, mut listener: Listener) {
        let (mut due, mut sign) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                state = poll_fn(|cx| listener.subscriber.poll_state(cx)) => match state {
                    Ok(state) => self.take(&state),
                    Err(End::Drain) => pending().await,
                    Err(End::TooLarge) => return,
                },
                () = sleep_until(due) => {
                    self.tell().await;
                    if sign <= Instant::now() {
                        self.remove_left().await;
                    }
                    // Nobody asks for the life of a hub that has nothing to tell.
                    if sign <= Instant::now() && !locked(&self.0.written).is_empty() {
                        self.live().await;
                        sign = Instant::now() + ALIVE;
                    }
                    due = Instant::now() + GAP;
                }
            }
        }
    }

    /// Takes in what the others have told.
    fn take(&self, state: &State) {
        let mut others: HashMap<TenantId, Vec<Hub>> = HashMap::new();
        let mut signs = locked(&self.0.signs);
        let mut present = HashSet::new();
        for entry in state.iter() {
            let Some((name, tenant)) = record::place(entry.key()).filter(|(hub, _)| *hub != self.0.hub)
            else {
                continue;
            };
            present.insert(name.clone());
            let Ok(Record { at_ms, instances }) = serde_json::from_slice(entry.value()) else {
                tracing::warn!(key = %entry.key(), "a record of instances cannot be read");
                continue;
            };
            let sign = signs.entry(name.clone()).or_insert_with(|| (at_ms, Instant::now()));
            if sign.0 < at_ms {
                *sign = (at_ms, Instant::now());
            }
            if let Some(tenant) = tenant {
                let instances = instances.iter().filter_map(Told::listed).collect();
                others.entry(tenant).or_default().push(Hub { name, instances });
            }
        }
        signs.retain(|hub, _| present.contains(hub));
        drop(signs);
        self.0.others.store(Arc::new(others));
        self.0.moves.send_modify(|moves| *moves = moves.wrapping_add(1));
    }

    /// Says that this hub lives.
    async fn live(&self) {
        let alive = Record { at_ms: ms((self.0.clock)()), instances: Vec::new() };
        if let (Some(address), Ok(content)) = (record::address(&self.0.hub, None), content(&alive)) {
            self.change(address, Action::Put(content)).await;
        }
    }

    /// Removes what hubs that are gone have left behind.
    async fn remove_left(&self) {
        let removed: Vec<_> = {
            let (signs, others) = (locked(&self.0.signs), self.0.others.load());
            let gone = signs.iter().filter(|(_, (_, heard))| heard.elapsed() >= REMOVED);
            let left = |hub: &String| {
                let of = others.iter().filter(|(_, hubs)| hubs.iter().any(|other| other.name == *hub));
                let mut left: Vec<_> = of.map(|(tenant, _)| Some(tenant.clone())).collect();
                // That it was there is forgotten last.
                if left.is_empty() {
                    left.push(None);
                }
                left.into_iter().map(|tenant| (hub.clone(), tenant)).collect::<Vec<_>>()
            };
            gone.flat_map(|(hub, _)| left(hub)).take(REMOVALS).collect()
        };
        for (hub, tenant) in removed {
            if let Some(address) = record::address(&hub, tenant.as_ref()) {
                self.change(address, Action::Delete).await;
            }
        }
    }

    /// Writes what has changed.
    async fn tell(&self) {
        let mut due = Vec::new();
        let crews = self.0.tenants.crews();
        let present: HashSet<_> = crews.iter().map(|(tenant, _)| tenant.clone()).collect();
        {
            let written = locked(&self.0.written);
            for (tenant, crew) in &crews {
                let mut told: Vec<_> = crew.roster(MOST).iter().map(Told::from).collect();
                told.sort_by(|a, b| a.id().cmp(b.id()));
                if written.get(tenant).map_or(&[][..], Vec::as_slice) != told {
                    due.push((tenant.clone(), told));
                }
            }
            let gone = written.keys().filter(|tenant| !present.contains(*tenant));
            due.extend(gone.map(|tenant| (tenant.clone(), Vec::new())));
        }
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |(tenant, told)| self.write(tenant, told))
            .await;
    }

    async fn write(&self, tenant: TenantId, told: Vec<Told>) {
        let Some(address) = record::address(&self.0.hub, Some(&tenant)) else { return };
        let action = if told.is_empty() {
            Action::Delete
        } else {
            match content(&Record { at_ms: ms((self.0.clock)()), instances: told.clone() }) {
                Ok(content) => Action::Put(content),
                Err(error) => {
                    return tracing::warn!(%tenant, error, "other hubs are not told of the instances");
                }
            }
        };
        // What was not written is tried again with the next look.
        if self.change(address, action).await {
            let mut written = locked(&self.0.written);
            if told.is_empty() { drop(written.remove(&tenant)) } else { drop(written.insert(tenant, told)) }
        }
    }

    /// Changes a record. False: the store has not taken it.
    async fn change(&self, address: Address, action: Action) -> bool {
        let change = Change { address: address.clone(), action, expected: None };
        let changed = self.0.admission.backend().apply(&hub_tenant(), &self.0.hub, vec![change]).await;
        drop(self.0.admission.tenants().hint(Hint { tenant: hub_tenant(), addresses: vec![address] }));
        match changed {
            Ok(_) | Err(WriteError::NotFound(_)) => true,
            Err(error) => {
                tracing::debug!(%error, "other hubs are not told of the instances");
                false
            }
        }
    }

    /// The instances of other hubs, each once and where it was last heard of, without
    /// those that are connected here.
    fn elsewhere(&self, tenant: &TenantId) -> Vec<Listed> {
        if !self.0.shared {
            return Vec::new();
        }
        let here = self.0.tenants.crew(tenant).map(|crew| crew.connected()).unwrap_or_default();
        let others = self.0.others.load();
        let signs = locked(&self.0.signs);
        let alive = |hub: &&Hub| signs.get(&hub.name).is_some_and(|(_, heard)| heard.elapsed() < GONE);
        let mut newest: HashMap<InstanceId, Listed> = HashMap::new();
        for listed in others.get(tenant).into_iter().flatten().filter(alive).flat_map(|hub| &hub.instances) {
            let reported = |listed: &Listed| (!listed.away, listed.report.as_ref().map(|(_, at)| *at));
            let known = newest.get(&listed.id);
            if !here.contains(&listed.id) && known.is_none_or(|known| reported(known) < reported(listed)) {
                newest.insert(listed.id, listed.clone());
            }
        }
        newest.into_values().collect()
    }

    /// The instances of a tenant of the services that are wanted, in no order.
    pub fn rows(&self, tenant: &TenantId, wanted: impl Fn(Option<&ServiceName>) -> bool) -> Vec<Row> {
        let crew = self.0.tenants.crew(tenant);
        let mut rows = crew.map(|crew| crew.rows(|_| true)).unwrap_or_default();
        let elsewhere = self.elsewhere(tenant);
        let there: HashSet<_> = elsewhere.iter().map(|listed| listed.id).collect();
        rows.retain(|row| !there.contains(&row.id));
        rows.extend(elsewhere.iter().map(|listed| {
            let topic = self.0.tenants.topic(tenant, &listed.view);
            listed.row(topic.as_ref())
        }));
        rows.retain(|row| wanted(row.service.as_ref()));
        rows
    }

    /// Where all views stand that have what was written: see [`Tenants::mark`]. `None`:
    /// nobody follows the tenant.
    pub async fn mark(&self, tenant: &TenantId, written: &[(Address, u64)]) -> Option<Marked> {
        let mut held = Vec::new();
        let sees = |view: &View| written.iter().any(|(address, _)| view.admits(address));
        let elsewhere = self.elsewhere(tenant);
        let views: HashSet<_> =
            elsewhere.into_iter().map(|listed| listed.view).filter(|view| sees(view)).collect();
        for view in views.into_iter().take(VIEWS) {
            // What cannot be followed here is pending: better than to pass for applied.
            held.extend(self.0.tenants.follow(tenant, view, None).await.ok());
        }
        let mark = self.0.tenants.mark(tenant, written).await?;
        Some(Marked { mark, _held: held })
    }

    /// How far the marked changes have come; `None`: nobody follows the tenant.
    pub fn verdict(
        &self,
        tenant: &TenantId,
        marked: &Marked,
        wanted: impl Fn(Option<&ServiceName>) -> bool,
    ) -> Option<Verdict> {
        let crew = self.0.tenants.crew(tenant)?;
        let elsewhere = self.elsewhere(tenant);
        let there: HashSet<_> = elsewhere.iter().map(|listed| listed.id).collect();
        let mut verdict = crew.verdict(&marked.mark, &there, &wanted);
        let concerned = elsewhere
            .iter()
            .filter(|listed| wanted(listed.view.service()) && marked.mark.concerns(&listed.view));
        for listed in concerned {
            verdict.add(&marked.mark, listed);
        }
        Some(verdict)
    }

    /// Waits until an instance of the tenant has come, reported or left since `seen` was
    /// made.
    pub async fn moved(&self, seen: &mut Moves) {
        let here = async {
            match &mut seen.here {
                Some(here) => drop(here.changed().await),
                None => pending().await,
            }
        };
        tokio::select! {
            () = here => {}
            _ = seen.elsewhere.changed() => {}
        }
    }

    /// What has happened so far to instances of a tenant.
    #[must_use]
    pub fn moves(&self, tenant: &TenantId) -> Moves {
        let here = self.0.tenants.crew(tenant).map(|crew| crew.watch());
        Moves { here, elsewhere: self.0.moves.subscribe() }
    }
}

/// What has happened to instances up to some moment.
pub struct Moves {
    here: Option<watch::Receiver<u64>>,
    elsewhere: watch::Receiver<u64>,
}

impl Marked {
    /// For changes that are not known to have been read yet: nobody has them.
    #[must_use]
    pub fn unread(addresses: Vec<Address>) -> Self {
        Self { mark: Mark::unread(addresses), _held: Vec::new() }
    }
}

fn content(record: &Record) -> Result<Content, String> {
    let text = serde_json::to_vec(record).map_err(|error| error.to_string())?;
    Content::new(text.into(), Content::JSON, false, BYTES).map_err(|error| error.to_string())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here stops half way: a poisoned lock guards whole data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
