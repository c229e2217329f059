//! Clients for many tenants, over few connections.
//!
//! A tenant's stream is opened when a request first needs it, once, however many
//! requests there are; the state is then in memory for all further ones. What
//! nobody uses is let go. See [`Pool`] for what that promises.

mod builder;
mod error;
mod stats;
mod table;
mod tokens;

pub use builder::PoolBuilder;
pub use error::TenantError;
pub use stats::{PoolStats, TenantState, TenantStatus};
pub use tokens::TenantTokens;

use crate::start::{Plan, start};
use crate::{Client, Closed, TenantId, limits};
use futures_util::future::join_all;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::{Look, Rules, Table, Turn, Unopened};
use tokens::Issue;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// Clients for many tenants in one process.
///
/// ```no_run
/// use confhub_client::{Pool, TenantId, TokenError, TokenRequest};
/// use std::time::Duration;
///
/// # async fn token_of(tenant: &str, fresh: bool) -> Result<String, std::io::Error> { Ok(format!("{tenant} {fresh}")) }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Once, at the start.
/// let pool = Pool::builder()
///     .endpoint("https://confhub.example.com:7600")
///     .service("order")
///     .tokens(|tenant: TenantId, request: TokenRequest| async move {
///         token_of(tenant.as_str(), request.renew).await.map_err(TokenError::new)
///     })
///     .max_connections(10)
///     .idle(Duration::from_secs(600))
///     .build()?;
///
/// // In each request, for the tenant of its caller.
/// let client = pool.tenant("acme").await?;
/// let open: Option<bool> = client.get_as("tenant_config_orders_open")?;
/// # let _ = open;
///
/// // At the end.
/// pool.close().await;
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap, and all clones are the same pool. When the last one is
/// dropped, the pool ends; clients that the program still holds go on.
///
/// # What it promises
///
/// - **One stream per tenant**, opened by the first who asks. All others who ask
///   meanwhile wait for the same one, within the same bound, and get the same
///   answer. Once a tenant is there, [`tenant`](Self::tenant) does not wait.
/// - **Nobody else's state.** The tenant that the hub names must be the one asked
///   for, on every stream and in every file. If it is not, since the program gave
///   another tenant's token, that client ends before it has read anything.
/// - **No storm.** A tenant that cannot be opened is not tried again for
///   [a moment](PoolBuilder::remember_failures): all who ask get the same error.
///   Few tenants are opened at a time. Streams that are lost together come back
///   spread over a second.
/// - **Bounds** on tenants, connections, streams on each, and bytes. A tenant to
///   which the program holds a handle (its [`Client`] or what came of it) stays;
///   of the others, those go that were not used for [long](PoolBuilder::idle), and
///   the least recently used when there is no room. If there is none to go, that
///   is an error.
/// - **Few connections**, each used until it is full. One that breaks is replaced
///   for all its streams; one that is silent as a whole is given up as soon as one
///   stream finds out. A tenant that is refused does not disturb those beside it.
///
/// # What it does not do
///
/// It does not decide who may ask: a tenant has to come from an authenticated
/// caller, as everywhere. Otherwise whoever names tenants can fill the pool.
#[derive(Clone)]
pub struct Pool {
    lease: Arc<PoolLease>,
}

/// What every handle holds. When the last one is dropped, the pool's tasks hear
/// of it.
struct PoolLease {
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
}

/// What all clients have in common.
struct Settings {
    plan: Plan,
    issue: Issue,
    disk_folder: Option<PathBuf>,
    runtime: tokio::runtime::Handle,
}

struct Inner {
    settings: Settings,
    table: Mutex<Table>,
    openings: Semaphore,
    rng: Mutex<fastrand::Rng>,
}

/// What those are told who wait for a tenant.
type Outcome = Result<Client, TenantError>;

