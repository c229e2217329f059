//! What one tenant may take of what all share: places for its calls, and a pace.
//!
//! A tenant at its limits is told which one it is and when to come back, before its
//! request is read; nobody else notices. What is remembered of a tenant is a few
//! numbers, and for no longer than they matter: until its calls have ended and its
//! allowance is whole again.

use crate::config::LimitSettings;
use crate::limits::CALLS_BURST_S;
use confhub_proto::{TenantId, retry};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// Tenants that are remembered before those with nothing to remember are looked
/// for: about 100 bytes each.
const LOOK_AT: usize = 1_024;

/// When to try again for a place: calls take milliseconds, and a tenant that has
/// many under way must not spend its time on asking.
const PLACE: Duration = Duration::from_secs(1);

/// Bounds tenants. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Governor(Arc<Shared>);

struct Shared {
    accounts: Mutex<Accounts>,
    most: [usize; 2],
    paces: [Pace; 2],
}

#[derive(Default)]
struct Accounts {
    of: HashMap<TenantId, Account>,
    /// The number at which those with nothing to remember are dropped next.
    look_at: usize,
}

/// What a tenant has under way, and when its allowances will be whole again.
struct Account {
    under_way: [usize; 2],
    rested: [Instant; 2],
}

/// What a call takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A single call.
    Call,
    /// A read of a whole tenant.
    Bulk,
    /// A stream, which has a place of its own for as long as it is open.
    Open,
}

/// A part of what a tenant may have under way, given back when it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    tenant: TenantId,
    place: Option<usize>,
}

/// A limit of a tenant that was reached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tenant has reached `{limit}` of this hub, which is {most}: try again later")]
pub(super) struct Refused {
    /// The setting.
    pub(super) limit: &'static str,
    most: usize,
    delay: Duration,
}

impl Kind {
    /// Among which places it has one, and the setting with their number.
    fn place(self) -> Option<(usize, &'static str)> {
        match self {
            Self::Call => Some((0, "limits.calls-per-tenant")),
            Self::Bulk => Some((1, "limits.bulk-reads-per-tenant")),
            Self::Open => None,
        }
    }

    /// Which pace it counts for, and its setting.
    fn pace(self) -> (usize, &'static str) {
        match self {
            Self::Call | Self::Bulk => (0, "limits.calls-per-second"),
            Self::Open => (1, "limits.opens-per-second"),
        }
    }
}

/// A rate with a burst, by the generic cell rate algorithm: one moment says it all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    interval: Duration,
    burst: Duration,
    per_second: usize,
}

impl Pace {
    /// `burst` at once, then so many a second.
    pub(super) fn new(burst: usize, per_second: usize) -> Self {
        let per_second = per_second.max(1);
        let interval = Duration::from_secs(1) / u32::try_from(per_second).unwrap_or(u32::MAX);
        let burst = interval.saturating_mul(u32::try_from(burst.max(1)).unwrap_or(u32::MAX));
        Self { interval, burst, per_second }
    }

    /// Takes one, or says how long until there is one. `rested` is the moment at
    /// which the whole burst will be there again.
    pub(super) fn take(&self, rested: &mut Instant, now: Instant) -> Result<(), Duration> {
        let next = (*rested).max(now) + self.interval;
        match (next - now).checked_sub(self.burst) {
            Some(early) if !early.is_zero() => Err(early),
            _ => {
                *rested = next;
                Ok(())
            }
        }
    }
}

impl Governor {
    /// Bounds every tenant by these.
    #[must_use]
    pub fn new(limits: &LimitSettings) -> Self {
        let calls = Pace::new(limits.calls_per_second.saturating_mul(CALLS_BURST_S), limits.calls_per_second);
        // A second's worth at least, however few streams there may be.
        let burst = limits.streams_per_tenant.max(limits.opens_per_second);
        let opens = Pace::new(burst, limits.opens_per_second);
        let most = [limits.calls_per_tenant, limits.bulk_reads_per_tenant];
        Self(Arc::new(Shared { accounts: Mutex::default(), most, paces: [calls, opens] }))
    }

