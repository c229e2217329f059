//! The flags of views that somebody asks for, compiled.
//!
//! A view is followed as a stream of it would be, and what has changed is compiled by
//! whoever asks first after the change. It is let go when nobody has asked for a minute,
//! or when there are too many: those that were asked for longest ago go first, of a
//! tenant with many its own.

use crate::fanout::End;
use crate::limits::{COMPILED_IDLE, COMPILED_VIEWS, COMPILED_VIEWS_PER_TENANT};
use crate::tenant::{FollowError, Listener, Tenants, View};
use confhub_flags::{Change, FlagSet, HashVersion};
use confhub_proto::{Prefix, ServiceName, State, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tokio::time::{Instant, interval};

/// How often is looked for what nobody asks for.
const LOOK: Duration = Duration::from_secs(10);

/// How often a view is followed anew that ends just as it is asked for.
const MEETINGS: usize = 3;

type Id = (TenantId, Option<ServiceName>);

/// A view that is followed, once it is.
type Cell = Arc<OnceCell<Arc<AsyncMutex<Followed>>>>;

/// Compiled flags by tenant and service.
pub struct Views {
    hash: HashVersion,
    open: Mutex<HashMap<Id, Seen>>,
}

struct Seen {
    cell: Cell,
    /// When it was last asked for.
    asked: Instant,
}

/// One view's flags, as of the last time that somebody asked.
struct Followed {
    listener: Listener,
    state: State,
    flags: Arc<FlagSet>,
}

impl Views {
    /// None yet. `hash` says how `fractional` places users.
    #[must_use]
    pub fn new(hash: HashVersion) -> Self {
        Self { hash, open: Mutex::default() }
    }

    /// The flags that a service of a tenant sees now.
    pub(super) async fn flags(
        &self,
        tenants: &Tenants,
        tenant: &TenantId,
        service: Option<ServiceName>,
    ) -> Result<Arc<FlagSet>, FollowError> {
        let id = (tenant.clone(), service);
        for _ in 0..MEETINGS {
            let cell = self.cell(&id);
            let followed = cell.get_or_try_init(|| self.follow(tenants, &id)).await;
            let followed = followed.inspect_err(|_| self.forget(&id, &cell))?;
            match Followed::current(followed).await {
                Ok(flags) => return Ok(flags),
                // Following it anew tells why, if it is not served any more.
                Err(_) => self.forget(&id, &cell),
            }
        }
        Err(FollowError::Closing)
    }

    async fn follow(&self, tenants: &Tenants, id: &Id) -> Result<Arc<AsyncMutex<Followed>>, FollowError> {
        let (tenant, service) = id;
        let listener = tenants.follow(tenant, view(service.clone()), None).await?;
        let flags = Arc::new(FlagSet::new(self.hash));
        Ok(Arc::new(AsyncMutex::new(Followed { listener, state: State::default(), flags })))
    }

    /// The place of a view, which is asked for now.
    fn cell(&self, id: &Id) -> Cell {
        let mut open = self.lock();
        let now = Instant::now();
        if let Some(seen) = open.get_mut(id) {
            seen.asked = now;
            return Arc::clone(&seen.cell);
        }
        let mut gone = Vec::new();
        let own = open.keys().filter(|(tenant, _)| *tenant == id.0).count();
        if own >= COMPILED_VIEWS_PER_TENANT {
            gone.extend(remove_oldest(&mut open, |(tenant, _)| *tenant == id.0));
        } else if open.len() >= COMPILED_VIEWS {
            gone.extend(remove_oldest(&mut open, |_| true));
        }
        let cell = Cell::default();
        open.insert(id.clone(), Seen { cell: Arc::clone(&cell), asked: now });
        drop(open);
        // Large ones take a while: not under the lock.
        drop(gone);
        cell
    }

    /// Lets go of a view, unless another has taken its place.
    fn forget(&self, id: &Id, cell: &Cell) {
        let mut open = self.lock();
        let gone = open.get(id).is_some_and(|seen| Arc::ptr_eq(&seen.cell, cell)).then(|| open.remove(id));
        drop(open);
        drop(gone);
    }

    /// Lets go of what nobody asks for. Never ends.
    pub async fn keep(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let now = Instant::now();
            let mut open = self.lock();
            let gone: Vec<_> =
                open.extract_if(|_, seen| now.duration_since(seen.asked) >= COMPILED_IDLE).collect();
            drop(open);
            drop(gone);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Seen>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_oldest(open: &mut HashMap<Id, Seen>, of: impl Fn(&Id) -> bool) -> Option<Seen> {
    let oldest = open.iter().filter(|(id, _)| of(id)).min_by_key(|(_, seen)| seen.asked);
    let oldest = oldest.map(|(id, _)| id.clone())?;
    open.remove(&oldest)
}

/// What a service sees of the keys that begin as those of flags do.
fn view(service: Option<ServiceName>) -> View {
    View::new(service, Prefix::new(FLAG_KEYS).into_iter().collect())
}

/// How the keys of flags begin, and that of what they have in common.
const FLAG_KEYS: &str = "tenant_config_flag";

impl Followed {
    /// The flags as they are now.
    async fn current(this: &Arc<AsyncMutex<Self>>) -> Result<Arc<FlagSet>, End> {
        let mut followed = Arc::clone(this).lock_owned().await;
        // Nobody waits: what comes later is found by who asks later.
        let polled = followed.listener.subscriber.poll_state(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Pending => Ok(Arc::clone(&followed.flags)),
            Poll::Ready(Err(end)) => Err(end),
            Poll::Ready(Ok(state)) => {
                let compiled = tokio::task::spawn_blocking(move || followed.take(state));
                // It has died of the hub's end, and so has the view.
                compiled.await.map_err(|_| End::Drain)
            }
        }
    }

    /// Compiles what has changed.
    fn take(&mut self, state: State) -> Arc<FlagSet> {
        let mut flags = FlagSet::clone(&self.flags);
        let changed = self.state.changed_keys(&state);
        let changes = changed
            .iter()
            .map(|key| (key.as_str(), Change::from(state.get(key.as_str()).map(|entry| &**entry))));
        for faults in flags.apply(changes).bad {
            tracing::debug!(error = faults.without_values(), "a flag is bad, and stays what it was");
        }
        self.state = state;
        self.flags = Arc::new(flags);
        Arc::clone(&self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(tenant: &str, service: usize) -> Id {
        (TenantId::new(tenant).unwrap(), Some(ServiceName::new(&format!("s{service}")).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_with_many_services_pushes_out_its_own_and_what_nobody_asks_for_goes() {
        let views = Arc::new(Views::new(HashVersion::default()));
        views.cell(&id("other", 0));
        for service in 0..2 * COMPILED_VIEWS_PER_TENANT {
            tokio::time::advance(Duration::from_millis(1)).await;
            views.cell(&id("many", service));
        }
        assert_eq!(views.lock().len(), COMPILED_VIEWS_PER_TENANT + 1);
        assert!(views.lock().contains_key(&id("other", 0)));
        assert!(!views.lock().contains_key(&id("many", 0)));

        let keeping = tokio::spawn(Arc::clone(&views).keep());
        let kept = views.cell(&id("other", 0));
        for _ in 0..7 {
            tokio::time::sleep(LOOK).await;
            assert!(Arc::ptr_eq(&kept, &views.cell(&id("other", 0))));
        }
        assert_eq!(views.lock().len(), 1);
        keeping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_the_limit() {
        let views = Views::new(HashVersion::default());
        for tenant in 0..COMPILED_VIEWS + 3 {
            tokio::time::advance(Duration::from_millis(1)).await;
            views.cell(&id(&format!("t{tenant}"), 0));
        }
        assert_eq!(views.lock().len(), COMPILED_VIEWS);
        assert!(!views.lock().contains_key(&id("t2", 0)));
        assert!(views.lock().contains_key(&id("t3", 0)));
    }
}
