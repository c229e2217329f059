//! The backend in Parameter Store: one parameter for each entry, at
//! `/{root}/{tenant}/{service or shared}/{key}`.
//!
//! It has no transactions, no conditional write, no consistent reads, and keeps
//! nothing of what is deleted: a key that is made again counts from 1, and is told
//! from its forerunner by its time. A write that expects a version reads before
//! and looks at the version that it was given after: a race that was lost cannot
//! be prevented, but is told.
//!
//! A `SecureString` is decrypted by [`Backend::reveal`] and by restoring one of
//! its versions, and by nothing else.

mod calls;
mod fit;
mod history;
mod parameter;
mod write;

use super::closed::Closed;
use super::size::Tally;
use super::{
    Backend, BackendError, Change, Nature, Opened, Opening, Position, Reading, Revision, Scope, Urgency,
    WriteError,
};
use crate::aws::{AccountError, OddNames, naming};
use crate::config::{LimitSettings, StringLists};
use crate::source::Address;
use async_trait::async_trait;
use aws_sdk_ssm::types::Parameter;
use bytes::Bytes;
use calls::{BATCH, Calls};
use confhub_proto::{Entry, ServiceName, TenantId};
use fit::Rules;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use parameter::{Raw, Stored};
use std::collections::HashMap;
use std::sync::Arc;

/// What the settings call this backend.
pub const KIND: &str = "ssm";

/// Reads of named parameters under way at a time for one caller: the budget
/// sets the pace, and a few hide the time that each is on its way.
const READS: usize = 4;

/// How the names begin that Parameter Store keeps for itself.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html>
const RESERVED: [&str; 2] = ["aws", "ssm"];

/// A root that no parameter can be below.
#[derive(Debug, thiserror::Error)]
#[error("`aws.root` is `{0}`: names in Parameter Store cannot begin with `aws` or `ssm`, so choose another")]
pub struct RootError(String);

/// Opens it in the account of the settings. Makes no call.
pub(super) async fn open(opening: &Opening<'_>) -> Opened {
    let account = opening.account.ok_or(AccountError::Region)?;
    let settings = &opening.settings.aws;
    let lower = settings.root.to_ascii_lowercase();
    if RESERVED.iter().any(|reserved| lower.starts_with(reserved)) {
        return Err(Box::new(RootError(settings.root.clone())));
    }
    Ok(Arc::new(Ssm {
        calls: Calls::new(account, settings),
        root: settings.root.clone(),
        rules: Rules { tier: settings.parameter_tier, lists: settings.string_lists },
        odd: OddNames::new(KIND, opening.metrics),
        limits: opening.settings.limits.clone(),
        closed: Closed::default(),
    }))
}

/// The backend in Parameter Store.
pub struct Ssm {
    calls: Calls,
    root: String,
    rules: Rules,
    odd: OddNames,
    limits: LimitSettings,
    closed: Closed,
}

impl Ssm {
    /// The calls, unless the backend is closed.
    fn calls(&self) -> Result<&Calls, BackendError> {
        self.closed.check(KIND).map(|()| &self.calls)
    }

    fn name(&self, tenant: &TenantId, address: &Address) -> String {
        naming::path(&self.root, tenant, address)
    }

    fn lists(&self) -> StringLists {
        self.rules.lists
    }

    /// The entry that a parameter at `address` is. What is none is told.
    fn stored(&self, name: &str, address: &Address, parameter: impl Into<Raw>) -> Option<Stored> {
        let stored = parameter.into().stored(address, self.lists());
        stored.map_err(|reason| self.odd.passed_over(name, &reason)).ok()
    }

    /// The entry that a listed parameter is, with its place.
    fn listed(&self, tenant: &TenantId, parameter: Parameter) -> Option<(Address, Option<Arc<Entry>>)> {
        let name = parameter.name.clone().unwrap_or_default();
        let place = naming::parse_path(&self.root, &name).filter(|(found, _)| found == tenant);
        let Some((_, address)) = place else {
            let reason =
                format!("it is not of the form /{}/tenant/service/key with allowed names", self.root);
            self.odd.passed_over(&name, &reason);
            return None;
        };
        let stored = self.stored(&name, &address, parameter)?;
        Some((address, Some(Arc::new(stored.entry))))
    }

    async fn entries(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        let calls = self.calls()?;
        let names: Vec<_> = addresses.iter().map(|address| self.name(tenant, address)).collect();
        // A name may be asked for once in a call.
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let batches: Vec<_> = distinct.chunks(BATCH).map(<[String]>::to_vec).collect();
        let reads = futures_util::stream::iter(batches).map(async |names| calls.named(&names).await);
        let found: Vec<_> = reads.buffered(READS).try_collect().await?;
        let parameters = found.into_iter().flatten();
        let found: HashMap<_, _> = parameters.filter_map(|p| Some((p.name.clone()?, p))).collect();
        let entry = |(name, address): (&String, &Address)| {
            Some(self.stored(name, address, found.get(name)?.clone())?.entry)
        };
        Ok(names.iter().zip(addresses).map(entry).collect())
    }
}

#[async_trait]
impl Backend for Ssm {
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
        let path = naming::tenant_path(&self.root, tenant);
        let (mut entries, mut token) = (Vec::new(), None);
        let mut tally = Tally::new(KIND, tenant, &self.limits);
        loop {
            let (page, next) = self.calls()?.below(&path, token, urgency).await?;
            let page: Vec<_> = page.into_iter().filter_map(|found| self.listed(tenant, found)).collect();
            tally.add(page.iter().filter_map(|(_, entry)| entry.as_deref()))?;
            entries.extend(page);
            token = next;
            if token.is_none() {
                return Ok(Reading { entries, scope: Scope::All, position: Position::default() });
            }
        }
    }

    async fn refresh(
        &self,
        tenant: &TenantId,
        _: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError> {
        let entries = self.entries(tenant, hinted).await?;
        let entries = hinted.iter().cloned().zip(entries.into_iter().map(|entry| entry.map(Arc::new)));
        Ok(Reading { entries: entries.collect(), scope: Scope::Listed, position: Position::default() })
    }

    async fn read(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        self.entries(tenant, addresses).await
    }

    async fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError> {
        let name = self.name(tenant, address);
        let Some(parameter) = self.calls()?.one(&name, true).await? else { return Ok(None) };
        match Raw::from(parameter).revealed(address, self.lists()) {
            Ok((stored, value)) => Ok(Some((stored.entry, value))),
            Err(reason) => {
                self.odd.passed_over(&name, &reason);
                Ok(None)
            }
        }
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
        let found = self.calls()?.versions(&name).await?;
        let mut revisions = self.revisions(&name, address, found);
        revisions.retain(|revision| revision.entry.version() < before);
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

fn damaged(reason: String) -> BackendError {
    BackendError::Damaged { kind: KIND, reason }
}
