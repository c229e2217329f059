//! The records, ready to be asked by every call.

use super::record::{Place, Revocation, Scope, TenantRecord, TenantState, Which};
use crate::auth::Identity;
use confhub_proto::{Entry, Key, State, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

/// What is decided of tenants of which the records say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether they are served.
    pub admit_unknown: bool,
    /// The operators' own tenant, which is always known.
    pub operators: Option<TenantId>,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Its token is revoked.
    Revoked,
    /// Its tenant is suspended.
    Suspended,
    /// Its tenant is unknown, and unknown ones are not served.
    Unknown,
    /// The records could not be read yet.
    NotReady,
}

/// All records at one moment. Cloning shares what does not change.
#[derive(Debug, Clone)]
pub struct Table {
    policy: Policy,
    tenants: imbl::HashMap<TenantId, Arc<Rules>>,
    all_tenants: Arc<Rules>,
}

/// What concerns one tenant, or all of them.
#[derive(Debug, Default)]
struct Rules {
    state: Option<TenantState>,
    all: Option<Revocation>,
    subjects: HashMap<String, Revocation>,
    tokens: HashMap<String, Revocation>,
}

impl Rules {
    fn revoke(&self, identity: &Identity) -> bool {
        let covers = |found: Option<&Revocation>| found.is_some_and(|found| found.covers(identity.issued));
        covers(self.all.as_ref())
            || covers(self.subjects.get(&*identity.subject))
            || covers(identity.token_id.as_ref().and_then(|id| self.tokens.get(&**id)))
    }
}

impl Table {
    /// Whether `identity` is let in.
    ///
    /// # Errors
    /// Why not. The tenant comes first: what a token of a suspended tenant says is
    /// of no interest.
    pub fn check(&self, identity: &Identity) -> Result<(), Refused> {
        let rules = self.tenants.get(&identity.tenant);
        let operators = self.policy.operators.as_ref() == Some(&identity.tenant);
        match rules.and_then(|rules| rules.state) {
            Some(TenantState::Suspended) if !operators => return Err(Refused::Suspended),
            None if !operators && !self.policy.admit_unknown => return Err(Refused::Unknown),
            _ => {}
        }
        if self.all_tenants.revoke(identity) || rules.is_some_and(|rules| rules.revoke(identity)) {
            return Err(Refused::Revoked);
        }
        Ok(())
    }
}

/// Makes tables of the states that it is shown, touching only what changed.
pub(super) struct Records {
    seen: State,
    by_scope: HashMap<Scope, BTreeMap<Key, Record>>,
    table: Table,
}

/// One record, with the time of its last change.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Tenant(TenantRecord, SystemTime),
    Revocation(String, Revocation, SystemTime),
}

impl Records {
    pub(super) fn new(policy: Policy) -> Self {
        let table = Table { policy, tenants: imbl::HashMap::new(), all_tenants: Arc::default() };
        Self { seen: State::default(), by_scope: HashMap::new(), table }
    }

    /// The table of `state`.
    pub(super) fn take(&mut self, state: State) -> Table {
        let mut scopes = HashSet::new();
        for key in self.seen.changed_keys(&state) {
            let Some(place) = Place::of(&key) else {
                tracing::warn!(%key, "a record of who is let in has a key that says nothing");
                continue;
            };
            let scope = place.scope();
            let records = self.by_scope.entry(scope.clone()).or_default();
            match state.get(key.as_str()).map(|entry| read(&place, entry)) {
                None => drop(records.remove(&key)),
                Some(Ok(record)) => drop(records.insert(key, record)),
                Some(Err(reason)) => malformed(&place, &key, &reason, records),
            }
            scopes.insert(scope);
        }
        for scope in scopes {
            self.compile(&scope);
        }
        self.seen = state;
        self.table.clone()
    }

    /// The version of the record at `key`, as the table has it.
    pub(super) fn version(&self, key: &Key) -> Option<u64> {
        self.seen.get(key.as_str()).map(|entry| entry.version())
    }

