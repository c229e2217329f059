//! One write: checked whole, then made whole.

use super::record::{Changed, Record};
use super::tables::{
    COMMITS, EARLIER, LATEST, Place, TENANTS, Totals, TotalsRow, place, table_error, tenant_end,
};
use super::{Bounds, record, unavailable};
use crate::backend::{Action, BackendError, Change, Full, WriteError};
use crate::limits::HISTORY_VERSIONS;
use crate::source::Address;
use confhub_proto::TenantId;
use prost::Message as _;
use redb::{ReadableTable as _, Table, WriteTransaction};
use std::time::SystemTime;

/// Commits of a tenant whose addresses are remembered. A reader that is further
/// behind reads the whole tenant.
const REMEMBERED_COMMITS: u64 = 256;

/// The tables of a write transaction.
pub(super) struct Tables<'t> {
    latest: Table<'t, Place<'static>, &'static [u8]>,
    earlier: Table<'t, (&'static str, &'static str, &'static str, u64), &'static [u8]>,
    commits: Table<'t, (&'static str, u64), &'static [u8]>,
    tenants: Table<'t, &'static str, TotalsRow>,
}

/// A change that has passed every check.
struct Planned {
    address: Address,
    old: Option<Record>,
    new: Record,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, BackendError> {
        Ok(Self {
            latest: transaction.open_table(LATEST).map_err(table_error)?,
            earlier: transaction.open_table(EARLIER).map_err(table_error)?,
            commits: transaction.open_table(COMMITS).map_err(table_error)?,
            tenants: transaction.open_table(TENANTS).map_err(table_error)?,
        })
    }

    /// Makes all changes or, if one is refused, none. Only an error of the
    /// store itself can leave some of them in the transaction, which must then
    /// be aborted.
    pub(super) fn apply(
        &mut self,
        tenant: &TenantId,
        author: &str,
        changes: &[Change],
        bounds: Bounds,
        now: SystemTime,
    ) -> Result<Vec<u64>, WriteError> {
        let totals = self.totals(tenant)?;
        let planned = changes
            .iter()
            .map(|change| self.plan(tenant, author, change, totals.floor, now))
            .collect::<Result<Vec<_>, _>>()?;
        let totals = account(totals, &planned, bounds)?;
        let versions = planned.iter().map(|change| change.new.version).collect();
        for change in &planned {
            self.replace(tenant, change)?;
        }
        let changed = Changed::new(planned.iter().map(|change| &change.address));
        self.remember(tenant, totals.commits, &changed)?;
        let totals = self.forget_deleted(tenant, totals, bounds)?;
        self.tenants.insert(tenant.as_str(), totals.to_file()).map_err(unavailable)?;
        Ok(versions)
    }

    fn plan(
        &self,
        tenant: &TenantId,
        author: &str,
        change: &Change,
        floor: u64,
        now: SystemTime,
    ) -> Result<Planned, WriteError> {
        let address = change.address.clone();
        let old = self.latest.get(place(tenant, &address)).map_err(unavailable)?;
        let old = old.map(|record| Record::from_file(record.value())).transpose()?;
        let existing = old.as_ref().filter(|old| !old.deleted);
        let actual = existing.map_or(0, |old| old.version);
        if let Some(expected) = change.expected.filter(|expected| *expected != actual) {
            return Err(WriteError::Conflict { address, expected, actual });
        }
        let next = old.as_ref().map_or(floor, |old| old.version) + 1;
        let new = match &change.action {
            Action::Put(content) => Record::put(content, next, now, author),
            Action::Delete => match existing {
                Some(old) => Record::deletion(old, now, author),
                None => return Err(WriteError::NotFound(address)),
            },
            Action::Restore(version) => {
                let kept = self.kept(tenant, &address, old.as_ref(), *version)?;
                Record::restored(&kept, next, now, author)
            }
        };
        if existing.is_some_and(|old| old.secret) && !new.secret {
            return Err(WriteError::Exposes(address));
        }
        Ok(Planned { address, old, new })
    }

    /// The version to restore.
    fn kept(
        &self,
        tenant: &TenantId,
        address: &Address,
        latest: Option<&Record>,
        version: u64,
    ) -> Result<Record, WriteError> {
        let (tenant, service, key) = place(tenant, address);
        let kept = match latest.filter(|latest| latest.version == version) {
            Some(latest) => Some(latest.clone()),
            None => {
                let found = self.earlier.get((tenant, service, key, version)).map_err(unavailable)?;
                found.map(|record| Record::from_file(record.value())).transpose()?
            }
        };
        match kept {
            Some(kept) if kept.deleted => {
                Err(WriteError::RestoresDeletion { address: address.clone(), version })
            }
            Some(kept) => Ok(kept),
            None => {
                let versions = (tenant, service, key, 0)..=(tenant, service, key, u64::MAX);
                let oldest = self.earlier.range(versions).map_err(unavailable)?.next().transpose();
                let oldest = oldest.map_err(unavailable)?.map(|(at, _)| at.value().3);
                let kept = latest.map_or_else(
                    || "none".to_owned(),
                    |latest| format!("{} to {}", oldest.unwrap_or(latest.version), latest.version),
                );
                Err(WriteError::UnknownVersion { address: address.clone(), version, kept })
            }
        }
    }

