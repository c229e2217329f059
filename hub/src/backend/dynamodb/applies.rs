//! Writes of several keys: seen whole or not at all.
//!
//! Neither a query nor a batch of reads is isolated against transactions: it may
//! see some rows of one as they are after it, and others as they were before. So
//! each row says which Apply wrote it and how large that was, and a row of the
//! Apply itself, written ahead of it, lists its members and the versions that
//! they have in it. A reading that shows an Apply in part reads the members that
//! it has in an older version, or not at all, and so becomes whole.

use super::item::{EXPIRES, Item, MEMBERS, number, place};
use super::row::{Mark, epoch_seconds};
use crate::source::Address;
use aws_sdk_dynamodb::types::AttributeValue;
use confhub_proto::{Entry, Key, ServiceName, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Start of the sort key of an Apply's row.
const APPLY_ROW: &str = "APPLY#";

/// How long the row of an Apply is kept. It is of use for as long as a hub may
/// hold what was before: until the next sweep.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Age of an Apply from which on a reading of all rows shows it whole. The
/// transaction itself takes less than a minute from the moment that its id tells;
/// the rest is for clocks that differ.
pub(super) const SETTLED: Duration = Duration::from_secs(600);

/// Members of all Applies that the hub remembers, and the Applies themselves: some 100 bytes each. What is
/// forgotten is read again from its row.
const REMEMBERED_MEMBERS: usize = 32_768;

/// An Apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Apply {
    /// What it wrote, and the version of each.
    pub(super) members: Vec<(Address, u64)>,
}

/// What a reading has seen of one row.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The entry, if it is one.
    pub(super) entry: Option<Arc<Entry>>,
    /// The version of the row, tombstones included; 0: there is none.
    pub(super) version: u64,
    /// The Apply that wrote it.
    pub(super) mark: Option<Mark>,
}

/// What a reading has seen so far.
pub(super) type Slots = HashMap<Address, Slot>;

/// A new id, which begins with its time and sorts by it.
pub(super) fn new_id(now: SystemTime) -> Arc<str> {
    let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{millis:013}-{:016x}", fastrand::u64(..)).into()
}

/// Whether an Apply is younger than `age`. One from a clock ahead of ours is; an
/// id that tells no time is none of ours.
pub(super) fn is_younger(id: &str, age: Duration, now: SystemTime) -> bool {
    let made = id.split_once('-').and_then(|(millis, _)| millis.parse().ok());
    let made = made.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
    made.is_some_and(|made| now.duration_since(made).is_ok_and(|passed| passed < age) || made > now)
}

/// Sort key of the row of an Apply.
pub(super) fn sort_key(id: &str) -> String {
    format!("{APPLY_ROW}{id}")
}

impl Apply {
    /// Its row, in the tenant's partition.
    pub(super) fn to_item(&self, pk: &str, id: &str, now: SystemTime) -> Item {
        let members = self.members.iter().map(|(address, version)| {
            let service = address.service.as_ref().map_or("", ServiceName::as_str);
            AttributeValue::S(format!("{service}/{}#{version}", address.key))
        });
        let mut item = place(pk, &sort_key(id));
        item.insert(MEMBERS.to_owned(), AttributeValue::L(members.collect()));
        item.insert(EXPIRES.to_owned(), number(epoch_seconds(now + KEPT)));
        item
    }

    /// Reads its row. `None`: no hub has written it so.
    pub(super) fn parse(item: &Item) -> Option<Self> {
        let members = item.get(MEMBERS)?.as_l().ok()?;
        let member = |member: &AttributeValue| {
            let (service, rest) = member.as_s().ok()?.split_once('/')?;
            let (key, version) = rest.split_once('#')?;
            let service = if service.is_empty() { None } else { Some(ServiceName::new(service).ok()?) };
            Some((Address { service, key: Key::new(key).ok()? }, version.parse().ok()?))
        };
        Some(Self { members: members.iter().map(member).collect::<Option<_>>()? })
    }

    /// What it counts for in the ledger: one without members takes room as well.
    fn weight(&self) -> usize {
        self.members.len() + 1
    }

