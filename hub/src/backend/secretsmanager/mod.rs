//! The backend in Secrets Manager: one secret for each entry, named
//! `/{root}/{tenant}/{service or shared}/{key}`.
//!
//! Every entry here is a secret. Its value is read by [`Backend::reveal`] and by
//! nothing else: all other reads are of the calls that tell about a secret and
//! not what it is.
//!
//! Secrets Manager names versions by chance and does not count them. The version
//! of an entry is the moment of the secret's last change (`LastChangedDate`) in
//! milliseconds: it comes with the list, 100 secrets a call; it never goes back;
//! and a change of the value always moves it. So do changes of tags, description
//! and rotation, which then look like a new version with the old value. The time
//! at which the current version was made would not have that flaw, but costs a
//! call for each secret, and goes back when an older version is made current.
//!
//! The list of secrets may be five minutes behind. So what was hinted or written
//! here of late is asked for by name with every load.
//!
//! A write that expects a version reads before and looks after: a race that was
//! lost cannot be prevented, but is told. A deleted secret can be restored for
//! seven days.

mod calls;
mod known;
mod recent;
mod write;

use super::closed::Closed;
use super::size::Tally;
use super::{
    Backend, BackendError, Change, Nature, Opened, Opening, Position, Reading, Revision, Scope, Urgency,
    WriteError,
};
use crate::aws::{AccountError, OddNames, naming};
use crate::config::LimitSettings;
use crate::source::Address;
use async_trait::async_trait;
use bytes::Bytes;
use calls::Calls;
use confhub_proto::{Content, Entry, ServiceName, TenantId};
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use known::Known;
use recent::Recent;
use std::collections::HashMap;
use std::sync::Arc;

/// What the settings call this backend.
pub const KIND: &str = "secretsmanager";

/// Secrets that are asked for by name at a time for one caller: the budget sets
/// the pace, and a few hide the time that each is on its way.
const READS: usize = 8;

/// The author of every version, since Secrets Manager does not tell.
const AUTHOR: &str = "unknown: see CloudTrail";

/// Opens it in the account of the settings. Makes no call.
pub(super) async fn open(opening: &Opening<'_>) -> Opened {
    let account = opening.account.ok_or(AccountError::Region)?;
    Ok(Arc::new(SecretsManager {
        calls: Calls::new(account, &opening.settings.aws),
        root: opening.settings.aws.root.clone(),
        recent: Recent::default(),
        odd: OddNames::new(KIND, opening.metrics),
        limits: opening.settings.limits.clone(),
        closed: Closed::default(),
    }))
}

/// The backend in Secrets Manager.
pub struct SecretsManager {
    calls: Calls,
    root: String,
    recent: Recent,
    odd: OddNames,
    limits: LimitSettings,
    closed: Closed,
}

impl SecretsManager {
    /// The calls, unless the backend is closed.
    fn calls(&self) -> Result<&Calls, BackendError> {
        self.closed.check(KIND).map(|()| &self.calls)
    }

    fn name(&self, tenant: &TenantId, address: &Address) -> String {
        naming::path(&self.root, tenant, address)
    }

    /// What is at each address, asked for by name.
    async fn described(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
        urgency: Urgency,
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        let calls = self.calls()?;
        let names: Vec<_> = addresses.iter().map(|address| self.name(tenant, address)).collect();
        let reads = futures_util::stream::iter(names).map(async |name| calls.describe(&name, urgency).await);
        let found: Vec<_> = reads.buffered(READS).try_collect().await?;
        let entry = |(known, address): (Option<Known>, &Address)| known?.entry(address);
        Ok(found.into_iter().zip(addresses).map(entry).collect())
    }

