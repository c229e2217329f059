//! What one tenant may take of what all share: places for its calls, and a pace.
//!
//! A tenant that is over its pace waits for its turn; one that has too many calls
//! waiting is told which limit it is and when to come back, before its request is read.
//! Nobody else notices. What is remembered of a tenant is a few numbers, and for no
//! longer than they matter: until its calls have ended and its allowance is whole again.

use crate::config::LimitSettings;
use crate::limits::{BURST_CALLS, SHARED_COST, SHORT_STREAM};
use confhub_proto::{TenantId, retry};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

/// Tenants that are remembered before those with nothing to remember are looked
/// for: about 200 bytes each.
const LOOK_AT: usize = 1_024;

/// When to try again for a place: calls take milliseconds, and a tenant that has
/// many under way must not spend its time on asking.
const PLACE: Duration = Duration::from_secs(1);

/// Longest wait for a turn: callers have deadlines. It bounds what can be owed too,
/// so that nobody is shut out for long by what it has had already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads of a whole tenant that one tenant has made at a time: each keeps a core for
/// milliseconds, and the second one is there while the first waits for its store.
const TURNS: usize = 2;

/// Bounds tenants. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Governor(Arc<Shared>);

struct Shared {
    accounts: Mutex<Accounts>,
    most: [usize; 2],
    paces: [Pace; 3],
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
    rested: [Instant; 3],
    turns: Arc<Semaphore>,
}

/// What a call takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A single call.
    Call,
    /// A read of a whole tenant, which counts by its size once that is known.
    Bulk,
    /// A stream, which has a place of its own for as long as it is open. It counts
    /// when it ends soon after, so that all clients of a tenant may come back at once
    /// and none may come and go for ever.
    Open,
}

/// A part of what a tenant may have under way, given back when it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    tenant: TenantId,
    kind: Kind,
    since: Instant,
    /// It counts at its end.
    owes: AtomicBool,
    /// How long until its turn.
    wait: Duration,
    turns: Arc<Semaphore>,
}

/// The right to run now, given back when it is dropped.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a read of a whole tenant has cost, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// Entries that were read from a store for it, with what each one costs.
    Read(usize),
    /// Frames that are made once for all who take them.
    Shared(usize),
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

    /// Which pace it keeps, and its setting.
    fn pace(self) -> (usize, &'static str) {
        match self {
            Self::Call => (0, "limits.calls-per-second"),
            Self::Bulk => (1, "limits.bulk-bytes-per-second"),
            Self::Open => (2, "limits.opens-per-second"),
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
        self.take_ahead(rested, now, Duration::ZERO).map(drop)
    }

    /// Takes one that will be there within the patience, and says when.
    fn take_ahead(
        &self,
        rested: &mut Instant,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let next = (*rested).max(now) + self.interval;
        let early = (next - now).saturating_sub(self.burst);
        if early > patience {
            return Err(early);
        }
        *rested = next;
        Ok(early)
    }

    /// How long until nothing is owed.
    fn owed(&self, rested: Instant, now: Instant) -> Duration {
        rested.saturating_duration_since(now).saturating_sub(self.burst)
    }

    /// Takes so many that were had already, whether they are there or not.
    fn charge(&self, rested: &mut Instant, now: Instant, count: usize) {
        let cost = self.interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let farthest = self.burst + PATIENCE;
        // What lies beyond that already stays so.
        *rested = ((*rested).max(now) + cost.min(farthest)).min((now + farthest).max(*rested));
    }
}

impl Governor {
    /// Bounds every tenant by these.
    #[must_use]
    pub fn new(limits: &LimitSettings) -> Self {
        let calls = Pace::new(BURST_CALLS, limits.calls_per_second);
        let bulk = Pace::new(limits.bulk_bytes_per_second, limits.bulk_bytes_per_second);
        let opens = Pace::new(limits.opens_per_second, limits.opens_per_second);
        let most = [limits.calls_per_tenant, limits.bulk_reads_per_tenant];
        Self(Arc::new(Shared { accounts: Mutex::default(), most, paces: [calls, bulk, opens] }))
    }