    /// The records of a scope, in the order of their keys.
    pub(super) fn of(&self, scope: &Scope) -> Vec<Record> {
        self.by_scope.get(scope).map(|records| records.values().cloned().collect()).unwrap_or_default()
    }

    /// Revocations of all scopes, in the order of their keys.
    pub(super) fn all(&self) -> Vec<(Scope, Record)> {
        let all = self.by_scope.iter().flat_map(|(scope, records)| {
            records.iter().map(move |(key, record)| (key, scope.clone(), record.clone()))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(key, ..)| *key);
        all.into_iter().map(|(_, scope, record)| (scope, record)).collect()
    }

    /// What was said of tenants after `after`, in the order of the alphabet.
    pub(super) fn tenants(&self, after: &str) -> Vec<(TenantId, TenantRecord, SystemTime)> {
        let mut tenants = Vec::new();
        for (scope, records) in &self.by_scope {
            let Scope::Tenant(tenant) = scope else { continue };
            for record in records.values() {
                if let Record::Tenant(record, modified) = record
                    && tenant.as_str() > after
                {
                    tenants.push((tenant.clone(), record.clone(), *modified));
                }
            }
        }
        tenants.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        tenants
    }

    fn compile(&mut self, scope: &Scope) {
        let mut rules = Rules::default();
        let records = self.by_scope.get(scope).into_iter().flat_map(BTreeMap::values);
        for record in records {
            match record {
                Record::Tenant(record, _) => rules.state = Some(record.state),
                Record::Revocation(_, revocation, _) => {
                    let revocation = revocation.clone();
                    match &revocation.which {
                        Which::All => rules.all = Some(revocation),
                        Which::Subject(subject) => {
                            drop(rules.subjects.insert(subject.clone(), revocation));
                        }
                        Which::Token(id) => drop(rules.tokens.insert(id.clone(), revocation)),
                    }
                }
            }
        }
        match scope {
            Scope::AllTenants => self.table.all_tenants = Arc::new(rules),
            Scope::Tenant(tenant) => {
                let empty = self.by_scope.get(scope).is_none_or(BTreeMap::is_empty);
                if empty {
                    self.table.tenants.remove(tenant);
                    self.by_scope.remove(scope);
                } else {
                    self.table.tenants.insert(tenant.clone(), Arc::new(rules));
                }
            }
        }
    }
}

fn read(place: &Place, entry: &Entry) -> Result<Record, String> {
    let words = |error: serde_json::Error| error.to_string();
    match place {
        Place::Tenant(_) => {
            let record = serde_json::from_slice(entry.value()).map_err(words)?;
            Ok(Record::Tenant(record, entry.modified()))
        }
        Place::Revocation(scope, id) => {
            let revocation: Revocation = serde_json::from_slice(entry.value()).map_err(words)?;
            if Revocation::id(scope, &revocation.which) != *id {
                return Err("its key is not that of what it names".to_owned());
            }
            Ok(Record::Revocation(id.clone(), revocation, entry.modified()))
        }
    }
}

/// A record that somebody wrote by hand, and wrongly. Where the key tells whom it
/// concerns, nobody is let in on a guess; otherwise what was known stays.
fn malformed(place: &Place, key: &Key, reason: &str, records: &mut BTreeMap<Key, Record>) {
    tracing::error!(%key, reason, "a record of who is let in cannot be read");
    let (reason, author) = ("its record cannot be read".to_owned(), String::new());
    match place {
        Place::Tenant(_) => {
            let record = TenantRecord { state: TenantState::Suspended, reason, author };
            records.insert(key.clone(), Record::Tenant(record, SystemTime::UNIX_EPOCH));
        }
        Place::Revocation(Scope::Tenant(_), id) if !records.contains_key(key) => {
            let all = Revocation { which: Which::All, issued_before: None, reason, author };
            records.insert(key.clone(), Record::Revocation(id.clone(), all, SystemTime::UNIX_EPOCH));
        }
        Place::Revocation(..) => {}
    }
}