    /// Its members that a reading has in an older version, or not at all.
    pub(super) fn lacking<'a>(&'a self, slots: &'a Slots) -> impl Iterator<Item = &'a Address> {
        let seen = |address| slots.get(address).map_or(0, |slot| slot.version);
        self.members.iter().filter(move |(address, version)| seen(address) < *version).map(|(a, _)| a)
    }
}

/// The Applies that a reading has met: their rows in it, by id.
pub(super) fn met(slots: &Slots) -> HashMap<Mark, Vec<(Address, u64)>> {
    let mut met: HashMap<Mark, Vec<_>> = HashMap::new();
    for (address, slot) in slots {
        if let Some(mark) = &slot.mark {
            met.entry(mark.clone()).or_default().push((address.clone(), slot.version));
        }
    }
    met
}

/// The Applies that this hub has made or met, in the order in which it learned of
/// them: each is in the table as a whole from then on.
///
/// A position of this backend is a place in that order. Whoever holds a reading
/// with a position has every Apply up to there as a whole, and [`Ledger::between`]
/// tells what must be read with the next one for that to stay so.
#[derive(Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The last number given.
    last: u64,
    tenants: HashMap<TenantId, OfTenant>,
    /// Whose Apply has which number, oldest first.
    order: VecDeque<(TenantId, u64)>,
    members: usize,
}

#[derive(Default)]
struct OfTenant {
    by_number: BTreeMap<u64, (Arc<str>, Arc<Apply>)>,
    numbers: HashMap<Arc<str>, u64>,
}

impl Ledger {
    /// The end of the order now.
    pub(super) fn now(&self) -> u64 {
        self.lock().last
    }

    /// An Apply, and its number.
    pub(super) fn get(&self, tenant: &TenantId, id: &str) -> Option<(u64, Arc<Apply>)> {
        let inner = self.lock();
        let of_tenant = inner.tenants.get(tenant)?;
        let number = of_tenant.numbers.get(id)?;
        Some((*number, Arc::clone(&of_tenant.by_number.get(number)?.1)))
    }

    /// The tenant's Applies after one number, up to another.
    pub(super) fn between(&self, tenant: &TenantId, after: u64, until: u64) -> Vec<Arc<Apply>> {
        let inner = self.lock();
        let Some(of_tenant) = inner.tenants.get(tenant).filter(|_| after < until) else { return Vec::new() };
        of_tenant.by_number.range(after + 1..=until).map(|(_, (_, apply))| Arc::clone(apply)).collect()
    }

    /// Takes note of Applies that a reading which began at `began` shows as a
    /// whole, or that were just made, and returns the position of that reading: if
    /// others were learned of meanwhile that it may not show, the one of its beginning.
    pub(super) fn learn(&self, tenant: &TenantId, began: u64, applies: Vec<(Arc<str>, Arc<Apply>)>) -> u64 {
        let mut inner = self.lock();
        let shown: HashSet<&Arc<str>> = applies.iter().map(|(id, _)| id).collect();
        let since = inner.tenants.get(tenant).map(|of_tenant| of_tenant.by_number.range(began + 1..));
        let unseen = since.is_some_and(|mut since| since.any(|(_, (id, _))| !shown.contains(id)));
        for (id, apply) in applies {
            inner.add(tenant, id, apply);
        }
        if unseen { began } else { inner.last }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, tenant: &TenantId, id: Arc<str>, apply: Arc<Apply>) {
        let of_tenant = self.tenants.entry(tenant.clone()).or_default();
        if of_tenant.numbers.contains_key(&id) {
            return;
        }
        self.last += 1;
        self.members += apply.weight();
        of_tenant.numbers.insert(Arc::clone(&id), self.last);
        of_tenant.by_number.insert(self.last, (id, apply));
        self.order.push_back((tenant.clone(), self.last));
        while self.members > REMEMBERED_MEMBERS {
            let Some((tenant, number)) = self.order.pop_front() else { return };
            self.forget(&tenant, number);
        }
    }

    fn forget(&mut self, tenant: &TenantId, number: u64) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        if let Some((id, apply)) = of_tenant.by_number.remove(&number) {
            of_tenant.numbers.remove(&id);
            self.members -= apply.weight();
        }
        if of_tenant.by_number.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(service: Option<&str>, key: &str) -> Address {
        Address { service: service.map(|name| ServiceName::new(name).unwrap()), key: Key::new(key).unwrap() }
    }

