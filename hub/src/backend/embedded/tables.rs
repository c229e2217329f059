//! What is in the file, and how it is read.

use super::record::{self, Changed, Record};
use super::{damaged, unavailable};
use crate::backend::{BackendError, Position, Reading, Revision, Scope};
use crate::source::Address;
use bytes::Bytes;
use confhub_proto::{Entry, TenantId};
use prost::Message as _;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, TableDefinition};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tenant, service (empty: shared), key.
pub(super) type Place<'a> = (&'a str, &'a str, &'a str);

/// The latest version of every key, deletions included.
pub(super) const LATEST: TableDefinition<'_, Place<'_>, &[u8]> = TableDefinition::new("latest");

/// Earlier versions, by their number.
pub(super) const EARLIER: TableDefinition<'_, (&str, &str, &str, u64), &[u8]> =
    TableDefinition::new("earlier");

/// Which addresses each of a tenant's recent commits changed, by its number.
pub(super) const COMMITS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("commits");

/// The [`Totals`] of each tenant.
pub(super) const TENANTS: TableDefinition<'_, &str, TotalsRow> = TableDefinition::new("tenants");

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Version of this layout.
pub(super) const FORMAT: u64 = 1;

/// Counts of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Commits ever made.
    pub(super) commits: u64,
    /// Entries that exist.
    pub(super) entries: u64,
    /// Their size in bytes.
    pub(super) bytes: u64,
    /// Keys whose latest version is a deletion.
    pub(super) deleted: u64,
    /// The largest version of a key that is forgotten: a new key starts above.
    pub(super) floor: u64,
}

/// Totals as the file has them, in the order of the fields.
pub(super) type TotalsRow = (u64, u64, u64, u64, u64);

impl Totals {
    pub(super) fn from_file((commits, entries, bytes, deleted, floor): TotalsRow) -> Self {
        Self { commits, entries, bytes, deleted, floor }
    }

    pub(super) fn to_file(self) -> TotalsRow {
        (self.commits, self.entries, self.bytes, self.deleted, self.floor)
    }
}

/// Makes all tables in a new file.
pub(super) fn create(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(LATEST)?;
    transaction.open_table(EARLIER)?;
    transaction.open_table(COMMITS)?;
    transaction.open_table(TENANTS)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

/// The version of the file's layout, if it says one.
pub(super) fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    Ok(database.begin_read()?.open_table(META)?.get("format")?.map(|format| format.value()))
}

/// Only a disk that fails can be better later; a table that is not as it should
/// be stays so.
pub(super) fn table_error(error: redb::TableError) -> BackendError {
    match error {
        redb::TableError::Storage(error) => unavailable(error),
        error => damaged(error),
    }
}

/// All keys of one tenant lie in this range: no name has a NUL.
pub(super) fn tenant_end(tenant: &TenantId) -> String {
    format!("{tenant}\0")
}

/// Records that are read in a row before others may have the core: some 100
/// microseconds. Who loads a large tenant has time, and who waits for a frame has not.
const COURTESY: usize = 128;

/// The file at one moment.
pub(super) struct Snapshot {
    latest: ReadOnlyTable<Place<'static>, &'static [u8]>,
    earlier: ReadOnlyTable<(&'static str, &'static str, &'static str, u64), &'static [u8]>,
    commits: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
    tenants: ReadOnlyTable<&'static str, TotalsRow>,
}

impl Snapshot {
    pub(super) fn new(transaction: &ReadTransaction) -> Result<Self, BackendError> {
        Ok(Self {
            latest: transaction.open_table(LATEST).map_err(table_error)?,
            earlier: transaction.open_table(EARLIER).map_err(table_error)?,
            commits: transaction.open_table(COMMITS).map_err(table_error)?,
            tenants: transaction.open_table(TENANTS).map_err(table_error)?,
        })
    }

