//! Making a reading whole: what the Applies that it shows have written is in it.

use super::Dynamo;
use super::applies::{self, Apply, Slots};
use super::item::{Fields, SK, text_of};
use super::table::Place;
use crate::aws::naming;
use crate::backend::{BackendError, Cause};
use confhub_proto::TenantId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Times that a reading is completed with members of Applies that it has met. Each
/// can only meet Applies made since the one before, a round trip ago.
const ROUNDS: usize = 8;

/// Of these, the first ones that read what is lacking the plain way, at half the
/// price of an isolated read. What is lacking still is being written just now, or
/// somebody has set versions back by hand.
const PLAIN_ROUNDS: usize = 2;

impl Dynamo {
    /// Reads what is lacking until every Apply that the reading shows is in it as
    /// a whole, and returns those that are now and are not `known` to be. Only
    /// those younger than `age` are looked at.
    pub(super) async fn make_whole(
        &self,
        tenant: &TenantId,
        slots: &mut Slots,
        known: impl Fn(&str) -> bool,
        age: Duration,
    ) -> Result<Vec<(Arc<str>, Arc<Apply>)>, BackendError> {
        let now = (self.clock)();
        let mut whole: HashMap<Arc<str>, Arc<Apply>> = HashMap::new();
        // Those of which nothing more can be found out.
        let mut given_up: HashSet<Arc<str>> = HashSet::new();
        for round in 0..ROUNDS {
            let mut partial = Vec::new();
            for (mark, members) in applies::met(slots) {
                let done = whole.contains_key(&mark.id) || given_up.contains(&mark.id);
                if done || known(&mark.id) || !applies::is_younger(&mark.id, age, now) {
                    continue;
                }
                if members.len() >= mark.size {
                    whole.insert(mark.id, Arc::new(Apply { members }));
                } else {
                    partial.push(mark.id);
                }
            }
            let found = self.applies(tenant, &partial).await?;
            given_up.extend(partial.into_iter().filter(|id| !found.contains_key(id)));
            let lacking: BTreeSet<_> =
                found.values().flat_map(|apply| apply.lacking(slots)).cloned().collect();
            if lacking.is_empty() {
                whole.extend(found);
                return Ok(whole.into_iter().collect());
            }
            if round < PLAIN_ROUNDS {
                let lacking: Vec<_> = lacking.into_iter().collect();
                slots.extend(self.slots_at(tenant, &lacking).await?);
                continue;
            }
            for (id, apply) in found {
                let members: Vec<_> = apply.members.iter().map(|(address, _)| address.clone()).collect();
                slots.extend(self.isolated_slots(tenant, &members).await?);
                whole.insert(id, apply);
            }
        }
        let reason = "writes of several keys follow one another too fast to be read whole";
        Err(self.table.failed(Cause::Failed, reason))
    }

    /// The Applies with these ids, as remembered or as their rows say.
    async fn applies(
        &self,
        tenant: &TenantId,
        ids: &[Arc<str>],
    ) -> Result<HashMap<Arc<str>, Arc<Apply>>, BackendError> {
        let mut found = HashMap::new();
        let mut unknown: HashMap<String, Arc<str>> = HashMap::new();
        for id in ids {
            match self.ledger.get(tenant, id) {
                Some((_, apply)) => {
                    found.insert(Arc::clone(id), apply);
                }
                None => {
                    unknown.insert(applies::sort_key(id), Arc::clone(id));
                }
            }
        }
        let pk = naming::partition(tenant, None);
        let places: Vec<Place> = unknown.keys().map(|sk| (pk.clone(), sk.clone())).collect();
        for item in self.table.batch(&places, Fields::All).await? {
            let id = text_of(&item, SK).and_then(|sk| unknown.remove(sk));
            if let (Some(id), Some(apply)) = (id, Apply::parse(&item)) {
                found.insert(id, Arc::new(apply));
            }
        }
        for id in ids.iter().filter(|id| !found.contains_key(*id)) {
            self.oddities.note(&pk, &applies::sort_key(id), "rows name this Apply, and it lists nothing");
        }
        Ok(found)
    }
}
