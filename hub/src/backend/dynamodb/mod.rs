//! The DynamoDB backend: one table for all tenants.
//!
//! | partition | sort key | row |
//! |---|---|---|
//! | `TENANT#{tenant}` or `TENANT#{tenant}\|SERVICE#{service}` | `CONFIG#{key}` | an entry, or its tombstone |
//! | the same | `HISTORY#{key}#{version}` | an earlier version of it |
//! | `TENANT#{tenant}` | `SERVICE#{service}` | the tenant has entries of this service |
//! | `TENANT#{tenant}` | `APPLY#{id}` | what a write of several keys wrote |
//!
//! Reads are strongly consistent. Every write is conditional on the version that
//! was read before, so versions rise by one and never go back; the row that it
//! overwrites is first copied to the history. Several changes are one transaction.
//! People and other programs may edit the table: their rows are read as well as
//! can be, and told of (`by_hand`, `oddities`).

mod applies;
mod backoff;
mod by_hand;
mod conditional;
mod history;
mod item;
mod oddities;
mod plan;
mod read;
mod row;
mod services;
mod table;
mod whole;
mod write;

use super::{
    Backend, BackendError, Change, Nature, Opened, Opening, Position, Reading, Revision, Urgency, WriteError,
};
use crate::admission::PREFIX as RECORDS;
use crate::aws::{Account, naming};
use crate::clock::Clock;
use crate::config::{LimitSettings, Settings};
use crate::metrics::Metrics;
use crate::source::Address;
use applies::Ledger;
use async_trait::async_trait;
use bytes::Bytes;
use confhub_proto::{Entry, Key, Prefix, ServiceName, TenantId};
use oddities::Oddities;
use services::{Listed, SERVICES};
use std::collections::BTreeSet;
use std::sync::Arc;
use table::{Place, Table};

/// What the settings call this backend.
pub const KIND: &str = "dynamodb";

/// Most changes of one transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const APPLY_CHANGES: usize = 100;

/// Opens it on the table of the settings. Whether the table is there is found by
/// the first call: a hub starts while the account cannot be reached.
pub(super) async fn open(opening: &Opening<'_>) -> Opened {
    let account = opening.account.ok_or("the DynamoDB backend needs an AWS account")?;
    let (clock, metrics) = (opening.clock.clone(), Arc::clone(opening.metrics));
    Ok(Arc::new(Dynamo::new(account, opening.settings, clock, metrics)))
}

/// The DynamoDB backend.
pub struct Dynamo {
    table: Table,
    clock: Clock,
    limits: LimitSettings,
    /// Which backend owns which keys, the longest prefix first.
    routes: Vec<(Prefix, String)>,
    ledger: Ledger,
    listed: Listed,
    oddities: Oddities,
}

impl Dynamo {
    /// A backend on the table that `settings` name. Makes no call.
    #[must_use]
    pub fn new(account: &Account, settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let client = aws_sdk_dynamodb::Client::new(account.config());
        let mut routes = settings.backends.clone();
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.as_str().len()));
        Self {
            table: Table::new(client, settings.aws.table.clone(), settings.aws.table_capacity),
            clock,
            limits: settings.limits.clone(),
            routes,
            ledger: Ledger::default(),
            listed: Listed::default(),
            oddities: Oddities::new(metrics),
        }
    }

    /// Whether the settings give this key to this backend (the table may hold any), or
    /// it is one of the hub's own records.
    fn owns(&self, key: &Key) -> bool {
        if key.as_str().starts_with(RECORDS) {
            return true;
        }
        let route = self.routes.iter().find(|(prefix, _)| key.as_str().starts_with(prefix.as_str()));
        route.is_some_and(|(_, backend)| backend == KIND)
    }

    /// Lists services as ones that have entries, as far as that is not known to be
    /// done. False: the tenant would have too many, and none was listed. Hubs that
    /// do so at the same time may list a few more together.
    async fn list_services(
        &self,
        tenant: &TenantId,
        services: impl IntoIterator<Item = &ServiceName>,
    ) -> Result<bool, BackendError> {
        let mut new: BTreeSet<_> = services.into_iter().collect();
        new.retain(|service| !self.listed.has(tenant, service));
        if new.is_empty() {
            return Ok(true);
        }
        let listed = self.listed_services(tenant, Urgency::Demand).await?;
        new.retain(|service| !listed.contains(*service));
        if !new.is_empty() && listed.len() + new.len() > SERVICES {
            return Ok(false);
        }
        for service in new {
            self.table.put(services::row(&naming::partition(tenant, None), service)).await?;
            self.listed.add(tenant, service);
        }
        Ok(true)
    }
}

#[async_trait]
impl Backend for Dynamo {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn nature(&self) -> Nature {
        // A service may have rows, written by hand, and not be listed.
        Nature {
            consistent: true,
            metered: true,
            lists_services: false,
            announces: false,
            apply_changes: APPLY_CHANGES,
        }
    }

    async fn load(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
        urgency: Urgency,
    ) -> Result<Reading, BackendError> {
        self.load_all(tenant, services, urgency).await
    }

    async fn load_service(&self, tenant: &TenantId, service: &ServiceName) -> Result<Reading, BackendError> {
        self.load_one_service(tenant, service).await
    }

    async fn refresh(
        &self,
        tenant: &TenantId,
        since: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError> {
        self.read_again(tenant, since, hinted).await
    }

    async fn read(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        self.read_each(tenant, addresses).await
    }

    async fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError> {
        self.read_value(tenant, address).await
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
        self.revisions(tenant, address, before, limit).await
    }

    async fn check(&self) -> Result<(), BackendError> {
        self.table.check().await
    }

    /// A write goes on though its caller has left, so one may be under way. Nothing
    /// here waits for it: the call that is on its way ends by itself, the next is
    /// refused, and what was written until then is true or harmless.
    async fn close(&self) {
        self.table.close();
    }
}

/// Where the table keeps an entry.
fn place_of(tenant: &TenantId, address: &Address) -> Place {
    (naming::partition(tenant, address.service.as_ref()), naming::sort_key(&address.key))
}

fn damaged(reason: impl std::fmt::Display) -> BackendError {
    BackendError::Damaged { kind: KIND, reason: reason.to_string() }
}
