//! Owners on simulated time, with a store that answers as a test wants.

mod reading;
mod spending;
mod store;

use super::{FollowError, Listener, Tenants, View};
use crate::backend::{Backend, Router};
use crate::clock::system_clock;
use crate::config::{LimitSettings, TimeSettings};
use crate::fanout::Next;
use crate::metrics::{DriftCause, Metrics};
use crate::source::{Address, Applied, Hint, Sink as _};
use confhub_proto::{Key, Prefix, ServiceName, TenantId};
use std::sync::Arc;
use std::time::Duration;
use store::Store;

/// A hub's tenants on such stores, each with keys of its own prefix.
struct World {
    tenants: Tenants,
    metrics: Arc<Metrics>,
}

impl World {
    fn new(stores: &[(&str, &Arc<Store>)]) -> Self {
        let metrics = Arc::new(Metrics::new("test"));
        let table = stores.iter().map(|(prefix, store)| {
            let backend: Arc<dyn Backend> = Arc::<Store>::clone(store);
            (Prefix::new(prefix).unwrap(), backend)
        });
        let tenants = Tenants::new(
            Router::new(table.collect()),
            LimitSettings::default(),
            TimeSettings::default(),
            system_clock(),
            Arc::clone(&metrics),
            Box::new(|_, _| DriftCause::HintLost),
        );
        Self { tenants, metrics }
    }

    async fn follow(&self, service: Option<&str>) -> Result<Listener, FollowError> {
        let service = service.map(|name| ServiceName::new(name).unwrap());
        self.tenants.follow(&tenant(), View::new(service, Vec::new()), None).await
    }

    fn hint(&self, key: &str) -> Applied {
        self.tenants.hint(Hint { tenant: tenant(), addresses: vec![shared(key)] })
    }

    /// What is in memory of a key.
    async fn value(&self, key: &str) -> Option<String> {
        let loaded = self.tenants.shared.loaded.get(&tenant()).map(|tenant| Arc::clone(&tenant)).unwrap();
        let inner = loaded.lock();
        let entry = inner.entries.get(&shared(key))?;
        Some(String::from_utf8(entry.value().to_vec()).unwrap())
    }

    /// Entries that a reading found changed without a hint.
    fn drift(&self) -> u64 {
        let text = self.metrics.text();
        let lines = text.lines().filter(|line| line.starts_with("confhub_drift_entries_total"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn shared(key: &str) -> Address {
    Address { service: None, key: Key::new(key).unwrap() }
}

/// Lets everything happen that can happen within a time.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Frames that a listener has been given and not taken.
fn frames(listener: &mut Listener) -> usize {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut count = 0;
    while let std::task::Poll::Ready(Next::Frame(_)) = listener.subscriber.poll_next(&mut context) {
        count += 1;
    }
    count
}