    /// Lets a call of a tenant in, or says why not. What is refused counts for
    /// nothing: it does not move the moment at which the tenant may come back.
    pub(super) fn admit(&self, tenant: &TenantId, kind: Kind) -> Result<Share, Refused> {
        let (now, shared) = (Instant::now(), &self.0);
        let mut accounts = shared.lock();
        accounts.forget(now);
        let account = accounts.of.entry(tenant.clone());
        let account = account.or_insert(Account { under_way: [0; 2], rested: [now; 2] });
        let place = kind.place();
        if let Some((place, limit)) = place
            && account.under_way[place] >= shared.most[place]
        {
            return Err(Refused { limit, most: shared.most[place], delay: PLACE });
        }
        let (pace, limit) = kind.pace();
        let most = shared.paces[pace].per_second;
        let taken = shared.paces[pace].take(&mut account.rested[pace], now);
        taken.map_err(|delay| Refused { limit, most, delay })?;
        let place = place.map(|(place, _)| place);
        if let Some(place) = place {
            account.under_way[place] += 1;
        }
        drop(accounts);
        Ok(Share { shared: Arc::clone(shared), tenant: tenant.clone(), place })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Drops what says nothing, each time that the number has doubled: the cost is
    /// spread over the calls that made it double.
    fn forget(&mut self, now: Instant) {
        if self.of.len() >= self.look_at.max(LOOK_AT) {
            self.of.retain(|_, account| {
                account.under_way != [0; 2] || account.rested.iter().any(|rested| *rested > now)
            });
            self.look_at = 2 * self.of.len();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        if let Some(account) = self.shared.lock().of.get_mut(&self.tenant) {
            account.under_way[place] = account.under_way[place].saturating_sub(1);
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        retry::later(Code::ResourceExhausted, refused.to_string(), refused.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn governor() -> Governor {
        Governor::new(&LimitSettings {
            calls_per_tenant: 2,
            bulk_reads_per_tenant: 1,
            calls_per_second: 10,
            streams_per_tenant: 3,
            opens_per_second: 1,
            ..LimitSettings::default()
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_each_tenants_own_and_come_back() {
        let (governor, acme) = (governor(), tenant("acme"));
        let held: Vec<_> = (0..2).map(|_| governor.admit(&acme, Kind::Call).ok().unwrap()).collect();
        let refused = governor.admit(&acme, Kind::Call).err().unwrap();
        assert_eq!((refused.limit, refused.most), ("limits.calls-per-tenant", 2));
        assert!(governor.admit(&acme, Kind::Bulk).is_ok(), "bulk reads have places of their own");
        assert!(governor.admit(&tenant("globex"), Kind::Call).is_ok());
        drop(held);
        assert!(governor.admit(&acme, Kind::Call).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_has_a_burst_and_names_the_moment_to_come_back() {
        let (governor, acme) = (governor(), tenant("acme"));
        for _ in 0..10 * CALLS_BURST_S {
            drop(governor.admit(&acme, Kind::Call).ok().unwrap());
        }
        let refused = governor.admit(&acme, Kind::Call).err().unwrap();
        assert_eq!((refused.limit, refused.delay), ("limits.calls-per-second", Duration::from_millis(100)));
        assert!(governor.admit(&tenant("globex"), Kind::Call).is_ok());
        assert!(governor.admit(&acme, Kind::Open).is_ok(), "streams have a pace of their own");
        tokio::time::advance(refused.delay).await;
        assert!(governor.admit(&acme, Kind::Call).is_ok());
        assert!(governor.admit(&acme, Kind::Call).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_that_have_rested_are_forgotten_and_those_with_calls_are_not() {
        let governor = governor();
        let held = governor.admit(&tenant("held"), Kind::Call).ok().unwrap();
        for i in 0..10 * LOOK_AT {
            drop(governor.admit(&tenant(&format!("t{i}")), Kind::Call).ok().unwrap());
            tokio::time::advance(Duration::from_millis(200)).await;
        }
        let remembered = governor.0.lock().of.len();
        assert!(remembered <= LOOK_AT + 1, "{remembered}");
        assert!(governor.0.lock().of.contains_key(&tenant("held")));
        drop(held);
    }
}
