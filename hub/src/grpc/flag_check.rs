//! Writes of flags, checked against what is stored before they are made.
//!
//! A flag that refers to nothing costs no read. A service's flag that does costs two
//! entries, from memory where the tenant is loaded. A shared one, and what flags share,
//! is seen by every service: then the tenant is loaded, as for a subscriber, and what is
//! in memory of it is looked at. Services whose entries the hub does not know of (whose
//! first row in DynamoDB was written by hand) are not: there the SDK isolates a bad flag.
//!
//! A tenant has one core for its checks, and pays for the time that they take; one of
//! more than [`FLAG_CHECK`] is given up, and the write refused.
//!
//! Writes through one hub cannot outrun one another's checks: those of what flags share
//! are made alone. Two hubs, and writers that ask none, can; there too the SDK isolates.

use super::Edge;
use super::admin::Caller;
use super::governor::Cost;
use super::status::{invalid, over};
use crate::backend::{Action, Change, Revision};
use crate::flag_writes::{CheckError, FlagWrites, Needs, Stored};
use crate::limits::{ENTRY_COST, FLAG_CHECK};
use crate::source::Address;
use crate::tenant::FollowError;
use confhub_flags::{SET_KEY, Slot};
use confhub_proto::{Entry, Key, ServiceName, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::Instant;
use tonic::Status;

impl Edge {
    /// Refuses what would leave a flag bad. What it returns is held until the write is
    /// made; `None`: it is about no flag.
    pub(super) async fn check_flags(
        &self,
        caller: &Caller,
        changes: &[Change],
    ) -> Result<Option<Turn>, Status> {
        let mut writes = FlagWrites::default();
        for change in changes {
            let Address { service, key } = &change.address;
            let (service, key) = (service.as_ref(), key.as_str());
            match &change.action {
                Action::Put(content) => {
                    writes.put(service, key, &content.content_type, content.secret, &content.value);
                }
                Action::Delete => writes.delete(service, key),
                // Other keys' earlier versions are not read only to be passed over.
                Action::Restore(_) if matches!(Slot::of_key(key), Ok(None)) => {}
                Action::Restore(version) => {
                    if let Some(old) = self.earlier(&caller.tenant, &change.address, *version).await? {
                        writes.put(service, key, old.content_type(), old.is_secret(), old.value());
                    }
                }
            }
        }
        if writes.is_empty() {
            return Ok(None);
        }
        let (turn, checks) = self.flag_turns.take(&caller.tenant, writes.changes_sets()).await;
        let stored = self.stored(caller, writes.needs()).await?;
        let one = checks.lock_owned().await;
        // Thousands of flags are compiled where what they share has changed.
        let checked = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let checked = writes.check(stored, || began.elapsed() < FLAG_CHECK);
            drop(one);
            (checked, began.elapsed())
        });
        let (checked, took) =
            checked.await.map_err(|_| Status::internal("the check has ended without an answer"))?;
        caller.charge(Cost::Time(took));
        match checked {
            Ok(()) => Ok(Some(turn)),
            Err(CheckError::Refused(refused)) => Err(invalid(refused)),
            Err(error @ CheckError::TooLong) => Err(over("flag checks", error.to_string(), None)),
        }
    }

    /// A version that is to be written again; `None`: the backend will say why not.
    async fn earlier(
        &self,
        tenant: &TenantId,
        address: &Address,
        version: u64,
    ) -> Result<Option<Entry>, Status> {
        let backend = &self.router.backends()[self.router.route(&address.key)?];
        let kept = backend.history(tenant, address, version.saturating_add(1), 1).await?;
        let found = kept.into_iter().find(|kept| kept.entry.version() == version && !kept.deleted);
        Ok(found.map(|Revision { entry, .. }| entry))
    }

    async fn stored(&self, caller: &Caller, needs: Needs) -> Result<Vec<Stored>, Status> {
        let key = Key::new(SET_KEY).map_err(invalid)?;
        let at = |service: Option<ServiceName>| Address { service, key: key.clone() };
        let backend = self.router.route(&key)?;
        let found = match needs {
            Needs::Nothing => Vec::new(),
            Needs::Of(services) => {
                let addresses: Vec<_> = [at(None)]
                    .into_iter()
                    .chain(services.into_iter().map(|service| at(Some(service))))
                    .collect();
                let read = self.tenants.read(&caller.tenant, backend, &addresses).await?;
                read.into_iter().flatten().collect()
            }
            Needs::Sets => self.everywhere(caller, at(None), |key| key.as_str() == SET_KEY).await?,
            Needs::Flags => {
                self.everywhere(caller, at(None), |key| !matches!(Slot::of_key(key.as_str()), Ok(None)))
                    .await?
            }
        };
        caller.charge(Cost::Read(found.iter().map(|entry| ENTRY_COST + entry.size()).sum()));
        let stored = |entry: Arc<Entry>| Stored {
            service: entry.service().cloned(),
            key: entry.key().to_string(),
            value: entry.value().clone(),
        };
        Ok(found.into_iter().map(stored).collect())
    }

    async fn everywhere(
        &self,
        caller: &Caller,
        mark: Address,
        wanted: impl Fn(&Key) -> bool,
    ) -> Result<Vec<Arc<Entry>>, Status> {
        match self.tenants.collect(&caller.tenant, mark, wanted).await {
            // Nobody is served such a tenant, and it has to be made smaller somehow.
            Err(FollowError::TooLarge(_)) => Ok(Vec::new()),
            found => Ok(found?),
        }
    }
}

/// Held while a write of flags is checked and made.
pub(super) enum Turn {
    /// With others.
    Beside(#[expect(dead_code, reason = "held for its drop")] OwnedRwLockReadGuard<()>),
    /// Alone in its tenant.
    Alone(#[expect(dead_code, reason = "held for its drop")] OwnedRwLockWriteGuard<()>),
}

/// Who may write flags, tenant by tenant: many at a time, or one that changes what they
/// share.
#[derive(Debug, Default)]
pub struct FlagTurns {
    by_tenant: Mutex<HashMap<TenantId, Locks>>,
}

#[derive(Debug, Clone, Default)]
struct Locks {
    turns: Arc<RwLock<()>>,
    /// A tenant has one core for its checks.
    checks: Arc<AsyncMutex<()>>,
}

impl FlagTurns {
    /// Locks of tenants where nobody writes are dropped beyond so many.
    const KEPT: usize = 64;

    async fn take(&self, tenant: &TenantId, alone: bool) -> (Turn, Arc<AsyncMutex<()>>) {
        let Locks { turns, checks } = {
            let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
            if by_tenant.len() > Self::KEPT {
                by_tenant.retain(|_, locks| Arc::strong_count(&locks.turns) > 1);
            }
            by_tenant.entry(tenant.clone()).or_default().clone()
        };
        let turn = match alone {
            true => Turn::Alone(turns.write_owned().await),
            false => Turn::Beside(turns.read_owned().await),
        };
        (turn, checks)
    }
}
