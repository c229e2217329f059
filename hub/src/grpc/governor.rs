//! What one tenant may take of what all share: places for its calls, and a pace.
//!
//! A tenant that is over its pace waits for its turn; one that has too many calls
//! waiting is told which limit it is and when to come back, before its request is read.
//! Nobody else notices. What is remembered of a tenant is a few numbers, and for no
//! longer than they matter: until its calls have ended and its allowance is whole again.

use super::pace::Pace;
use super::status::over;
use crate::config::LimitSettings;
use crate::limits::{BURST_CALLS, CALL_BYTES, CALL_CHANGES, CALL_MICROS, SHARED_COST, SHORT_STREAM};
use confhub_proto::TenantId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

/// Tenants that are remembered before those with nothing to remember are looked
/// for: about 200 bytes each.
const LOOK_AT: usize = 1_024;

/// When to try again for a place: calls take milliseconds, and a tenant that has
/// many under way must not spend its time on asking.
const PLACE: Duration = Duration::from_secs(1);

/// Longest wait for a turn: callers have deadlines.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for a stream. Clients give one up that shows nothing for a few seconds.
const PATIENCE_TO_OPEN: Duration = Duration::from_secs(1);

/// Calls of `AccessService` of one tenant under way. They are apart from others, so that
/// whoever has stolen a token cannot keep its owner from revoking it.
const ACCESS: usize = 128;

/// Such calls a second: a script revokes a thousand tokens in a few seconds.
const ACCESS_PER_SECOND: usize = 500;

/// Reports of one tenant's instances under way: each takes microseconds, and those of so
/// many instances may come at the same moment (200, says `fleet::Pace`).
const REPORTS: usize = 256;

/// Such reports at once, and a second from then on: as many instances as a tenant may
/// have, spread as the hub asks for. More are refused at once, and keep nobody waiting.
const REPORTS_PER_SECOND: usize = 2_000;

/// Waits of one tenant for its instances under way: those of a few operators and scripts.
const WAITS: usize = 16;

/// Such waits a second.
const WAITS_PER_SECOND: usize = 20;

/// Bounds tenants. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Governor(Arc<Shared>);

struct Shared {
    accounts: Mutex<Accounts>,
    most: [usize; 5],
    paces: [Pace; 6],
}

#[derive(Default)]
struct Accounts {
    of: HashMap<TenantId, Account>,
    /// The number at which those with nothing to remember are dropped next.
    look_at: usize,
}

/// What a tenant has under way, and when its allowances will be whole again.
struct Account {
    under_way: [usize; 5],
    rested: [Instant; 6],
    /// Reads of a whole store for it are made one at a time.
    reads: Arc<Semaphore>,
}

/// What a call takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A single call.
    Call,
    /// A read of a whole tenant, which counts by its size once that is known.
    Bulk,
    /// A call about who is let in.
    Access,
    /// A stream, which has a place of its own for as long as it is open. It counts
    /// when it ends soon after, so that all clients of a tenant may come back at once
    /// and none may come and go for ever.
    Open,
    /// What an instance has applied.
    Report,
    /// A wait for instances.
    Wait,
}

/// A part of what a tenant may have under way, given back when it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    tenant: TenantId,
    kind: Kind,
    since: Instant,
    /// It counts at its end.
    owes: AtomicBool,
    /// What it counts for besides, if that comes soon.
    besides: AtomicUsize,
    /// How long until its turn.
    wait: Duration,
    /// It waits still, and gives its turn back if it leaves.
    waits: AtomicBool,
    reads: Arc<Semaphore>,
}

/// The right to read a whole tenant from its stores, given back when it is dropped.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a call has cost beyond one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// Bytes of entries that were read from a store for it, with what each one costs.
    Read(usize),
    /// Bytes of frames that are made once for all who take them.
    Shared(usize),
    /// Changes that are written.
    Changes(usize),
    /// Time of a processor.
    Time(Duration),
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
            Self::Access => Some((2, "calls of AccessService")),
            Self::Open => None,
            Self::Report => Some((3, "reports")),
            Self::Wait => Some((4, "waits for instances")),
        }
    }

    /// Which pace it keeps, and its setting.
    fn pace(self) -> (usize, &'static str) {
        match self {
            Self::Call => (0, "limits.calls-per-second"),
            Self::Bulk => (1, "limits.bulk-bytes-per-second"),
            Self::Open => (2, "limits.opens-per-second"),
            Self::Access => (3, "calls of AccessService"),
            Self::Report => (4, "reports"),
            Self::Wait => (5, "waits for instances"),
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Open => PATIENCE_TO_OPEN,
            // The next one says more.
            Self::Report => Duration::ZERO,
            _ => PATIENCE,
        }
    }
}