    /// Gives a call of a tenant its place, or says why there is none. What is refused
    /// counts for nothing: it does not move the moment at which the tenant may come back.
    pub(super) fn admit(&self, tenant: &TenantId, kind: Kind) -> Result<Share, Refused> {
        let (now, shared) = (Instant::now(), &self.0);
        let mut accounts = shared.lock();
        accounts.forget(now);
        let account = accounts.account(tenant, now);
        if let Some((place, limit)) = kind.place()
            && account.under_way[place] >= shared.most[place]
        {
            return Err(Refused { limit, most: shared.most[place], delay: PLACE });
        }
        let (index, limit) = kind.pace();
        let (pace, rested) = (&shared.paces[index], &mut account.rested[index]);
        // A tenant whose streams stay pays for none; others pay as they open them.
        let owes = kind == Kind::Open && *rested <= now;
        let wait = if owes || kind == Kind::Bulk {
            Duration::ZERO
        } else {
            let taken = pace.take_ahead(rested, now, PATIENCE);
            taken.map_err(|delay| Refused { limit, most: pace.per_second, delay })?
        };
        if let Some((place, _)) = kind.place() {
            account.under_way[place] += 1;
        }
        let turns = Arc::clone(&account.turns);
        drop(accounts);
        let (shared, tenant, owes) = (Arc::clone(shared), tenant.clone(), AtomicBool::new(owes));
        Ok(Share { shared, tenant, kind, since: now, owes, wait, turns })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn account(&mut self, tenant: &TenantId, now: Instant) -> &mut Account {
        self.of.entry(tenant.clone()).or_insert_with(|| Account {
            under_way: [0; 2],
            rested: [now; 3],
            turns: Arc::new(Semaphore::new(TURNS)),
        })
    }

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

impl Share {
    /// Waits until it is this call's turn. To be dropped when the answer has begun:
    /// who is slow to take it keeps nobody waiting.
    pub(super) async fn turn(&self) -> Turn {
        sleep_for(self.wait).await;
        if self.kind != Kind::Bulk {
            return Turn { _permit: None };
        }
        // Nobody closes it.
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok();
        let (now, (index, _)) = (Instant::now(), self.kind.pace());
        let owed = {
            let mut accounts = self.shared.lock();
            self.shared.paces[index].owed(accounts.account(&self.tenant, now).rested[index], now)
        };
        sleep_for(owed).await;
        Turn { _permit: permit }
    }

    /// Counts what a read of a whole tenant has cost, once that is known. Those that
    /// come after it wait for it.
    pub(super) fn charge(&self, cost: Cost) {
        self.count(match cost {
            Cost::Read(bytes) => bytes,
            Cost::Shared(bytes) => bytes / SHARED_COST,
        });
    }

    /// The hub ends the stream: that counts for nothing.
    pub(super) fn excuse(&self) {
        self.owes.store(false, Ordering::Relaxed);
    }

    fn count(&self, count: usize) {
        let (now, (index, _)) = (Instant::now(), self.kind.pace());
        let mut accounts = self.shared.lock();
        let rested = &mut accounts.account(&self.tenant, now).rested[index];
        self.shared.paces[index].charge(rested, now, count);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((place, _)) = self.kind.place() {
            if let Some(account) = self.shared.lock().of.get_mut(&self.tenant) {
                account.under_way[place] = account.under_way[place].saturating_sub(1);
            }
        } else if *self.owes.get_mut() && self.since.elapsed() < SHORT_STREAM {
            self.count(1);
        }
    }
}

/// A timer rounds up to the next millisecond, even of nothing.
async fn sleep_for(wait: Duration) {
    if !wait.is_zero() {
        sleep(wait).await;
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
    use tokio::time::timeout;

    fn governor() -> Governor {
        Governor::new(&LimitSettings {
            calls_per_tenant: 100,
            bulk_reads_per_tenant: 3,
            calls_per_second: 10,
            bulk_bytes_per_second: 1_000,
            opens_per_second: 10,
            ..LimitSettings::default()
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_each_tenants_own_and_come_back() {
        let (governor, acme) = (governor(), tenant("acme"));
        let held: Vec<_> = (0..3).map(|_| governor.admit(&acme, Kind::Bulk).ok().unwrap()).collect();
        let refused = governor.admit(&acme, Kind::Bulk).err().unwrap();
        assert_eq!((refused.limit, refused.most), ("limits.bulk-reads-per-tenant", 3));
        assert!(governor.admit(&acme, Kind::Call).is_ok(), "single calls have places of their own");
        assert!(governor.admit(&tenant("globex"), Kind::Bulk).is_ok());
        drop(held);
        assert!(governor.admit(&acme, Kind::Bulk).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_over_the_pace_wait_for_their_turn_and_those_that_would_wait_long_are_refused() {
        let (governor, acme) = (governor(), tenant("acme"));
        let call = || governor.admit(&acme, Kind::Call);
        let waits: Vec<_> = (0..BURST_CALLS + 50).map(|_| call().ok().unwrap().wait).collect();
        assert!(waits[..BURST_CALLS].iter().all(Duration::is_zero));
        assert_eq!([waits[BURST_CALLS], waits[BURST_CALLS + 49]], [millis(100), PATIENCE]);
        let refused = call().err().unwrap();
        assert_eq!((refused.limit, refused.delay), ("limits.calls-per-second", PATIENCE + millis(100)));
        assert!(governor.admit(&tenant("globex"), Kind::Call).ok().unwrap().wait.is_zero());
        tokio::time::advance(millis(100)).await;
        let (share, began) = (call().ok().unwrap(), Instant::now());
        drop(share.turn().await);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_of_a_whole_tenant_wait_for_what_those_before_have_cost() {
        let (governor, acme) = (governor(), tenant("acme"));
        let read = || governor.admit(&acme, Kind::Bulk).ok().unwrap();
        let (first, began) = (read(), Instant::now());
        let turn = first.turn().await;
        assert!(began.elapsed().is_zero());
        // A second's worth is there, and two more are owed.
        first.charge(Cost::Read(2_000));
        first.charge(Cost::Shared(1_000 * SHARED_COST));
        drop(turn);
        drop(read().turn().await);
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!(governor.admit(&acme, Kind::Call).ok().unwrap().wait.is_zero(), "the pace is of its own");
        first.charge(Cost::Read(usize::MAX));
        first.charge(Cost::Read(usize::MAX));
        let began = Instant::now();
        drop(read().turn().await);
        assert_eq!(began.elapsed(), PATIENCE, "a debt is bounded");
    }

    #[tokio::test(start_paused = true)]
    async fn few_reads_of_a_whole_tenant_run_at_a_time() {
        let (governor, acme) = (governor(), tenant("acme"));
        let shares: Vec<_> = (0..3).map(|_| governor.admit(&acme, Kind::Bulk).ok().unwrap()).collect();
        let (first, _second) = (shares[0].turn().await, shares[1].turn().await);
        let mut third = Box::pin(shares[2].turn());
        assert!(timeout(millis(10), &mut third).await.is_err());
        drop(first);
        third.await;
    }

    #[tokio::test(start_paused = true)]
    async fn streams_count_when_they_end_soon() {
        let (governor, acme) = (governor(), tenant("acme"));
        let open = || governor.admit(&acme, Kind::Open).ok().unwrap();
        let all: Vec<_> = (0..100).map(|_| open()).collect();
        assert!(all.iter().all(|share| share.wait.is_zero()), "all may come at once");
        tokio::time::advance(SHORT_STREAM).await;
        drop(all);
        open().excuse();
        let last = open();
        assert!(
            last.owes.load(Ordering::Relaxed),
            "those that have stayed, or that the hub ends, cost nothing"
        );
        drop(last);
        let waits: Vec<_> = (0..20).map(|_| open().wait).collect();
        assert!(waits[..9].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!([waits[9], waits[19]], [millis(100), millis(1_100)]);
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
