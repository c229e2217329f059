//! One write: checked against what is there, and made as a whole on condition
//! that nothing of it has changed since.

use super::applies::{self, Apply};
use super::backoff::Backoff;
use super::conditional::Refused;
use super::item::{DELETED, Fields, Item, TRANSACTION_BYTES, place, place_in, size};
use super::plan::{Planned, Present, Writing};
use super::row::{self, Mark};
use super::services::{SERVICE_ROW, SERVICES};
use super::table::Place;
use super::{APPLY_CHANGES, Dynamo, KIND, history};
use crate::aws::naming;
use crate::backend::{BackendError, Cause, Change, WriteError};
use crate::source::Address;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use confhub_proto::TenantId;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::HashMap;
use std::sync::Arc;

/// Attempts at a write that others are faster than: some 4 s in all. Each time one
/// of them has been made, so this is a queue of as many.
const ATTEMPTS: u32 = 14;

/// Changes of one write that look at the history at a time.
const AT_A_TIME: usize = 8;

impl Dynamo {
    /// Makes all the changes or none.
    pub(super) async fn write(
        &self,
        tenant: &TenantId,
        author: &str,
        changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError> {
        if changes.len() > APPLY_CHANGES {
            return Err(WriteError::TooMany { kind: KIND, changes: changes.len(), limit: APPLY_CHANGES });
        }
        let id = (changes.len() > 1).then(|| applies::new_id((self.clock)()));
        let mark = id.map(|id| Mark { id, size: changes.len() });
        let mut backoff = Backoff::new(ATTEMPTS);
        let mut tried: Vec<Planned> = Vec::new();
        loop {
            let present = self.present_rows(tenant, &changes).await?;
            // The answer to an attempt may have been lost, and the call been made
            // once more by the SDK: then it is by ourselves that the row is changed.
            if !tried.is_empty() && self.were_made(&tried, &present).await? {
                return Ok(self.made(tenant, mark, &tried));
            }
            let writing = Writing { tenant, author, now: (self.clock)(), mark: mark.clone() };
            let planned = self.plan_all(&writing, &changes, &present).await?;
            self.list_services_of(tenant, &planned).await?;
            let Err(refused) = self.commit(&writing, &planned).await else {
                return Ok(self.made(tenant, mark, &planned));
            };
            match refused {
                Refused::Failed(error) => return Err(error.into()),
                Refused::Lost(index) if !backoff.again().await => {
                    let contended = changes.into_iter().nth(index).map(|change| change.address);
                    let unknown =
                        || self.table.failed(Cause::Failed, "it refused a row that was not written");
                    return Err(contended.map_or_else(|| unknown().into(), WriteError::Contended));
                }
                Refused::Lost(_) => tried = planned,
            }
        }
    }

    /// The rows of the changes that are there, by their place.
    async fn present_rows(
        &self,
        tenant: &TenantId,
        changes: &[Change],
    ) -> Result<HashMap<Place, Item>, BackendError> {
        let places: Vec<_> = changes.iter().map(|change| super::place_of(tenant, &change.address)).collect();
        let items = self.table.batch(&places, Fields::All).await?;
        let placed = items.into_iter().filter_map(|item| Some((place_in(&item)?, item)));
        Ok(placed.collect())
    }

    async fn plan_all(
        &self,
        writing: &Writing<'_>,
        changes: &[Change],
        present: &HashMap<Place, Item>,
    ) -> Result<Vec<Planned>, WriteError> {
        let place = |change: &Change| super::place_of(writing.tenant, &change.address);
        let absent = changes.iter().filter(|change| !present.contains_key(&place(change)));
        let absent: Vec<_> = absent.map(|change| &change.address).collect();
        let with_history = self.with_history(writing.tenant, &absent).await?;
        let mut plans = Vec::with_capacity(changes.len());
        for change in changes {
            let place = place(change);
            let there_is = Present { old: present.get(&place), history: with_history.contains(&place) };
            plans.push(self.plan(writing, change, there_is));
        }
        let planned: Vec<Planned> = stream::iter(plans).buffered(AT_A_TIME).try_collect().await?;
        let bytes: usize = planned.iter().map(|planned| size(&planned.item)).sum();
        let largest = planned.iter().max_by_key(|planned| size(&planned.item));
        if let Some(largest) = largest.filter(|_| planned.len() > 1 && bytes > TRANSACTION_BYTES) {
            let reason = format!(
                "together with the changes beside it, of which it is the largest, it would be {bytes} bytes, \
                 and DynamoDB writes at most {TRANSACTION_BYTES} as one: write them apart"
            );
            return Err(WriteError::Unfit { address: largest.address.clone(), kind: KIND, reason });
        }
        Ok(planned)
    }

    /// Lists the services of what will be there. That too is harmless if nothing
    /// comes of the write.
    async fn list_services_of(&self, tenant: &TenantId, planned: &[Planned]) -> Result<(), WriteError> {
        // What is deleted needs no list to be found by.
        let stays = planned.iter().filter(|planned| !planned.item.contains_key(DELETED));
        let addresses: Vec<_> = stays.map(|planned| &planned.address).collect();
        let services = addresses.iter().filter_map(|address| address.service.as_ref());
        if self.list_services(tenant, services).await? {
            return Ok(());
        }
        let new = |address: &&&Address| address.service.as_ref().is_some_and(|s| !self.listed.has(tenant, s));
        let Some(address) = addresses.iter().find(new) else { return Ok(()) };
        let reason = format!(
            "its service is new, and a tenant has at most {SERVICES} of them: delete the rows `{SERVICE_ROW}…` \
             of services that it has no more from the partition `{}`, or write it to another tenant",
            naming::partition(tenant, None)
        );
        Err(WriteError::Unfit { address: (*address).clone(), kind: KIND, reason })
    }

    async fn commit(&self, writing: &Writing<'_>, planned: &[Planned]) -> Result<(), Refused> {
        let tenant = writing.tenant;
        // Whatever becomes of the write, these are true.
        self.keep_history(planned).await?;
        if let Some(mark) = &writing.mark {
            let pk = naming::partition(tenant, None);
            self.table.put(apply_of(planned).to_item(&pk, &mark.id, writing.now)).await?;
        }
        match planned {
            [] => Ok(()),
            [one] => self.table.replace(one.item.clone(), one.guard.clone()).await,
            several => {
                let rows = several.iter().map(|planned| (planned.item.clone(), planned.guard.clone()));
                self.table.transact(rows.collect()).await
            }
        }
    }

    /// Copies what will be overwritten, and drops what is older than the history
    /// reaches.
    async fn keep_history(&self, planned: &[Planned]) -> Result<(), BackendError> {
        let failed = |error| self.table.failed(Cause::Failed, error);
        let mut writes = Vec::new();
        for Planned { kept, dropped, .. } in planned {
            if let Some(kept) = kept {
                let put = PutRequest::builder().set_item(Some(kept.clone())).build().map_err(failed)?;
                writes.push(WriteRequest::builder().put_request(put).build());
            }
            if let Some((pk, sk)) = dropped {
                let delete = DeleteRequest::builder().set_key(Some(place(pk, sk))).build().map_err(failed)?;
                writes.push(WriteRequest::builder().delete_request(delete).build());
            }
        }
        self.table.write_each(writes).await
    }

    /// Whether these rows were written after all. One that somebody has
    /// overwritten since is in the history.
    async fn were_made(
        &self,
        tried: &[Planned],
        present: &HashMap<Place, Item>,
    ) -> Result<bool, BackendError> {
        for Planned { address, version, item, .. } in tried {
            let Some(place) = place_in(item) else { return Ok(false) };
            let now = present.get(&place);
            if now == Some(item) {
                continue;
            }
            if now.is_none_or(|now| row::parse(now).row.version <= *version) {
                return Ok(false);
            }
            let sk = history::sort_key(&address.key, *version);
            if self.table.get(&place.0, &sk, Fields::All).await? != Some(row::copy(item, &sk, *version)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The versions of what was made, which the next reading has as a whole.
    fn made(&self, tenant: &TenantId, mark: Option<Mark>, made: &[Planned]) -> Vec<u64> {
        if let Some(mark) = mark {
            self.ledger.learn(tenant, self.ledger.now(), vec![(mark.id, Arc::new(apply_of(made)))]);
        }
        made.iter().map(|planned| planned.version).collect()
    }
}

fn apply_of(planned: &[Planned]) -> Apply {
    Apply { members: planned.iter().map(|planned| (planned.address.clone(), planned.version)).collect() }
}
