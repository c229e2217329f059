//! The calls that fewer promises need.

use super::{Caller, text};
use confhub_proto::frame::Assembler;
use confhub_proto::{State, Update, wire};
use tonic::Status;
use wire::frame::Kind;

impl Caller {
    /// All entries of the tenant, in the parts in which they come.
    pub async fn list_parts(&self, prefixes: &[&str]) -> Result<Vec<Vec<wire::Entry>>, Status> {
        let request = wire::ListRequest { prefixes: owned(prefixes) };
        let mut parts = self.admin.clone().list(self.request(request)).await?.into_inner();
        let mut all = Vec::new();
        while let Some(part) = parts.message().await? {
            all.push(part.entries);
        }
        Ok(all)
    }

    /// All entries of the tenant.
    pub async fn list(&self) -> Vec<wire::Entry> {
        self.list_parts(&[]).await.unwrap().concat()
    }

    /// A view at one moment, and the one update that it came as.
    pub async fn snapshot(&self, service: &str, prefixes: &[&str]) -> Result<(State, Update), Status> {
        let request = wire::GetSnapshotRequest { service: service.to_owned(), prefixes: owned(prefixes) };
        let mut frames = self.config.clone().get_snapshot(self.request(request)).await?.into_inner();
        let mut assembler = Assembler::new(usize::MAX);
        let mut whole = None;
        while let Some(frame) = frames.message().await? {
            assert!(whole.is_none(), "a frame after the commit");
            let Some(Kind::Update(part)) = frame.kind else { panic!("{frame:?} in a snapshot") };
            whole = assembler.push(part).unwrap();
        }
        let update = whole.expect("a snapshot has a commit");
        let state = State::default().commit(&update);
        assert!(update.reset);
        assert_eq!(state.digest(), update.commit.cursor);
        Ok((state, update))
    }

    /// Reads several entries of a service's view.
    pub async fn batch_get(&self, service: &str, keys: &[&str]) -> Result<wire::BatchGetResponse, Status> {
        let request = wire::BatchGetRequest { keys: owned(keys), service: service.to_owned() };
        Ok(self.config.clone().batch_get(self.request(request)).await?.into_inner())
    }

    /// Reads the value of a secret.
    pub async fn reveal(&self, service: &str, key: &str) -> Result<wire::Entry, Status> {
        let request = wire::RevealRequest { key: key.to_owned(), service: service.to_owned() };
        Ok(self.config.clone().reveal(self.request(request)).await?.into_inner().entry.unwrap())
    }

    /// The kept versions of a key of a service (empty: shared).
    pub async fn history(&self, service: &str, key: &str, limit: u32) -> Result<Vec<wire::Revision>, Status> {
        let request = wire::HistoryRequest {
            key: key.to_owned(),
            service: service.to_owned(),
            limit,
            before_version: 0,
        };
        Ok(self.admin.clone().history(self.request(request)).await?.into_inner().revisions)
    }

    /// Writes an earlier version of a shared key again.
    pub async fn rollback(&self, key: &str, to_version: u64) -> Result<u64, Status> {
        let request =
            wire::RollbackRequest { key: key.to_owned(), to_version, ..wire::RollbackRequest::default() };
        Ok(self.admin.clone().rollback(self.request(request)).await?.into_inner().version)
    }

    /// Writes any content to a shared entry.
    pub async fn put_content(&self, key: &str, content: wire::Content) -> Result<u64, Status> {
        let content = Some(content);
        let request = wire::PutRequest { key: key.to_owned(), content, ..wire::PutRequest::default() };
        Ok(self.admin.clone().put(self.request(request)).await?.into_inner().version)
    }

    /// Writes JSON to a shared entry.
    pub async fn put_json(&self, key: &str, json: &str) -> Result<u64, Status> {
        let content_type = confhub_proto::Content::JSON.to_owned();
        self.put_content(key, wire::Content { content_type, ..text(json) }).await
    }

    /// Has the hub compare the tenant with every backend.
    #[cfg(feature = "aws")]
    pub async fn reconcile(&self) -> Result<Vec<wire::BackendSweep>, Status> {
        let request = self.request(wire::ReconcileRequest {});
        Ok(self.admin.clone().reconcile(request).await?.into_inner().backends)
    }

    /// The instances of the tenant.
    pub async fn instances(&self, services: &[&str]) -> Result<Vec<wire::Instance>, Status> {
        let request = wire::ListInstancesRequest { services: owned(services), after: Vec::new() };
        let answer = self.fleet.clone().list_instances(self.request(request)).await?.into_inner();
        assert!(answer.position.is_empty(), "there are more");
        Ok(answer.instances)
    }

    /// How the hub stands.
    pub async fn status(&self) -> Result<wire::StatusResponse, Status> {
        Ok(self.admin.clone().status(self.request(wire::StatusRequest {})).await?.into_inner())
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// A change of an `Apply` that writes text.
pub fn put(service: &str, key: &str, value: &str) -> wire::Change {
    let action = Some(wire::change::Action::Put(text(value)));
    wire::Change { key: key.to_owned(), service: service.to_owned(), expected_version: None, action }
}

/// A change of an `Apply` that deletes.
pub fn delete(service: &str, key: &str) -> wire::Change {
    let action = Some(wire::change::Action::Delete(wire::Deletion {}));
    wire::Change { key: key.to_owned(), service: service.to_owned(), expected_version: None, action }
}

/// A secret.
pub fn secret(value: &str) -> wire::Content {
    wire::Content { secret: true, ..text(value) }
}