    /// The entry that a listed secret is, with its place. `None`: it is none; if it
    /// is below the path of the tenant, that is told.
    fn listed(&self, tenant: &TenantId, name: &str, known: &Known) -> Option<(Address, Option<Arc<Entry>>)> {
        let place = naming::parse_path(&self.root, name).filter(|(found, _)| found == tenant);
        if let Some((_, address)) = place {
            let entry = known.entry(&address)?;
            return Some((address, Some(Arc::new(entry))));
        }
        // The filter of the list goes by words, and finds others as well.
        if name.starts_with(&format!("{}/", naming::tenant_path(&self.root, tenant))) {
            let reason =
                format!("it is not of the form /{}/tenant/service/key with allowed names", self.root);
            self.odd.passed_over(name, &reason);
        }
        None
    }
}

#[async_trait]
impl Backend for SecretsManager {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn nature(&self) -> Nature {
        Nature { consistent: false, metered: true, lists_services: true, announces: false, apply_changes: 1 }
    }

    async fn load(
        &self,
        tenant: &TenantId,
        _: &[ServiceName],
        urgency: Urgency,
    ) -> Result<Reading, BackendError> {
        let path = format!("{}/", naming::tenant_path(&self.root, tenant));
        let (mut entries, mut token) = (HashMap::new(), None);
        let mut tally = Tally::new(KIND, tenant, &self.limits);
        loop {
            let (page, next) = self.calls()?.below(&path, token, urgency).await?;
            let page = page.iter().filter_map(|(name, known)| self.listed(tenant, name, known));
            let page: Vec<_> = page.collect();
            tally.add(page.iter().filter_map(|(_, entry)| entry.as_deref()))?;
            entries.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        let recent = self.recent.of(tenant);
        let described = self.described(tenant, &recent, urgency).await?;
        for (address, entry) in recent.into_iter().zip(described) {
            match entry {
                Some(entry) => entries.insert(address, Some(Arc::new(entry))),
                None => entries.remove(&address),
            };
        }
        let entries = entries.into_iter().collect();
        Ok(Reading { entries, scope: Scope::All, position: Position::default() })
    }

    async fn refresh(
        &self,
        tenant: &TenantId,
        _: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError> {
        self.recent.note(tenant, hinted);
        let entries = self.described(tenant, hinted, Urgency::Demand).await?;
        let entries = hinted.iter().cloned().zip(entries.into_iter().map(|entry| entry.map(Arc::new)));
        Ok(Reading { entries: entries.collect(), scope: Scope::Listed, position: Position::default() })
    }

    async fn read(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        self.described(tenant, addresses, Urgency::Demand).await
    }

    async fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError> {
        let name = self.name(tenant, address);
        let Some(known) = self.calls()?.describe(&name, Urgency::Demand).await? else { return Ok(None) };
        if known.entry(address).is_none() {
            return Ok(None);
        }
        let Some(value) = self.calls()?.value(&name).await? else { return Ok(None) };
        let content_type = if value.text { Content::TEXT } else { Content::BINARY };
        Ok(Some((known.entry_of_type(address, content_type), value.bytes)))
    }

    async fn apply(
        &self,
        tenant: &TenantId,
        author: &str,
        changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError> {
        self.write(tenant, author, changes).await
    }

    async fn history(
        &self,
        tenant: &TenantId,
        address: &Address,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Revision>, BackendError> {
        let name = self.name(tenant, address);
        let Some(known) = self.calls()?.describe(&name, Urgency::Demand).await? else {
            return Ok(Vec::new());
        };
        let versions = self.calls()?.versions(&name).await?;
        let revision = |version: known::Version| Revision {
            entry: known::entry(address, known.moment_of(&version), Content::TEXT),
            deleted: false,
            author: AUTHOR.to_owned(),
            labels: version.stages,
        };
        let mut revisions: Vec<_> = versions.into_iter().map(revision).collect();
        revisions.retain(|revision| revision.entry.version() < before);
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.entry.version()));
        revisions.truncate(limit);
        Ok(revisions)
    }

    async fn check(&self) -> Result<(), BackendError> {
        self.calls()?.check(&self.root).await
    }

    async fn close(&self) {
        self.closed.close();
    }
}
