//! Single calls, as one identity.

use super::Stream;
use confhub_proto::wire;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use wire::access_service_client::AccessServiceClient;
use wire::admin_service_client::AdminServiceClient;
use wire::config_service_client::ConfigServiceClient;
use wire::fleet_service_client::FleetServiceClient;
use wire::rollout_service_client::RolloutServiceClient;

/// A connection and a token.
#[derive(Clone)]
pub struct Caller {
    pub config: ConfigServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
    pub access: AccessServiceClient<Channel>,
    pub fleet: FleetServiceClient<Channel>,
    pub rollouts: RolloutServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl Caller {
    pub async fn connect(endpoint: &str, token: &str) -> Self {
        Self::over(Endpoint::from_shared(endpoint.to_owned()).unwrap(), token).await
    }

    /// The same, over a connection of the test's own making.
    pub async fn over(endpoint: Endpoint, token: &str) -> Self {
        Self::through(endpoint.connect().await.unwrap(), token)
    }

    /// The same, over a connection that there is.
    pub fn through(channel: Channel, token: &str) -> Self {
        Self {
            config: ConfigServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
            access: AccessServiceClient::new(channel.clone()),
            fleet: FleetServiceClient::new(channel.clone()),
            rollouts: RolloutServiceClient::new(channel),
            authorization: format!("Bearer {token}").parse().unwrap(),
        }
    }

    /// `message`, with the token.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    /// Writes text to a shared entry.
    pub async fn put(&self, key: &str, value: &str) -> Result<u64, Status> {
        self.put_for("", key, value, None).await
    }

    /// Writes text to an entry of a service.
    pub async fn put_for(
        &self,
        service: &str,
        key: &str,
        value: &str,
        expected_version: Option<u64>,
    ) -> Result<u64, Status> {
        let request = wire::PutRequest {
            key: key.to_owned(),
            service: service.to_owned(),
            content: Some(text(value)),
            expected_version,
        };
        Ok(self.admin.clone().put(self.request(request)).await?.into_inner().version)
    }

    /// Deletes an entry of a service (empty: shared).
    pub async fn delete_for(&self, service: &str, key: &str) -> Result<u64, Status> {
        let request =
            wire::DeleteRequest { key: key.to_owned(), service: service.to_owned(), expected_version: None };
        Ok(self.admin.clone().delete(self.request(request)).await?.into_inner().version)
    }

    /// Makes several changes at once.
    pub async fn apply(&self, changes: Vec<wire::Change>) -> Result<Vec<u64>, Status> {
        let request = self.request(wire::ApplyRequest { changes });
        Ok(self.admin.clone().apply(request).await?.into_inner().versions)
    }

    /// Reads an entry of a service's view.
    pub async fn get(&self, service: &str, key: &str) -> Result<wire::Entry, Status> {
        let request = wire::GetRequest { key: key.to_owned(), service: service.to_owned() };
        let response = self.config.clone().get(self.request(request)).await?.into_inner();
        Ok(response.entry.unwrap())
    }

    /// Opens a stream of a service's view from a cursor (empty: from nothing).
    pub async fn subscribe(&self, service: &str, cursor: &[u8]) -> Result<Stream, Status> {
        let request = wire::SubscribeRequest {
            service: service.to_owned(),
            cursor: cursor.to_vec(),
            ..wire::SubscribeRequest::default()
        };
        self.open(request).await
    }

    /// Opens any stream.
    pub async fn open(&self, request: wire::SubscribeRequest) -> Result<Stream, Status> {
        let frames = self.config.clone().subscribe(self.request(request)).await?.into_inner();
        Ok(Stream::new(frames))
    }
}

/// A text value.
pub fn text(value: &str) -> wire::Content {
    wire::Content {
        value: value.to_owned().into(),
        content_type: confhub_proto::Content::TEXT.to_owned(),
        secret: false,
    }
}