    fn totals(&self, tenant: &TenantId) -> Result<Totals, BackendError> {
        let totals = self.tenants.get(tenant.as_str()).map_err(unavailable)?;
        Ok(totals.map_or_else(Totals::default, |totals| Totals::from_file(totals.value())))
    }

    fn replace(&mut self, tenant: &TenantId, change: &Planned) -> Result<(), BackendError> {
        let at = place(tenant, &change.address);
        let (tenant, service, key) = at;
        if let Some(old) = &change.old {
            let earlier = (tenant, service, key, old.version);
            self.earlier.insert(earlier, old.encode_to_vec().as_slice()).map_err(unavailable)?;
        }
        if let Some(dropped) = change.new.version.checked_sub(HISTORY_VERSIONS as u64) {
            self.earlier.remove((tenant, service, key, dropped)).map_err(unavailable)?;
        }
        self.latest.insert(at, change.new.encode_to_vec().as_slice()).map_err(unavailable)?;
        Ok(())
    }

    fn remember(&mut self, tenant: &TenantId, commit: u64, changed: &Changed) -> Result<(), BackendError> {
        let tenant = tenant.as_str();
        self.commits.insert((tenant, commit), changed.encode_to_vec().as_slice()).map_err(unavailable)?;
        if let Some(old) = commit.checked_sub(REMEMBERED_COMMITS) {
            self.commits.remove((tenant, old)).map_err(unavailable)?;
        }
        Ok(())
    }

    /// A deleted key is remembered with its history. If a tenant has more of them
    /// than it may have entries, the older half is forgotten, so that a tenant's
    /// share of the file is bounded; its versions still never go back, since new
    /// keys start above those of all that are forgotten.
    fn forget_deleted(
        &mut self,
        tenant: &TenantId,
        mut totals: Totals,
        bounds: Bounds,
    ) -> Result<Totals, BackendError> {
        if totals.deleted <= bounds.tenant_entries as u64 {
            return Ok(totals);
        }
        let end = tenant_end(tenant);
        let mut deleted = Vec::new();
        for found in
            self.latest.range((tenant.as_str(), "", "")..(end.as_str(), "", "")).map_err(unavailable)?
        {
            let (at, record) = found.map_err(unavailable)?;
            let record = Record::from_file(record.value())?;
            if record.deleted {
                let (_, service, key) = at.value();
                let modified = record.modified.unwrap_or_default();
                deleted.push((
                    (modified.seconds, modified.nanos),
                    record.version,
                    record::address(service, key)?,
                ));
            }
        }
        deleted.sort_unstable();
        deleted.truncate(deleted.len() / 2);
        for (_, version, address) in &deleted {
            totals.floor = totals.floor.max(*version);
            let (tenant, service, key) = place(tenant, address);
            self.latest.remove((tenant, service, key)).map_err(unavailable)?;
            let versions = (tenant, service, key, 0)..=(tenant, service, key, u64::MAX);
            self.earlier.retain_in(versions, |_, _| false).map_err(unavailable)?;
        }
        totals.deleted -= deleted.len() as u64;
        Ok(totals)
    }
}

/// The tenant's counts after the changes, if they stay within its bounds. A
/// change that makes it no larger is always allowed.
fn account(old: Totals, planned: &[Planned], bounds: Bounds) -> Result<Totals, Full> {
    let mut new = Totals { commits: old.commits + 1, ..old };
    for change in planned {
        let key = &change.address.key;
        match &change.old {
            Some(old) if old.deleted => new.deleted -= 1,
            Some(old) => {
                new.entries -= 1;
                new.bytes -= old.size(key);
            }
            None => {}
        }
        if change.new.deleted {
            new.deleted += 1;
        } else {
            new.entries += 1;
            new.bytes += change.new.size(key);
        }
    }
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let limit = |grows: bool, limit: usize| if grows { limit } else { usize::MAX };
    Full::check(
        (count(new.entries), limit(new.entries > old.entries, bounds.tenant_entries)),
        (count(new.bytes), limit(new.bytes > old.bytes, bounds.tenant_bytes)),
    )?;
    Ok(new)
}