impl Pool {
    /// Starts to describe a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    fn start(settings: Settings, rules: Rules) -> Self {
        let (least, most) = (*limits::POOL_UPKEEP.start(), *limits::POOL_UPKEEP.end());
        let pause = (rules.idle / 4).clamp(least, most);
        let inner = Arc::new(Inner {
            rng: Mutex::new(settings.plan.rng.clone()),
            table: Mutex::new(Table::new(rules)),
            openings: Semaphore::new(limits::POOL_OPENINGS),
            settings,
        });
        let (stop, stopped) = watch::channel(false);
        inner.settings.runtime.spawn(keep_tidy(Arc::clone(&inner), pause, stopped));
        Self { lease: Arc::new(PoolLease { inner, stop }) }
    }

    /// The client of a tenant, which is opened if it is not there.
    ///
    /// Ask in each request rather than keep the result: it costs one look-up, and
    /// what is kept counts as used. The client may be [stale](crate::Status), like
    /// any other, if its hub was lost after it was opened.
    ///
    /// # Errors
    /// If it cannot be a tenant, there is no room, or it cannot be opened within
    /// [`Builder::connect_timeout`](crate::Builder::connect_timeout), or could not
    /// a moment ago.
    pub async fn tenant(&self, tenant: &str) -> Result<Client, TenantError> {
        let inner = &self.lease.inner;
        // Not in the `match` itself, which would hold the lock to its end.
        let known = inner.lock().look(tenant, Instant::now())?;
        let mut outcome = match known {
            Look::Here(client) => return Ok(client),
            Look::Wait(outcome) => outcome,
            Look::Absent => match self.open(tenant)? {
                Look::Here(client) => return Ok(client),
                Look::Wait(outcome) => outcome,
                Look::Absent => return Err(TenantError::Removed),
            },
        };
        let told = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        told.unwrap_or_else(|| Err(inner.lock().given_up()))
    }

    /// The client of a tenant, if it is there already. Counts as a use of it.
    #[must_use]
    pub fn get_if_present(&self, tenant: &str) -> Option<Client> {
        match self.lease.inner.lock().look(tenant, Instant::now()) {
            Ok(Look::Here(client)) => Some(client),
            _ => None,
        }
    }

    /// Takes a tenant out of the pool: closes its client, for all its handles, and
    /// removes its file. Whoever asks for it next opens it anew; until this returns,
    /// the file of that one may go with it.
    pub async fn remove(&self, tenant: &str) {
        let inner = &self.lease.inner;
        let client = inner.lock().remove(tenant);
        if let Some(client) = client {
            client.close().await;
        }
        let path = TenantId::new(tenant).ok().and_then(|tenant| inner.settings.file(&tenant));
        if let Some(path) = path {
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove the state of a tenant");
                }
                _ => {}
            }
        }
    }

    /// Closes all clients, for all their handles, waits until their last states
    /// are on disk, and closes the connections. Nothing can be opened any more.
    pub async fn close(&self) {
        self.lease.stop.send_replace(true);
        let clients = self.lease.inner.lock().close();
        join_all(clients.iter().map(Client::close)).await;
        self.lease.inner.settings.plan.endpoints.connections().sweep(Duration::ZERO);
    }

    /// What the pool has and has done.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inner = &self.lease.inner;
        let (connections, streams) = inner.settings.plan.endpoints.connections().count();
        PoolStats { connections, streams, ..inner.lock().stats(Instant::now()) }
    }

    /// All tenants that the pool knows of, in the order of their names.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantStatus> {
        self.lease.inner.lock().list(Instant::now())
    }

    /// Begins to open a tenant, unless somebody was faster.
    fn open(&self, tenant: &str) -> Result<Look, TenantError> {
        let inner = &self.lease.inner;
        let tenant = TenantId::new(tenant)?;
        let (turn, outcome) = {
            let mut table = inner.lock();
            match table.look(tenant.as_str(), Instant::now())? {
                Look::Absent => {}
                known => return Ok(known),
            }
            let turn = table.begin(tenant.clone())?;
            let outcome = turn.tell.subscribe();
            (turn, outcome)
        };
        let id = turn.id;
        // Not under the lock: a runtime that is ending drops the task at once.
        let work = open(Seat { inner: Arc::clone(inner), turn }, self.lease.stop.subscribe());
        let task = inner.settings.runtime.spawn(work);
        inner.lock().set_task(&tenant, id, task.abort_handle());
        Ok(Look::Wait(outcome))
    }
}

impl Inner {
    /// Opens a tenant, within the time that a request waits for it.
    async fn connect(&self, tenant: &TenantId) -> Result<Client, Unopened> {
        let mut plan = self.settings.plan.clone();
        let limit = plan.connect_timeout.min(limits::POOL_LONGEST_WAIT);
        let deadline = Instant::now() + limit;
        let place = timeout_at(deadline, self.openings.acquire()).await;
        let _place = place.map_err(|_| Unopened::Busy(limit))?;
        plan.connect_timeout = deadline.saturating_duration_since(Instant::now());
        plan.credentials = (self.settings.issue)(tenant.clone());
        plan.disk = self.settings.file(tenant);
        plan.tenant = Some(tenant.clone());
        plan.rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        start(plan, |_| {}).await.map_err(Unopened::Failed)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settings {
    /// The file of a tenant's state. A name of a tenant has no character that means
    /// anything in a path, and does not begin with a dot.
    fn file(&self, tenant: &TenantId) -> Option<PathBuf> {
        self.disk_folder.as_ref().map(|folder| folder.join(format!("{tenant}.state")))
    }
}

/// A turn at opening a tenant, which is given up if this is dropped.
struct Seat {
    inner: Arc<Inner>,
    turn: Turn,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.inner.lock().abandon(&self.turn.tenant, self.turn.id);
    }
}

/// Opens a tenant, and tells all who wait for it.
async fn open(seat: Seat, mut stop: watch::Receiver<bool>) {
    let Turn { tenant, id, tell } = &seat.turn;
    let result = tokio::select! {
        biased;
        // By word, or with the last handle to the pool.
        _ = stop.wait_for(|stop| *stop) => Err(Unopened::Failed(Closed::ByProgram.into())),
        result = seat.inner.connect(tenant) => result,
    };
    let outcome = seat.inner.lock().finish(tenant, *id, result, Instant::now());
    tell.send_replace(Some(outcome));
}

/// Lets go of what nobody uses, until the pool ends.
async fn keep_tidy(inner: Arc<Inner>, pause: Duration, mut stop: watch::Receiver<bool>) {
    let mut looks = interval(pause);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            now = looks.tick() => inner.lock().tidy(now),
            // Whoever asked in vain asks again, after a pause that grows.
            wanted = inner.settings.plan.budget.shortage() => inner.lock().relieve(wanted),
        }
        inner.settings.plan.endpoints.connections().sweep(limits::POOL_LINGER);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
