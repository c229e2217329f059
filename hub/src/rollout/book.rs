//! The records of rollouts in the store.
//!
//! They stand under the hub's own tenant, beside the records of who is let in, and as
//! entries of a service, so that whoever follows those does not see these:
//! `access_rollout_{id}_{tenant}`.

use super::model::{Ms, Rollout};
use super::{RECORDS, UNDER_WAY};
use crate::admission::{Admission, PREFIX, hub_tenant};
use crate::backend::{Action, BackendError, Change, WriteError};
use crate::limits::VALUE_BYTES;
use crate::source::{Address, Hint, Sink as _};
use crate::tenant::View;
use arc_swap::ArcSwap;
use confhub_proto::{Content, Entry, Key, Prefix, ServiceName, State, TenantId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How the keys of these records begin.
const KEYS: &str = "access_rollout_";

/// Attempts to change a record that others change at the same time.
const ATTEMPTS: usize = 8;

/// Longest wait until this hub has read what it has written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a rollout is not started or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RolloutError {
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store did not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is none.
    #[error("there is no rollout `{0}` of this tenant: `confhub rollout list` shows those that are kept")]
    Unknown(String),
    /// It is over.
    #[error("the rollout `{0}` is over")]
    Ended(String),
    /// It does not wait for anybody.
    #[error("the rollout `{0}` is not paused")]
    NotPaused(String),
    /// The flag has one already.
    #[error("the rollout `{id}` of this flag is under way: abort it first")]
    Busy {
        /// Which one.
        id: String,
    },
    /// The tenant has as many under way as it may.
    #[error("the tenant has {UNDER_WAY} rollouts under way, and no more are driven: abort one, or wait")]
    TooMany,
}

/// Reads and writes the records. Cheap to clone.
#[derive(Clone)]
pub struct Book {
    admission: Admission,
    known: Arc<ArcSwap<State>>,
    /// Counts the states.
    changes: watch::Sender<u64>,
}

