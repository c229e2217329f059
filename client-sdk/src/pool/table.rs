//! Who is in a pool, and who has to go. Nothing here waits.
//!
//! A tenant to which the program holds a handle (a client or one of its clones,
//! watches, typed values) stays, however old. The others go when they were not
//! used for long enough, or when there is no room, the least recently used first.

use super::stats::{PoolStats, TenantState, TenantStatus};
use super::{Outcome, TenantError};
use crate::budget::Budget;
use crate::{Client, Error, TenantId, limits};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What decides who has to go.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) max_tenants: usize,
    pub(super) idle: Duration,
    pub(super) remember: Duration,
    pub(super) budget: Arc<Budget>,
}

/// All tenants of a pool.
pub(super) struct Table {
    rules: Rules,
    members: HashMap<TenantId, Member>,
    failed: HashMap<TenantId, Failed>,
    last_id: u64,
    closed: bool,
    counts: PoolStats,
}

enum Member {
    Opening(Opening),
    Open(Open),
}

struct Opening {
    id: u64,
    outcome: watch::Receiver<Option<Outcome>>,
    task: Option<AbortHandle>,
}

struct Open {
    client: Client,
    used: Instant,
}

struct Failed {
    error: Error,
    until: Instant,
}

/// What is known of a tenant.
pub(super) enum Look {
    Here(Client),
    Wait(watch::Receiver<Option<Outcome>>),
    Absent,
}

/// The right to open one tenant.
pub(super) struct Turn {
    pub(super) tenant: TenantId,
    pub(super) id: u64,
    pub(super) tell: watch::Sender<Option<Outcome>>,
}