    /// Everything that the tenant has.
    pub(super) fn load(&self, tenant: &TenantId) -> Result<Reading, BackendError> {
        let end = tenant_end(tenant);
        let range = (tenant.as_str(), "", "")..(end.as_str(), "", "");
        let mut entries = Vec::new();
        for (number, found) in self.latest.range(range).map_err(unavailable)?.enumerate() {
            if number % COURTESY == COURTESY - 1 {
                std::thread::yield_now();
            }
            let (place, record) = found.map_err(unavailable)?;
            let (_, service, key) = place.value();
            let address = record::address(service, key)?;
            if let Some(entry) = Record::from_file(record.value())?.entry(&address)? {
                entries.push((address, Some(Arc::new(entry))));
            }
        }
        Ok(Reading { entries, scope: Scope::All, position: self.position(tenant)? })
    }

    /// The hinted addresses and all that changed since, or everything if the
    /// commits do not go back that far.
    pub(super) fn refresh(
        &self,
        tenant: &TenantId,
        since: Position,
        hinted: Vec<Address>,
    ) -> Result<Reading, BackendError> {
        let position = self.position(tenant)?;
        let Some(missed) = position.0.checked_sub(since.0) else { return self.load(tenant) };
        let mut addresses: BTreeSet<_> = hinted.into_iter().collect();
        let mut seen = 0;
        for commit in self
            .commits
            .range((tenant.as_str(), since.0 + 1)..=(tenant.as_str(), position.0))
            .map_err(unavailable)?
        {
            let (_, changed) = commit.map_err(unavailable)?;
            let changed = Changed::decode(changed.value()).map_err(damaged)?;
            for address in changed.addresses() {
                addresses.insert(address?);
            }
            seen += 1;
        }
        if seen < missed {
            return self.load(tenant);
        }
        let mut entries = Vec::with_capacity(addresses.len());
        for address in addresses {
            let entry = self.entry(tenant, &address)?.map(Arc::new);
            entries.push((address, entry));
        }
        Ok(Reading { entries, scope: Scope::Listed, position })
    }

    /// What is at an address now.
    pub(super) fn entry(&self, tenant: &TenantId, address: &Address) -> Result<Option<Entry>, BackendError> {
        let record = self.record(tenant, address)?;
        record.map_or(Ok(None), |record| record.entry(address))
    }

    /// The entry at an address, its value even if that is a secret, and whether that
    /// is sealed.
    pub(super) fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes, bool)>, BackendError> {
        let Some(record) = self.record(tenant, address)? else { return Ok(None) };
        let (value, is_sealed) = (record.value.clone(), record.sealed);
        Ok(record.entry(address)?.map(|entry| (entry, value, is_sealed)))
    }

    /// The kept versions before one, newest first.
    pub(super) fn history(
        &self,
        tenant: &TenantId,
        address: &Address,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Revision>, BackendError> {
        let mut revisions = Vec::new();
        if let Some(latest) = self.record(tenant, address)?.filter(|latest| latest.version < before) {
            revisions.push(latest.into_revision(address)?);
        }
        let (tenant, service, key) = place(tenant, address);
        let range = (tenant, service, key, 0)..(tenant, service, key, before);
        for earlier in self.earlier.range(range).map_err(unavailable)?.rev() {
            if revisions.len() >= limit {
                break;
            }
            let (_, record) = earlier.map_err(unavailable)?;
            revisions.push(Record::from_file(record.value())?.into_revision(address)?);
        }
        revisions.truncate(limit);
        Ok(revisions)
    }

    fn record(&self, tenant: &TenantId, address: &Address) -> Result<Option<Record>, BackendError> {
        let found = self.latest.get(place(tenant, address)).map_err(unavailable)?;
        found.map(|record| Record::from_file(record.value())).transpose()
    }

    fn position(&self, tenant: &TenantId) -> Result<Position, BackendError> {
        let totals = self.tenants.get(tenant.as_str()).map_err(unavailable)?;
        Ok(Position(totals.map_or(0, |totals| Totals::from_file(totals.value()).commits)))
    }
}

/// Where the file keeps an address.
pub(super) fn place<'a>(tenant: &'a TenantId, address: &'a Address) -> Place<'a> {
    (tenant.as_str(), record::service_text(address), address.key.as_str())
}
