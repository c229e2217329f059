//! Earlier versions of one key, and what it holds now.

use super::Dynamo;
use super::item::{self, Fields, Item, SK, text_of};
use super::row::{self, Row};
use super::table::{Keys, Place, Range};
use crate::aws::naming;
use crate::backend::{BackendError, Revision, Urgency};
use crate::source::Address;
use bytes::Bytes;
use confhub_proto::{Entry, Key, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The version of a key that was not there before.
pub(super) const FIRST_VERSION: u64 = 1;

/// Sort key of an earlier version. The digits are as many as the largest has, so
/// that versions sort as numbers.
pub(super) fn sort_key(key: &Key, version: u64) -> String {
    format!("HISTORY#{key}#{version:020}")
}

/// The version in the sort key of an earlier one.
fn parse_version(sk: &str) -> Option<u64> {
    sk.rsplit_once('#')?.1.parse().ok()
}

impl Dynamo {
    /// The entry at an address, and its value even if that is a secret.
    pub(super) async fn read_value(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError> {
        let (pk, sk) = super::place_of(tenant, address);
        let Some(item) = self.table.get(&pk, &sk, Fields::All).await? else { return Ok(None) };
        let found = row::parse(&item);
        if let Some(reason) = found.unfit {
            self.oddities.note(&pk, &sk, &reason);
            return Ok(None);
        }
        let value = found.row.content.value.clone();
        Ok(found.row.into_entry(address).map(|entry| (entry, value)))
    }

    /// The kept versions before one, newest first.
    pub(super) async fn revisions(
        &self,
        tenant: &TenantId,
        address: &Address,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Revision>, BackendError> {
        let (pk, sk) = super::place_of(tenant, address);
        let Some(last) = before.checked_sub(1).filter(|_| limit > 0) else { return Ok(Vec::new()) };
        // A row that is overwritten meanwhile is in the history before it is gone
        // from here, so in this order none is missed.
        let present = self.present(&pk, &sk).await?;
        let mut kept = self.earlier(&pk, address, last, limit).await?;
        if let Some(present) = present.filter(|present| present.version < before) {
            kept.insert(present.version, present);
        }
        let newest_first = kept.into_values().rev().take(limit);
        Ok(newest_first.map(|row| row.into_revision(address)).collect())
    }

    async fn present(&self, pk: &str, sk: &str) -> Result<Option<Row>, BackendError> {
        let mut item = self.table.get(pk, sk, Fields::Read).await?;
        if item.as_ref().is_some_and(row::needs_all) {
            item = self.table.get(pk, sk, Fields::All).await?;
        }
        Ok(item.and_then(|item| self.revision(pk, &item)))
    }

    /// Versions up to one from the history, at most `limit`, by their number.
    async fn earlier(
        &self,
        pk: &str,
        address: &Address,
        last: u64,
        limit: usize,
    ) -> Result<BTreeMap<u64, Row>, BackendError> {
        let now = (self.clock)();
        let range = Range { backwards: true, page: Some(limit), ..self.versions(pk, address, last) };
        let (mut kept, mut from) = (BTreeMap::new(), None);
        loop {
            let (items, next) = self.table.page(&range, from, Urgency::Demand).await?;
            let (valueless, items): (Vec<_>, Vec<_>) = items.into_iter().partition(row::needs_all);
            let valueless: Vec<_> = valueless
                .iter()
                .filter_map(|item| Some((pk.to_owned(), text_of(item, SK)?.to_owned())))
                .collect();
            let valueless = self.table.batch(&valueless, Fields::All).await?;
            let rows = items.iter().chain(&valueless).filter(|item| !row::is_expired(item, now));
            kept.extend(rows.filter_map(|item| self.revision(pk, item)).map(|row| (row.version, row)));
            from = next;
            if from.is_none() || kept.len() >= limit {
                return Ok(kept);
            }
        }
    }

    /// A row as a version for the history, if it can be one.
    fn revision(&self, pk: &str, item: &Item) -> Option<Row> {
        let found = row::parse(item);
        if let Some(reason) = found.unfit {
            self.oddities.note(pk, text_of(item, SK).unwrap_or_default(), &reason);
            return None;
        }
        Some(found.row)
    }

    /// Those of these addresses whose keys have been there before, as their history
    /// tells.
    pub(super) async fn with_history(
        &self,
        tenant: &TenantId,
        addresses: &[&Address],
    ) -> Result<HashSet<Place>, BackendError> {
        let mut firsts = HashMap::new();
        for address in addresses {
            let (pk, sk) = super::place_of(tenant, address);
            firsts.insert((pk.clone(), sort_key(&address.key, FIRST_VERSION)), (pk, sk));
        }
        let places: Vec<Place> = firsts.keys().cloned().collect();
        let found = self.table.batch(&places, Fields::Read).await?;
        Ok(found.iter().filter_map(|item| firsts.remove(&item::place_in(item)?)).collect())
    }

    /// One earlier version as a whole.
    pub(super) async fn kept(
        &self,
        tenant: &TenantId,
        address: &Address,
        version: u64,
    ) -> Result<Option<Item>, BackendError> {
        let pk = naming::partition(tenant, address.service.as_ref());
        let item = self.table.get(&pk, &sort_key(&address.key, version), Fields::All).await?;
        let now = (self.clock)();
        Ok(item.filter(|item| !row::is_expired(item, now)))
    }

    /// The newest (or the oldest) version in the history.
    pub(super) async fn end_of_history(
        &self,
        tenant: &TenantId,
        address: &Address,
        newest: bool,
    ) -> Result<Option<u64>, BackendError> {
        let pk = naming::partition(tenant, address.service.as_ref());
        let range = Range { backwards: newest, page: Some(1), ..self.versions(&pk, address, u64::MAX) };
        let (items, _) = self.table.page(&range, None, Urgency::Demand).await?;
        Ok(items.first().and_then(|item| parse_version(text_of(item, SK)?)))
    }

    fn versions<'a>(&self, pk: &'a str, address: &Address, last: u64) -> Range<'a> {
        let keys = Keys::Between(sort_key(&address.key, 0), sort_key(&address.key, last));
        Range { pk, keys, fields: Fields::Read, backwards: false, page: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_numbers_and_keys_do_not_run_into_each_other() {
        let key = |text| Key::new(text).unwrap();
        assert!(sort_key(&key("a"), 9) < sort_key(&key("a"), 10));
        assert!(sort_key(&key("a"), u64::MAX) < sort_key(&key("a.b"), 0));
        assert_eq!(parse_version(&sort_key(&key("a"), u64::MAX)), Some(u64::MAX));
    }
}
