//! A store in memory that is slow, fails and answers from before as a test wants.

use super::shared;
use crate::backend::{
    Backend, BackendError, Cause, Change, Nature, Position, Reading, Revision, Scope, Urgency, WriteError,
};
use crate::source::Address;
use async_trait::async_trait;
use bytes::Bytes;
use confhub_proto::{Content, Entry, ServiceName, TenantId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

pub(super) const CONSISTENT: Nature =
    Nature { consistent: true, metered: true, lists_services: false, announces: false, apply_changes: 100 };
pub(super) const EVENTUAL: Nature =
    Nature { consistent: false, metered: true, lists_services: true, announces: false, apply_changes: 1 };

pub(super) struct Store {
    nature: Nature,
    pub(super) told: Mutex<Told>,
}

/// What a test has told it.
#[derive(Default)]
pub(super) struct Told {
    entries: BTreeMap<Address, Arc<Entry>>,
    pub(super) failing: bool,
    /// How long a reading of everything takes, after what it returns was read.
    pub(super) wide: Duration,
    /// How long a reading of a few keys takes, likewise.
    pub(super) listed: Duration,
    /// Answers from these entries as long as they are there.
    stale: Option<BTreeMap<Address, Arc<Entry>>>,
    pub(super) reads: Reads,
}

/// How often it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) loads: usize,
    pub(super) sweeps: usize,
    pub(super) services: usize,
    pub(super) hints: usize,
    pub(super) gets: usize,
}

impl Store {
    pub(super) fn new(nature: Nature) -> Arc<Self> {
        Arc::new(Self { nature, told: Mutex::default() })
    }

    pub(super) fn put(&self, key: &str, value: &str, version: u64) {
        self.put_at(shared(key), value, version, SystemTime::UNIX_EPOCH + Duration::from_secs(version));
    }

    pub(super) fn put_at(&self, address: Address, value: &str, version: u64, modified: SystemTime) {
        let content = Content::new(value.to_owned().into(), Content::TEXT, false, usize::MAX).unwrap();
        let Address { service, key } = address.clone();
        let entry = Entry::new(key, service, content, version, modified);
        self.told.lock().unwrap().entries.insert(address, Arc::new(entry));
    }

    pub(super) fn delete(&self, key: &str) {
        self.told.lock().unwrap().entries.remove(&shared(key)).unwrap();
    }

    /// Answers as of now until [`Store::thaw`].
    pub(super) fn freeze(&self) {
        let mut told = self.told.lock().unwrap();
        told.stale = Some(told.entries.clone());
    }

    /// The same as if it had never heard of a key.
    pub(super) fn freeze_without(&self, key: &str) {
        self.freeze();
        self.tell(|told| {
            if let Some(stale) = &mut told.stale {
                stale.remove(&shared(key));
            }
        });
    }

    pub(super) fn thaw(&self) {
        self.told.lock().unwrap().stale = None;
    }

    pub(super) fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock().unwrap());
    }

    pub(super) fn reads(&self) -> Reads {
        self.told.lock().unwrap().reads
    }

    async fn answer(
        &self,
        wide: bool,
        count: impl FnOnce(&mut Reads),
    ) -> Result<BTreeMap<Address, Arc<Entry>>, BackendError> {
        let (entries, failing, time) = {
            let mut told = self.told.lock().unwrap();
            count(&mut told.reads);
            let entries = told.stale.as_ref().unwrap_or(&told.entries).clone();
            (entries, told.failing, if wide { told.wide } else { told.listed })
        };
        sleep(time).await;
        match failing {
            true => {
                Err(BackendError::Unavailable { kind: "store", cause: Cause::Timeout, reason: "told".into() })
            }
            false => Ok(entries),
        }
    }
}

fn reading(entries: impl IntoIterator<Item = (Address, Option<Arc<Entry>>)>, scope: Scope) -> Reading {
    Reading { entries: entries.into_iter().collect(), scope, position: Position::default() }
}

#[async_trait]
impl Backend for Store {
    fn kind(&self) -> &'static str {
        "store"
    }

    fn nature(&self) -> Nature {
        self.nature
    }

    async fn load(
        &self,
        _: &TenantId,
        services: &[ServiceName],
        urgency: Urgency,
    ) -> Result<Reading, BackendError> {
        let entries = self
            .answer(true, |reads| match urgency {
                Urgency::Demand => reads.loads += 1,
                Urgency::Sweep => reads.sweeps += 1,
            })
            .await?;
        let listed = |address: &Address| {
            self.nature.lists_services || address.service.as_ref().is_none_or(|one| services.contains(one))
        };
        let entries = entries.into_iter().filter(|(address, _)| listed(address));
        Ok(reading(entries.map(|(address, entry)| (address, Some(entry))), Scope::All))
    }

    async fn load_service(&self, _: &TenantId, service: &ServiceName) -> Result<Reading, BackendError> {
        let entries = self.answer(true, |reads| reads.services += 1).await?;
        let own = entries.into_iter().filter(|(address, _)| address.service.as_ref() == Some(service));
        Ok(reading(own.map(|(address, entry)| (address, Some(entry))), Scope::Service(service.clone())))
    }

    async fn refresh(&self, _: &TenantId, _: Position, hinted: &[Address]) -> Result<Reading, BackendError> {
        let entries = self.answer(false, |reads| reads.hints += 1).await?;
        let at = |address: &Address| (address.clone(), entries.get(address).cloned());
        Ok(reading(hinted.iter().map(at), Scope::Listed))
    }

    async fn read(&self, _: &TenantId, addresses: &[Address]) -> Result<Vec<Option<Entry>>, BackendError> {
        let entries = self.answer(false, |reads| reads.gets += 1).await?;
        Ok(addresses.iter().map(|address| entries.get(address).map(|entry| Entry::clone(entry))).collect())
    }

    async fn reveal(&self, _: &TenantId, _: &Address) -> Result<Option<(Entry, Bytes)>, BackendError> {
        Ok(None)
    }

    async fn apply(&self, _: &TenantId, _: &str, _: Vec<Change>) -> Result<Vec<u64>, WriteError> {
        Ok(Vec::new())
    }

    async fn history(
        &self,
        _: &TenantId,
        _: &Address,
        _: u64,
        _: usize,
    ) -> Result<Vec<Revision>, BackendError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<(), BackendError> {
        Ok(())
    }

    async fn close(&self) {}
}