impl Governor {
    /// Bounds every tenant by these.
    #[must_use]
    pub fn new(limits: &LimitSettings) -> Self {
        let calls = Pace::new(BURST_CALLS, limits.calls_per_second);
        let bulk = Pace::new(limits.bulk_bytes_per_second, limits.bulk_bytes_per_second);
        let opens = Pace::new(limits.opens_per_second, limits.opens_per_second);
        let [access, reports, waits] = [
            (ACCESS, ACCESS_PER_SECOND),
            (REPORTS_PER_SECOND, REPORTS_PER_SECOND),
            (WAITS, WAITS_PER_SECOND),
        ]
        .map(|(burst, per_second)| Pace::new(burst, per_second));
        let paces = [calls, bulk, opens, access, reports, waits];
        let most = [limits.calls_per_tenant, limits.bulk_reads_per_tenant, ACCESS, REPORTS, WAITS];
        Self(Arc::new(Shared { accounts: Mutex::default(), most, paces }))
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
            let taken = pace.take_ahead(rested, now, kind.patience());
            taken.map_err(|delay| Refused { limit, most: pace.per_second, delay })?
        };
        if let Some((place, _)) = kind.place() {
            account.under_way[place] += 1;
        }
        let reads = Arc::clone(&account.reads);
        drop(accounts);
        let [owes, waits] = [owes, !wait.is_zero()].map(AtomicBool::new);
        let (shared, tenant) = (Arc::clone(shared), tenant.clone());
        let besides = AtomicUsize::new(0);
        Ok(Share { shared, tenant, kind, since: now, owes, besides, wait, waits, reads })
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
            under_way: [0; 5],
            rested: [now; 6],
            reads: Arc::new(Semaphore::new(1)),
        })
    }

    /// Drops what says nothing, each time that the number has doubled: the cost is
    /// spread over the calls that made it double.
    fn forget(&mut self, now: Instant) {
        if self.of.len() >= self.look_at.max(LOOK_AT) {
            self.of.retain(|_, account| {
                account.under_way != [0; 5] || account.rested.iter().any(|rested| *rested > now)
            });
            self.look_at = 2 * self.of.len();
        }
    }
}

impl Share {
    /// Waits until it is this call's turn.
    pub(super) async fn turn(&self) {
        if !self.wait.is_zero() {
            sleep(self.wait).await;
            self.waits.store(false, Ordering::Relaxed);
        }
    }

    /// Waits until the reads of a whole tenant before this one are paid for.
    pub(super) async fn paid(&self) -> Result<(), Refused> {
        self.paid_within(PATIENCE).await
    }

    /// Waits until it is this call's turn to read a whole tenant from its stores.
    pub(super) async fn read(&self) -> Result<Turn, Refused> {
        let (_, limit) = self.kind.pace();
        let most = self.shared.paces[self.kind.pace().0].per_second;
        let since = Instant::now();
        let permit = timeout(PATIENCE, Arc::clone(&self.reads).acquire_owned()).await;
        let permit = permit.map_err(|_| Refused { limit, most, delay: PLACE })?;
        self.paid_within(PATIENCE.saturating_sub(since.elapsed())).await?;
        // Nobody closes it.
        Ok(Turn { _permit: permit.ok() })
    }

    async fn paid_within(&self, patience: Duration) -> Result<(), Refused> {
        let (now, (index, limit)) = (Instant::now(), self.kind.pace());
        let pace = &self.shared.paces[index];
        let owed = pace.owed(self.shared.lock().account(&self.tenant, now).rested[index], now);
        if owed > patience {
            return Err(Refused { limit, most: pace.per_second, delay: owed });
        }
        if !owed.is_zero() {
            sleep(owed).await;
        }
        Ok(())
    }

    /// Counts what the call has cost beyond one call, once that is known. Those that
    /// come after it wait for it.
    pub(super) fn charge(&self, cost: Cost) {
        self.count(self.worth(cost));
    }

    /// Counts it if the stream's client leaves soon. Of one that stays others have the
    /// use, and nobody pays for what it took to begin.
    pub(super) fn owe(&self, cost: Cost) {
        self.besides.fetch_add(self.worth(cost), Ordering::Relaxed);
    }

    /// For how many calls, or bytes, it counts.
    fn worth(&self, cost: Cost) -> usize {
        match (cost, self.kind) {
            (Cost::Read(bytes), Kind::Bulk) => bytes,
            (Cost::Shared(bytes), Kind::Bulk) => bytes / SHARED_COST,
            (Cost::Read(bytes) | Cost::Shared(bytes), _) => bytes / CALL_BYTES,
            (Cost::Changes(changes), _) => changes / CALL_CHANGES,
            (Cost::Time(time), _) => usize::try_from(time.as_micros() / CALL_MICROS).unwrap_or(usize::MAX),
        }
    }

    /// The hub ends the stream: that counts for nothing.
    pub(super) fn excuse(&self) {
        self.owes.store(false, Ordering::Relaxed);
        self.besides.store(0, Ordering::Relaxed);
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
        let (index, _) = self.kind.pace();
        if *self.waits.get_mut() {
            let mut accounts = self.shared.lock();
            if let Some(account) = accounts.of.get_mut(&self.tenant) {
                let rested = &mut account.rested[index];
                self.shared.paces[index].give_back(rested);
            }
        } else if self.since.elapsed() < SHORT_STREAM {
            let count = usize::from(*self.owes.get_mut()) + *self.besides.get_mut();
            if count > 0 {
                self.count(count);
            }
        }
        if let Some((place, _)) = self.kind.place()
            && let Some(account) = self.shared.lock().of.get_mut(&self.tenant)
        {
            account.under_way[place] = account.under_way[place].saturating_sub(1);
        }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        over(refused.limit, refused.to_string(), Some(refused.delay))
    }
}

#[cfg(test)]
mod tests;
