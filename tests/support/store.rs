//! What is written to a hub's store by somebody who asks no hub, as others may on AWS.

use super::Hub;
use confhub::backend::embedded::{Bounds, Embedded};
use confhub::backend::{Action, Backend as _, Change};
use confhub::clock::system_clock;
use confhub::source::{Address, Feed};
use confhub_proto::{Content, Key, TenantId, limits, wire};

impl Hub {
    /// Stops the hub, writes shared entries to its store, and starts it again at the same
    /// address.
    pub async fn written_behind(self, tenant: &str, contents: Vec<(&str, wire::Content)>) -> Self {
        let address = self.addresses.grpc;
        let folder = self.stop().await;
        let bounds = Bounds { tenant_entries: 1_000, tenant_bytes: 1 << 20 };
        let store = Embedded::open(folder.path(), bounds, system_clock(), Feed::default()).unwrap();
        let changes = contents.into_iter().map(|(key, content)| {
            let wire::Content { value, content_type, secret } = content;
            let content = Content::new(value, &content_type, secret, limits::VALUE_BYTES).unwrap();
            let address = Address { service: None, key: Key::new(key).unwrap() };
            Change { address, action: Action::Put(content), expected: None }
        });
        let tenant = TenantId::new(tenant).unwrap();
        store.apply(&tenant, "somebody", changes.collect()).await.unwrap();
        store.close().await;
        drop(store);
        Self::start_on(folder, |settings| settings.listen = address).await
    }
}
