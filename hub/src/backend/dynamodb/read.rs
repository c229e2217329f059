//! Readings of a tenant.

use super::applies::{KEPT, SETTLED, Slot, Slots};
use super::item::{Fields, Item, PK, SK, text_of};
use super::row;
use super::services::{self, SERVICE_ROW, SERVICES};
use super::table::{BATCH_KEYS, Place, Range};
use super::{Dynamo, KIND, damaged};
use crate::aws::naming;
use crate::backend::size::{TOO_LARGE, Tally};
use crate::backend::{BackendError, Position, Reading, Scope, Urgency};
use crate::source::Address;
use confhub_proto::{Entry, ServiceName, TenantId};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Partitions of one tenant, or batches of one reading, that are read at a time:
/// enough to hide the round trips, and few beside the connections of the client.
const AT_A_TIME: usize = 4;

impl Dynamo {
    /// Everything that the tenant has.
    pub(super) async fn load_all(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
        urgency: Urgency,
    ) -> Result<Reading, BackendError> {
        let began = self.ledger.now();
        let listed = self.listed_services(tenant, urgency).await?;
        let mut partitions = vec![None];
        let all: BTreeSet<_> = listed.iter().chain(services).cloned().collect();
        partitions.extend(all.into_iter().map(Some));
        let mut reads = Vec::with_capacity(partitions.len());
        for service in partitions {
            reads.push(async move {
                let slots = self.partition(tenant, service.as_ref(), urgency).await?;
                Ok::<_, BackendError>((service, slots))
            });
        }
        let (mut slots, mut tally) = (Slots::new(), Tally::new(KIND, tenant, &self.limits));
        let mut reads = stream::iter(reads).buffer_unordered(AT_A_TIME);
        while let Some((service, read)) = reads.try_next().await? {
            if let Some(service) = service.filter(|service| !read.is_empty() && !listed.contains(service)) {
                self.list_service_if_possible(tenant, &service).await;
            }
            tally.add(entries(&read))?;
            slots.extend(read);
        }
        drop(reads);
        let known = |id: &str| self.ledger.get(tenant, id).is_some_and(|(number, _)| number <= began);
        let whole = self.make_whole(tenant, &mut slots, known, SETTLED).await?;
        let position = Position(self.ledger.learn(tenant, began, whole));
        // What is not there need not be said: what is not in the reading is gone.
        let entries = slots.into_iter().filter(|(_, slot)| slot.entry.is_some());
        let entries = entries.map(|(address, slot)| (address, slot.entry)).collect();
        Ok(Reading { entries, scope: Scope::All, position })
    }

    /// What one service has, and what else must be seen with it.
    pub(super) async fn load_one_service(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
    ) -> Result<Reading, BackendError> {
        let began = self.ledger.now();
        let mut slots = self.partition(tenant, Some(service), Urgency::Demand).await?;
        if !slots.is_empty() && !self.listed.has(tenant, service) {
            self.list_service_if_possible(tenant, service).await;
        }
        // Whoever asks may hold the other members as they were before.
        let whole = self.make_whole(tenant, &mut slots, |_| false, SETTLED).await?;
        self.ledger.learn(tenant, began, whole);
        let entries = slots.into_iter().map(|(address, slot)| (address, slot.entry)).collect();
        // Of the rest of the tenant this says nothing, so the position is the first.
        Ok(Reading { entries, scope: Scope::Service(service.clone()), position: Position::default() })
    }

