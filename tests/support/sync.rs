//! Flags, and a client of `flagd.sync.v1` that trusts nothing.

use super::{Caller, soon, text};
use confhub::backend::embedded::{Bounds, Embedded};
use confhub::backend::{Action, Backend as _, Change};
use confhub::clock::system_clock;
use confhub::source::{Address, Feed};
use confhub_flags::{FLAG_TYPE, FlagName};
use confhub_proto::flagd::flag_sync_service_client::FlagSyncServiceClient;
use confhub_proto::flagd::{FetchAllFlagsRequest, SyncFlagsRequest, SyncFlagsResponse};
use confhub_proto::{Content, Key, TenantId, wire};
use serde_json::{Value, json};
use std::path::Path;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// The key of a flag's entry.
pub fn flag_key(name: &str) -> String {
    FlagName::new(name).unwrap().key().to_string()
}

/// A boolean flag with this default variant.
pub fn toggle(default: &str) -> Value {
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": default})
}

impl Caller {
    /// Writes a shared flag.
    pub async fn put_flag(&self, name: &str, definition: &Value) {
        self.put_flag_for("", name, definition).await;
    }

    /// Writes a flag of a service.
    pub async fn put_flag_for(&self, service: &str, name: &str, definition: &Value) {
        let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&definition.to_string()) };
        let request = wire::PutRequest {
            key: flag_key(name),
            service: service.to_owned(),
            content: Some(content),
            expected_version: None,
        };
        self.admin.clone().put(self.request(request)).await.unwrap();
    }
}

/// Writes an entry into the store of a hub that does not run, as somebody would who asks
/// no hub whether it is good.
pub async fn put_past_the_hub(folder: &Path, tenant: &str, key: &str, value: &str) {
    let folder = folder.to_owned();
    let bounds = Bounds { tenant_entries: 1_000, tenant_bytes: 64 * 1024 * 1024 };
    let open = move || Embedded::open(&folder, bounds, system_clock(), Feed::default());
    let store = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    let content = Content::new(value.to_owned().into(), FLAG_TYPE, false, usize::MAX).unwrap();
    let address = Address { service: None, key: Key::new(key).unwrap() };
    let change = Change { address, action: Action::Put(content), expected: None };
    store.apply(&TenantId::new(tenant).unwrap(), "somebody", vec![change]).await.unwrap();
    store.close().await;
}

/// A provider's end of a stream.
pub struct SyncStream(Streaming<SyncFlagsResponse>);

/// One who may follow flags: a channel, and a token if there is one.
pub struct Syncer {
    client: FlagSyncServiceClient<Channel>,
    token: Option<String>,
}

impl Syncer {
    pub fn new(channel: Channel, token: Option<&str>) -> Self {
        Self { client: FlagSyncServiceClient::new(channel), token: token.map(str::to_owned) }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    /// Opens a stream.
    pub async fn sync(&self, selector: &str) -> Result<SyncStream, Status> {
        let asked = SyncFlagsRequest { provider_id: "test".to_owned(), selector: selector.to_owned() };
        let answer = soon("a stream", self.client.clone().sync_flags(self.request(asked))).await?;
        Ok(SyncStream(answer.into_inner()))
    }

    /// Opens a stream with a selector in the metadata too.
    pub async fn sync_by(&self, metadata: &str, selector: &str) -> Result<SyncStream, Status> {
        let asked = SyncFlagsRequest { provider_id: String::new(), selector: selector.to_owned() };
        let mut request = self.request(asked);
        request.metadata_mut().insert("flagd-selector", metadata.parse().unwrap());
        Ok(SyncStream(soon("a stream", self.client.clone().sync_flags(request)).await?.into_inner()))
    }

    /// Reads all flags at one moment.
    pub async fn fetch(&self, selector: &str) -> Result<Value, Status> {
        let asked = FetchAllFlagsRequest { selector: selector.to_owned(), ..Default::default() };
        let answer = soon("all flags", self.client.clone().fetch_all_flags(self.request(asked))).await?;
        Ok(serde_json::from_str(&answer.into_inner().flag_configuration).unwrap())
    }

    /// Asks for what is deprecated.
    pub async fn metadata(&self) -> Status {
        let asked = self.request(confhub_proto::flagd::GetMetadataRequest {});
        soon("an answer", self.client.clone().get_metadata(asked)).await.unwrap_err()
    }
}

impl SyncStream {
    /// The next document, or the end.
    pub async fn next(&mut self) -> Result<Value, Status> {
        match soon("a document", self.0.message()).await {
            Ok(Some(message)) => {
                assert_eq!(message.sync_context, None);
                Ok(serde_json::from_str(&message.flag_configuration).unwrap())
            }
            Ok(None) => panic!("the stream ended with OK"),
            Err(status) => Err(status),
        }
    }

    /// The names of the next document's flags.
    pub async fn names(&mut self) -> Vec<String> {
        let document = self.next().await.unwrap();
        document["flags"].as_object().unwrap().keys().cloned().collect()
    }

    /// Reads to the end.
    pub async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}