impl Book {
    /// A book of which nothing was read yet.
    #[must_use]
    pub fn new(admission: Admission) -> Self {
        Self { admission, known: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// What the records can be seen by.
    pub(super) fn view() -> View {
        let prefix = Prefix::new(KEYS).unwrap_or_else(|_| unreachable!("a constant within the alphabet"));
        View::new(Some(service()), vec![prefix])
    }

    /// The hub's own tenant.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Takes in what was read.
    pub(super) fn take(&self, state: State) {
        self.known.store(Arc::new(state));
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Changes whenever a record may have.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All rollouts that this hub knows of.
    pub(super) fn all(&self) -> Vec<(TenantId, Rollout)> {
        self.known.load().iter().filter_map(|entry| Some((tenant_of(entry.key())?, read(entry)?))).collect()
    }

    /// The rollouts of a tenant, the newest first.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Vec<Rollout> {
        let own = self.all().into_iter().filter(|(of, _)| of == tenant);
        let mut own: Vec<_> = own.map(|(_, rollout)| rollout).collect();
        own.sort_by(|a, b| (b.started_ms, &b.id).cmp(&(a.started_ms, &a.id)));
        own
    }

    /// One rollout, as the store has it, and the version of its record.
    ///
    /// # Errors
    /// If there is none, or the store does not answer.
    pub async fn read(&self, tenant: &TenantId, id: &str) -> Result<(u64, Rollout), RolloutError> {
        let unknown = || RolloutError::Unknown(id.chars().take(64).collect());
        let address = address(tenant, id).ok_or_else(unknown)?;
        let found = self.admission.backend().read(&hub_tenant(), std::slice::from_ref(&address)).await?;
        let entry = found.into_iter().flatten().next().ok_or_else(unknown)?;
        let rollout = read(&entry).ok_or_else(unknown)?;
        Ok((entry.version(), rollout))
    }

    /// Begins one, if its flag has none and the tenant may have one more.
    ///
    /// # Errors
    /// If not, or the store does not take it.
    pub async fn start(&self, tenant: &TenantId, rollout: &Rollout) -> Result<(), RolloutError> {
        let known = self.of(tenant);
        let same = |other: &&Rollout| {
            (&other.plan.flag, &other.plan.service) == (&rollout.plan.flag, &rollout.plan.service)
        };
        let under_way: Vec<_> = known.iter().filter(|other| !other.is_ended()).collect();
        if let Some(other) = under_way.iter().copied().find(same) {
            return Err(RolloutError::Busy { id: other.id.clone() });
        }
        if under_way.len() >= UNDER_WAY {
            return Err(RolloutError::TooMany);
        }
        let ended: Vec<_> = known.iter().filter(|other| other.is_ended()).collect();
        // They are in order, the newest first.
        for old in ended.iter().skip(RECORDS - UNDER_WAY - 1) {
            if let Some(address) = address(tenant, &old.id) {
                // Another hub may have been faster.
                let _ = self.write(&address, Action::Delete, &rollout.author, None).await;
            }
        }
        self.save(tenant, rollout, 0).await
    }

    /// Changes one, whatever others do meanwhile.
    ///
    /// # Errors
    /// If there is none, `change` refuses, or the store does not take it.
    pub async fn change(
        &self,
        tenant: &TenantId,
        id: &str,
        mut change: impl FnMut(&mut Rollout) -> Result<(), RolloutError>,
    ) -> Result<Rollout, RolloutError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (version, mut rollout) = self.read(tenant, id).await?;
            change(&mut rollout)?;
            match self.save(tenant, &rollout, version).await {
                Ok(()) => return Ok(rollout),
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes one over the version that was read; 0: it is new.
    pub(super) async fn save(
        &self,
        tenant: &TenantId,
        rollout: &Rollout,
        version: u64,
    ) -> Result<(), RolloutError> {
        let unknown = || RolloutError::Unknown(rollout.id.clone());
        let address = address(tenant, &rollout.id).ok_or_else(unknown)?;
        let text = serde_json::to_vec(rollout).map_err(|_| unknown())?;
        let content = Content::new(text.into(), Content::JSON, false, VALUE_BYTES).map_err(|_| unknown())?;
        let version = self.write(&address, Action::Put(content), &rollout.author, Some(version)).await?;
        let mut changes = self.changes();
        let key = address.key.as_str();
        let seen =
            changes.wait_for(|_| self.known.load().get(key).is_some_and(|entry| entry.version() >= version));
        // Who asks this hub next finds it; if not, a moment later.
        let _ = timeout(PATIENCE, seen).await;
        Ok(())
    }

    async fn write(
        &self,
        address: &Address,
        action: Action,
        author: &str,
        expected: Option<u64>,
    ) -> Result<u64, WriteError> {
        let changes = vec![Change { address: address.clone(), action, expected }];
        let written = self.admission.backend().apply(&hub_tenant(), author, changes).await;
        // Whatever became of it: a store that failed half way may have written.
        let hint = Hint { tenant: hub_tenant(), addresses: vec![address.clone()] };
        drop(self.admission.tenants().hint(hint));
        Ok(written?.first().copied().unwrap_or_default())
    }
}

impl RolloutError {
    /// Whether somebody else was faster.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write(WriteError::Conflict { .. } | WriteError::Contended(_)))
    }
}

/// Milliseconds since 1970, by the hub's clock.
pub(super) fn ms(now: std::time::SystemTime) -> Ms {
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The service that the records are of.
fn service() -> ServiceName {
    ServiceName::new("rollouts").unwrap_or_else(|_| unreachable!("a constant within the alphabet"))
}

fn address(tenant: &TenantId, id: &str) -> Option<Address> {
    debug_assert!(KEYS.starts_with(PREFIX));
    // The tenant comes last, since it may have an underscore.
    let id = Some(id).filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let key = Key::new(&format!("{KEYS}{id}_{tenant}")).ok()?;
    Some(Address { service: Some(service()), key })
}

fn tenant_of(key: &Key) -> Option<TenantId> {
    let (_, tenant) = key.as_str().strip_prefix(KEYS)?.split_once('_')?;
    TenantId::new(tenant).ok()
}

fn read(entry: &Entry) -> Option<Rollout> {
    match serde_json::from_slice(entry.value()) {
        Ok(rollout) => Some(rollout),
        Err(error) => {
            tracing::warn!(key = %entry.key(), %error, "a record of a rollout cannot be read");
            None
        }
    }
}