impl Table {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            members: HashMap::new(),
            failed: HashMap::new(),
            last_id: 0,
            closed: false,
            counts: PoolStats::default(),
        }
    }

    /// What is known of a tenant that is needed now.
    pub(super) fn look(&mut self, tenant: &str, now: Instant) -> Result<Look, TenantError> {
        if self.closed {
            return Err(TenantError::Closed);
        }
        let ended = match self.members.get_mut(tenant) {
            Some(Member::Opening(opening)) => return Ok(Look::Wait(opening.outcome.clone())),
            Some(Member::Open(open)) => match open.client.closed() {
                None => {
                    open.used = now;
                    return Ok(Look::Here(open.client.clone()));
                }
                Some(reason) => Some(reason),
            },
            None => None,
        };
        if let (Some(reason), Some((tenant, _))) = (ended, self.members.remove_entry(tenant)) {
            return Err(self.fail(tenant, reason.into(), now));
        }
        match self.failed.get_key_value(tenant) {
            Some((tenant, failed)) if now < failed.until => Err(TenantError::Failed {
                tenant: tenant.clone(),
                error: failed.error.clone(),
                retry_after: failed.until - now,
            }),
            _ => Ok(Look::Absent),
        }
    }

    /// Begins to open a tenant that is absent, and makes room for it.
    pub(super) fn begin(&mut self, tenant: TenantId) -> Result<Turn, TenantError> {
        let limit = self.rules.max_tenants;
        while self.members.len() >= limit {
            self.evict().ok_or(TenantError::Full { limit })?;
        }
        self.relieve(self.rules.budget.limit() / 10);
        let (used, limit) = (self.rules.budget.used(), self.rules.budget.limit());
        if used >= limit && self.all_held() {
            return Err(TenantError::OutOfBytes { limit });
        }
        self.failed.remove(&tenant);
        self.last_id += 1;
        let id = self.last_id;
        let (tell, outcome) = watch::channel(None);
        let opening = Opening { id, outcome, task: None };
        self.members.insert(tenant.clone(), Member::Opening(opening));
        Ok(Turn { tenant, id, tell })
    }

    /// Takes note of the task that opens a tenant, if it still does.
    pub(super) fn set_task(&mut self, tenant: &TenantId, id: u64, task: AbortHandle) {
        if let Some(opening) = self.opening(tenant, id) {
            opening.task = Some(task);
        }
    }

    /// Takes the result of a turn. What all who wait are told comes back.
    pub(super) fn finish(
        &mut self,
        tenant: &TenantId,
        id: u64,
        result: Result<Client, Unopened>,
        now: Instant,
    ) -> Outcome {
        if self.opening(tenant, id).is_none() {
            return Err(self.given_up());
        }
        match result {
            Ok(client) => {
                self.counts.opened += 1;
                let open = Open { client: client.clone(), used: now };
                self.members.insert(tenant.clone(), Member::Open(open));
                Ok(client)
            }
            Err(unopened) => {
                self.members.remove(tenant);
                Err(match unopened {
                    Unopened::Failed(error) => self.fail(tenant.clone(), error, now),
                    Unopened::Busy(after) => TenantError::Busy { tenant: tenant.clone(), after },
                })
            }
        }
    }

    /// Why a turn has no result.
    pub(super) fn given_up(&self) -> TenantError {
        if self.closed { TenantError::Closed } else { TenantError::Removed }
    }

    /// Gives up a turn that came to no result.
    pub(super) fn abandon(&mut self, tenant: &TenantId, id: u64) {
        if self.opening(tenant, id).is_some() {
            self.members.remove(tenant);
        }
    }

    /// Takes a tenant out, with its failures. Its client, if it has one.
    pub(super) fn remove(&mut self, tenant: &str) -> Option<Client> {
        self.failed.remove(tenant);
        self.members.remove(tenant).and_then(Member::end)
    }

    /// Takes all out, and admits no more.
    pub(super) fn close(&mut self) -> Vec<Client> {
        self.closed = true;
        self.failed.clear();
        self.members.drain().filter_map(|(_, member)| member.end()).collect()
    }

    /// Lets go of those whom nobody has used for long enough, and of as many more
    /// as it takes to have memory left.
    pub(super) fn tidy(&mut self, now: Instant) {
        let (mut ended, mut idle) = (Vec::new(), Vec::new());
        for (tenant, member) in &mut self.members {
            let Member::Open(open) = member else { continue };
            if let Some(reason) = open.client.closed() {
                ended.push((tenant.clone(), reason));
            } else if open.client.is_held() {
                open.used = now;
            } else if now.saturating_duration_since(open.used) >= self.rules.idle {
                idle.push(tenant.clone());
            }
        }
        for (tenant, reason) in ended {
            self.members.remove(&tenant);
            self.fail(tenant, reason.into(), now);
        }
        for tenant in idle {
            self.members.remove(&tenant);
            self.counts.dropped_idle += 1;
        }
        self.relieve(self.rules.budget.limit() / 10);
        self.failed.retain(|_, failed| now < failed.until);
    }

    /// The part of the figures that is known here.
    pub(super) fn stats(&self, now: Instant) -> PoolStats {
        let open = self.members.values().filter_map(Member::open);
        let (tenants, held) =
            open.fold((0, 0), |(all, held), open| (all + 1, held + usize::from(open.client.is_held())));
        PoolStats {
            tenants,
            held,
            opening: self.members.len() - tenants,
            failed: self.failed.values().filter(|failed| now < failed.until).count(),
            state_bytes: self.rules.budget.used(),
            ..self.counts
        }
    }

    /// All tenants, in the order of their names.
    pub(super) fn list(&self, now: Instant) -> Vec<TenantStatus> {
        let members = self.members.iter().map(|(tenant, member)| {
            let state = match member {
                Member::Opening(_) => TenantState::Opening,
                Member::Open(Open { client, used }) => TenantState::Open {
                    status: client.status(),
                    entries: client.snapshot().len(),
                    bytes: client.state_bytes(),
                    held: client.is_held(),
                    stats: client.stats(),
                    unused: now.saturating_duration_since(*used),
                },
            };
            TenantStatus { tenant: tenant.clone(), state }
        });
        let failed = self.failed.iter().filter(|(_, failed)| now < failed.until).map(|(tenant, failed)| {
            let (error, retry_after) = (failed.error.clone(), failed.until - now);
            let error = TenantError::Failed { tenant: tenant.clone(), error, retry_after };
            TenantStatus { tenant: tenant.clone(), state: TenantState::Failed(error) }
        });
        let mut all: Vec<_> = members.chain(failed).collect();
        all.sort_unstable_by(|one, other| one.tenant.cmp(&other.tenant));
        all
    }

    /// Remembers a failure, for as long as it is answered from memory.
    fn fail(&mut self, tenant: TenantId, error: Error, now: Instant) -> TenantError {
        self.counts.failures += 1;
        if self.failed.len() >= limits::POOL_FAILURES {
            self.failed.retain(|_, failed| now < failed.until);
            let first = self.failed.iter().min_by_key(|(_, failed)| failed.until);
            let first = first.map(|(tenant, _)| tenant.clone());
            if let Some(first) = first.filter(|_| self.failed.len() >= limits::POOL_FAILURES) {
                self.failed.remove(&first);
            }
        }
        let retry_after = self.rules.remember;
        let failed = Failed { error: error.clone(), until: now + retry_after };
        self.failed.insert(tenant.clone(), failed);
        TenantError::Failed { tenant, error, retry_after }
    }

    /// Lets go of tenants until so many bytes are free, or all are in use.
    pub(super) fn relieve(&mut self, wanted: usize) {
        let budget = Arc::clone(&self.rules.budget);
        let enough = budget.limit().saturating_sub(wanted);
        // What is let go is freed a moment later, by the client's own task.
        let mut used = budget.used();
        while used > enough {
            match self.evict() {
                Some(freed) => used = used.saturating_sub(freed),
                None => return,
            }
        }
    }

    /// Lets go of the least recently used, and says how many bytes that frees.
    fn evict(&mut self) -> Option<usize> {
        let open = self.members.iter().filter_map(|(tenant, member)| Some((tenant, member.open()?)));
        let loose = open.filter(|(_, open)| !open.client.is_held());
        let (tenant, _) = loose.min_by_key(|(_, open)| open.used)?;
        let tenant = tenant.clone();
        self.counts.evicted += 1;
        self.members.remove(&tenant).map(|member| member.open().map_or(0, |open| open.client.state_bytes()))
    }

    fn all_held(&self) -> bool {
        self.members.values().filter_map(Member::open).all(|open| open.client.is_held())
    }

    fn opening(&mut self, tenant: &TenantId, id: u64) -> Option<&mut Opening> {
        match self.members.get_mut(tenant) {
            Some(Member::Opening(opening)) if opening.id == id => Some(opening),
            _ => None,
        }
    }
}

/// Why a turn came to nothing.
pub(super) enum Unopened {
    Failed(Error),
    /// It did not come within this time.
    Busy(Duration),
}

impl Member {
    fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Opening(_) => None,
        }
    }

    /// Ends what is still to come of it.
    fn end(self) -> Option<Client> {
        match self {
            Self::Open(open) => Some(open.client),
            Self::Opening(opening) => {
                if let Some(task) = opening.task {
                    task.abort();
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