    /// The hinted addresses, and the members of all Applies that this hub has
    /// learned of since the caller's last reading.
    pub(super) async fn read_again(
        &self,
        tenant: &TenantId,
        since: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError> {
        let began = self.ledger.now();
        let missed = self.ledger.between(tenant, since.0, began);
        let members = missed.iter().flat_map(|apply| apply.members.iter().map(|(address, _)| address));
        let addresses: BTreeSet<_> = hinted.iter().chain(members).cloned().collect();
        let addresses: Vec<_> = addresses.into_iter().collect();
        let mut slots = self.slots_at(tenant, &addresses).await?;
        let known = |id: &str| self.ledger.get(tenant, id).is_some_and(|(number, _)| number <= began);
        // The caller may hold what was before for as long as the last reading of
        // everything is old, and not only for as long as a reading takes.
        let whole = self.make_whole(tenant, &mut slots, known, KEPT).await?;
        let position = Position(self.ledger.learn(tenant, began, whole));
        let entries = slots.into_iter().map(|(address, slot)| (address, slot.entry)).collect();
        Ok(Reading { entries, scope: Scope::Listed, position })
    }

    /// What is at each address, in their order.
    pub(super) async fn read_each(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        let distinct: BTreeSet<_> = addresses.iter().cloned().collect();
        let slots = self.slots_at(tenant, &distinct.into_iter().collect::<Vec<_>>()).await?;
        let entry = |address| slots.get(address).and_then(|slot: &Slot| slot.entry.as_deref().cloned());
        Ok(addresses.iter().map(entry).collect())
    }

    /// The rows of the tenant's shared entries, or of those of one service.
    async fn partition(
        &self,
        tenant: &TenantId,
        service: Option<&ServiceName>,
        urgency: Urgency,
    ) -> Result<Slots, BackendError> {
        let pk = naming::partition(tenant, service);
        let range = Range::starting_with(&pk, naming::CONFIG);
        let (mut slots, mut from) = (Slots::new(), None);
        let mut tally = Tally::new(KIND, tenant, &self.limits);
        loop {
            let (items, next) = self.table.page(&range, from, urgency).await?;
            let mut page = Slots::with_capacity(items.len());
            self.take_in(tenant, service, items, &mut page).await?;
            tally.add(entries(&page))?;
            slots.extend(page);
            from = next;
            if from.is_none() {
                return Ok(slots);
            }
        }
    }

    pub(super) async fn listed_services(
        &self,
        tenant: &TenantId,
        urgency: Urgency,
    ) -> Result<BTreeSet<ServiceName>, BackendError> {
        let pk = naming::partition(tenant, None);
        let range = Range::starting_with(&pk, SERVICE_ROW);
        let (mut listed, mut from) = (BTreeSet::new(), None);
        loop {
            let (items, next) = self.table.page(&range, from, urgency).await?;
            for item in items {
                let sk = text_of(&item, SK).unwrap_or_default();
                if let Some(service) = services::parse(sk) {
                    listed.insert(service);
                } else {
                    self.oddities.note(&pk, sk, "it lists a service whose name is none, and is left out");
                }
            }
            // A few more than are written may be there, by hand or by hubs at the same
            // time; not any number.
            if listed.len() > SERVICES * TOO_LARGE {
                return Err(damaged(format!(
                    "the tenant `{tenant}` lists more than {TOO_LARGE} times the {SERVICES} services that it \
                     may have: delete the rows `{SERVICE_ROW}…` of those that it has no more"
                )));
            }
            from = next;
            if from.is_none() {
                self.listed.are(tenant, &listed);
                return Ok(listed);
            }
        }
    }

    /// A reading goes on without it: whoever follows the service is shown it.
    async fn list_service_if_possible(&self, tenant: &TenantId, service: &ServiceName) {
        match self.list_services(tenant, [service]).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                %tenant, %service, most = SERVICES,
                "the service, whose rows were written by hand, is not listed: the tenant has too many"
            ),
            Err(error) => {
                tracing::warn!(%tenant, %service, %error, "cannot list the service, whose rows were written by hand");
            }
        }
    }

    /// What is at these addresses, each listed once.
    pub(super) async fn slots_at(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Slots, BackendError> {
        let mut reads = Vec::new();
        for addresses in addresses.chunks(BATCH_KEYS) {
            reads.push(async move {
                let items = self.table.batch(&places(tenant, addresses), Fields::Read).await?;
                self.slots_of(tenant, addresses, items).await
            });
        }
        let slots = stream::iter(reads).buffer_unordered(AT_A_TIME).try_concat().await?;
        self.list_found_services(tenant, &slots).await;
        Ok(slots)
    }

    /// Lists services whose rows somebody has written by hand, so that the next
    /// reading of everything finds them too.
    async fn list_found_services(&self, tenant: &TenantId, slots: &Slots) {
        let found = slots.iter().filter(|(_, slot)| slot.entry.is_some());
        let services: BTreeSet<_> = found.filter_map(|(address, _)| address.service.as_ref()).collect();
        for service in services {
            if !self.listed.has(tenant, service) {
                self.list_service_if_possible(tenant, service).await;
            }
        }
    }

    /// As [`Self::slots_at`], once no transaction is under way on them.
    pub(super) async fn isolated_slots(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Slots, BackendError> {
        let items = self.table.isolated(&places(tenant, addresses), Fields::Read).await?;
        self.slots_of(tenant, addresses, items).await
    }

    async fn slots_of(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
        items: Vec<Item>,
    ) -> Result<Slots, BackendError> {
        let mut slots: Slots = addresses.iter().map(|address| (address.clone(), Slot::default())).collect();
        let mut by_service: HashMap<Option<ServiceName>, Vec<Item>> = HashMap::new();
        for item in items {
            // Only what was asked for is answered, so this is always a place of ours.
            if let Some((_, service)) = text_of(&item, PK).and_then(naming::parse_partition) {
                by_service.entry(service).or_default().push(item);
            }
        }
        for (service, items) in by_service {
            self.take_in(tenant, service.as_ref(), items, &mut slots).await?;
        }
        Ok(slots)
    }

    /// Takes in rows of one partition. Those that have no value where it should be
    /// are fetched once more, as a whole.
    async fn take_in(
        &self,
        tenant: &TenantId,
        service: Option<&ServiceName>,
        items: Vec<Item>,
        slots: &mut Slots,
    ) -> Result<(), BackendError> {
        let pk = naming::partition(tenant, service);
        let (valueless, items): (Vec<_>, Vec<_>) = items.into_iter().partition(row::needs_all);
        let valueless = valueless.iter().filter_map(|item| Some((pk.clone(), text_of(item, SK)?.to_owned())));
        let valueless = self.table.batch(&valueless.collect::<Vec<_>>(), Fields::All).await?;
        for item in items.iter().chain(&valueless) {
            let sk = text_of(item, SK).unwrap_or_default();
            let Some(key) = naming::parse_sort_key(sk) else {
                self.oddities.note(&pk, sk, "its key is outside the alphabet of keys, and it is left out");
                continue;
            };
            let address = Address { service: service.cloned(), key };
            slots.insert(address.clone(), self.slot(&pk, sk, &address, item));
        }
        Ok(())
    }

    fn slot(&self, pk: &str, sk: &str, address: &Address, item: &Item) -> Slot {
        let found = row::parse(item);
        let mut remarks = found.remarks;
        let mut unfit = found.unfit;
        if unfit.is_none() && !self.owns(&address.key) {
            unfit = Some("the settings give keys like this to another backend".to_owned());
        }
        if let Some(reason) = &unfit {
            remarks.push(format!("it is left out, since {reason}"));
        }
        if remarks.is_empty() {
            self.oddities.fine(pk, sk);
        } else {
            self.oddities.note(pk, sk, &remarks.join("; "));
        }
        let (version, mark) = (found.row.version, found.row.mark.clone());
        let entry = if unfit.is_some() { None } else { found.row.into_entry(address).map(Arc::new) };
        Slot { entry, version, mark }
    }
}

fn entries(slots: &Slots) -> impl Iterator<Item = &Entry> {
    slots.values().filter_map(|slot| slot.entry.as_deref())
}

fn places(tenant: &TenantId, addresses: &[Address]) -> Vec<Place> {
    addresses.iter().map(|address| super::place_of(tenant, address)).collect()
}