    fn apply(keys: &[&str]) -> Arc<Apply> {
        Arc::new(Apply { members: keys.iter().map(|key| (at(None, key), 2)).collect() })
    }

    #[test]
    fn an_apply_is_read_as_it_was_written() {
        let apply = Apply { members: vec![(at(None, "a"), 1), (at(Some("cart"), "a"), u64::MAX)] };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let id = new_id(now);
        let item = apply.to_item("TENANT#a", &id, now);
        assert_eq!(Apply::parse(&item), Some(apply));
        assert_eq!(Apply::parse(&place("a", "b")), None);
    }

    #[test]
    fn ids_tell_their_age_and_sort_by_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (old, new) = (new_id(now - SETTLED), new_id(now));
        assert!(old < new);
        assert!(is_younger(&new, SETTLED, now) && !is_younger(&old, SETTLED, now));
        assert!(is_younger(&new, SETTLED, now - SETTLED), "from a clock ahead");
        for foreign in ["", "x", "x-1", "99999999999999999999999-1"] {
            assert!(!is_younger(foreign, SETTLED, now), "{foreign}");
        }
    }

    #[test]
    fn what_a_reading_lacks_is_what_it_has_older_or_not_at_all() {
        let mark = Some(Mark { id: "1-a".into(), size: 4 });
        let slot = |version, mark: &Option<Mark>| Slot { entry: None, version, mark: mark.clone() };
        let slots = Slots::from([
            (at(None, "written"), slot(2, &mark)),
            (at(None, "older"), slot(1, &None)),
            (at(None, "overwritten"), slot(3, &None)),
        ]);
        let apply = apply(&["written", "older", "overwritten", "unread"]);
        let lacking: Vec<_> = apply.lacking(&slots).map(|address| address.key.as_str()).collect();
        assert_eq!(lacking, ["older", "unread"]);
        assert_eq!(met(&slots).values().map(Vec::len).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_position_is_never_ahead_of_what_its_reading_shows() {
        let (ledger, tenant) = (Ledger::default(), TenantId::new("acme").unwrap());
        let other = TenantId::new("other").unwrap();
        let began = ledger.now();
        assert_eq!(ledger.learn(&tenant, began, vec![("1".into(), apply(&["a"]))]), 1);
        // A reading that began before, and has not met it.
        assert_eq!(ledger.learn(&tenant, began, Vec::new()), 0);
        // One that has met it, and another.
        let met = vec![("1".into(), apply(&["a"])), ("2".into(), apply(&["b", "c"]))];
        assert_eq!(ledger.learn(&tenant, began, met), 2);
        // Those of other tenants do not count.
        assert_eq!(ledger.learn(&other, 0, Vec::new()), 2);
        assert_eq!(ledger.between(&tenant, 0, 2).len(), 2);
        assert_eq!(ledger.between(&tenant, 1, 2), [apply(&["b", "c"])]);
        assert!(ledger.between(&tenant, 2, 2).is_empty() && ledger.between(&other, 0, 2).is_empty());
        assert_eq!(ledger.get(&tenant, "2").unwrap().0, 2);
    }

    #[test]
    fn the_ledger_is_bounded() {
        let (ledger, tenant) = (Ledger::default(), TenantId::new("acme").unwrap());
        let hundred: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
        let hundred = apply(&hundred.iter().map(String::as_str).collect::<Vec<_>>());
        for n in 0..1_000 {
            ledger.learn(&tenant, ledger.now(), vec![(n.to_string().into(), Arc::clone(&hundred))]);
        }
        assert_eq!(ledger.between(&tenant, 0, 1_000).len(), REMEMBERED_MEMBERS / 101);
        assert!(ledger.get(&tenant, "0").is_none() && ledger.get(&tenant, "999").is_some());
        // By those too that somebody has made without members.
        for n in 1_000..40_000 {
            ledger.learn(&tenant, ledger.now(), vec![(n.to_string().into(), apply(&[]))]);
        }
        assert_eq!(ledger.between(&tenant, 0, 40_000).len(), REMEMBERED_MEMBERS);
    }
}
