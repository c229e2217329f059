//! Writes and their history.

use super::call::Place;
use super::governor::Cost;
use super::recorded;
use super::request::{Wish, fitting, identity};
use super::status::{invalid, told};
use super::{Edge, VERSION};
use crate::audit::{self, Act, Call};
use crate::auth::{Identity, Role, refused_status};
use crate::backend::{Action, Backend, BackendError, Change, Urgency, WriteError};
use crate::limits::{ENTRY_COST, HISTORY_VERSIONS};
use crate::metrics::{Outcome, OutcomeLabel};
use crate::source::{Address, Hint, Sink as _};
use crate::tenant::{FollowError, TenantStatus};
use confhub_proto::{Content, ContentError, Entry, limits, wire};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::iter::Peekable;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::yield_now;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use wire::admin_service_server::AdminService;
use wire::change::Action as Asked;

/// An address, and what is there.
type Found = (Address, Option<Arc<Entry>>);

#[tonic::async_trait]
impl AdminService for Edge {
    async fn put(&self, request: Request<wire::PutRequest>) -> Result<Response<wire::PutResponse>, Status> {
        let (identity, asked) = self.caller(request)?;
        let address = self.address(&identity, &asked.service, &asked.key, Wish::Put)?;
        let action = Action::Put(self.content(asked.content)?);
        let change = Change { address, action, expected: asked.expected_version };
        let version = self.write_one(&identity, change).await?;
        Ok(Response::new(wire::PutResponse { version }))
    }

    async fn delete(
        &self,
        request: Request<wire::DeleteRequest>,
    ) -> Result<Response<wire::DeleteResponse>, Status> {
        let (identity, asked) = self.caller(request)?;
        let address = self.address(&identity, &asked.service, &asked.key, Wish::Delete)?;
        let change = Change { address, action: Action::Delete, expected: asked.expected_version };
        let version = self.write_one(&identity, change).await?;
        Ok(Response::new(wire::DeleteResponse { version }))
    }

    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        let (identity, asked) = self.caller(request)?;
        let changes = self.changes(&identity, asked.changes)?;
        identity.charge(Cost::Changes(changes.len()));
        let versions = self.write(&identity, changes).await?;
        Ok(Response::new(wire::ApplyResponse { versions }))
    }

    async fn history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<wire::HistoryResponse>, Status> {
        let (identity, asked) = self.caller(request)?;
        let address = self.address(&identity, &asked.service, &asked.key, Wish::Look)?;
        let limit = match usize::try_from(asked.limit) {
            Ok(limit @ 1..) => limit.min(HISTORY_VERSIONS),
            _ => HISTORY_VERSIONS,
        };
        let before = if asked.before_version == 0 { u64::MAX } else { asked.before_version };
        let backend = &self.router.backends()[self.router.route(&address.key)?];
        let mut kept = backend.history(&identity.tenant, &address, before, limit + 1).await?;
        identity.charge(Cost::Read(kept.iter().map(|revision| revision.entry.size()).sum()));
        if kept.is_empty() && before == u64::MAX {
            return Err(WriteError::NotFound(address).into());
        }
        let fitting = fitting(kept.iter().map(|revision| revision.entry.size())).min(limit);
        let more = kept.len() > fitting;
        kept.truncate(fitting);
        let revisions = kept.into_iter().map(|revision| wire::Revision {
            entry: Some((&revision.entry).into()),
            deleted: revision.deleted,
            author: revision.author,
            labels: revision.labels,
        });
        Ok(Response::new(wire::HistoryResponse { revisions: revisions.collect(), more }))
    }

    async fn rollback(
        &self,
        request: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::RollbackResponse>, Status> {
        let (identity, asked) = self.caller(request)?;
        let address = self.address(&identity, &asked.service, &asked.key, Wish::Restore)?;
        let action = Action::Restore(asked.to_version);
        let change = Change { address, action, expected: asked.expected_version };
        let version = self.write_one(&identity, change).await?;
        Ok(Response::new(wire::RollbackResponse { version }))
    }

    type ListStream = Parts;

    async fn list(&self, request: Request<wire::ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let (identity, asked) = self.caller(request)?;
        let prefixes = self.prefixes(&asked.prefixes)?;
        let mut entries = Vec::new();
        for (index, all) in self.read_all(&identity).await?.into_iter().enumerate() {
            // A store may hold keys that belong to another: no stream shows them either.
            let all = all.into_iter().filter(|(address, _)| self.router.route(&address.key) == Ok(index));
            entries.extend(all.filter_map(|(address, entry)| {
                let key = address.key.as_str();
                let wanted = prefixes.is_empty() || prefixes.iter().any(|p| key.starts_with(p.as_str()));
                let own = self.admits(&identity, address.service.as_ref());
                entry.filter(|_| wanted && own)
            }));
            // Thousands of entries are a good part of a millisecond: others go first.
            yield_now().await;
        }
        // Stores give them in this order, each its own: that is noticed, and hardly costs.
        entries.sort_by(|a, b| (a.service(), a.key()).cmp(&(b.service(), b.key())));
        Ok(Response::new(Parts { entries: entries.into_iter().peekable() }))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let (identity, _) = self.caller(request)?;
        let (status, error) = match self.tenants.load(&identity.tenant).await {
            Ok(status) => (status, String::new()),
            // What is asked when something is wrong must not fail with it.
            Err(FollowError::Backend(error)) => (TenantStatus::default(), told(&error, &identity.call)),
            Err(error) => (TenantStatus::default(), error.to_string()),
        };
        let call = &identity.call;
        let backends = self.router.table().map(|(prefix, backend)| async move {
            wire::BackendStatus {
                prefix: prefix.to_string(),
                backend: backend.kind().to_owned(),
                error: backend.check().await.err().map_or_else(String::new, |error| told(&error, call)),
                apply_changes: u32::try_from(backend.nature().apply_changes).unwrap_or(u32::MAX),
            }
        });
        // All at a time: what is asked when something is wrong must not take long by it.
        let backends = join_all(backends).await;
        Ok(Response::new(wire::StatusResponse {
            hub_version: VERSION.to_owned(),
            uptime: prost_types::Duration::try_from(self.started.elapsed()).ok(),
            tenant: identity.tenant.to_string(),
            subject: identity.subject.to_string(),
            roles: identity.roles.iter().map(|role: Role| role.to_string()).collect(),
            entries: status.entries as u64,
            bytes: status.bytes as u64,
            streams: status.streams as u64,
            backends,
            limits: Some(wire::TenantLimits {
                value_bytes: self.limits.value_bytes as u64,
                entries: self.limits.tenant_entries as u64,
                bytes: self.limits.tenant_bytes as u64,
            }),
            error,
            change_source: Some(self.source_status(call)),
        }))
    }

    async fn reconcile(
        &self,
        request: Request<wire::ReconcileRequest>,
    ) -> Result<Response<wire::ReconcileResponse>, Status> {
        let (identity, _) = self.caller(request)?;
        let found = self.tenants.reconcile(&identity.tenant).await?;
        self.audit.tell(&identity.call, audit::Outcome::Done, "").await;
        let backends = self.router.backends().iter().zip(found).map(|(backend, found)| {
            let mut sweep = wire::BackendSweep { backend: backend.kind().to_owned(), ..Default::default() };
            match found {
                Ok(found) => {
                    let found = found.unwrap_or_default();
                    sweep.entries = found.entries as u64;
                    sweep.created = found.created as u64;
                    sweep.updated = found.updated as u64;
                    sweep.deleted = found.deleted as u64;
                }
                Err(error) => sweep.error = error.to_string(),
            }
            sweep
        });
        Ok(Response::new(wire::ReconcileResponse { backends: backends.collect() }))
    }
}

impl Edge {
    fn source_status(&self, call: &Call) -> wire::SourceStatus {
        let Some((kind, health)) = &self.source else { return wire::SourceStatus::default() };
        let failure = health.status().failure;
        let error = failure.map_or_else(String::new, |failure| match call.is_operators() {
            true => failure.to_string(),
            false => failure.cause.to_string(),
        });
        wire::SourceStatus { kind: (*kind).to_owned(), error }
    }

    /// What each store has of the caller's tenant, read once it is the call's turn. A
    /// read that has begun cannot be broken off: it keeps the turn, and is paid for,
    /// though the caller may leave.
    async fn read_all(&self, identity: &Caller) -> Result<Vec<Vec<Found>>, Status> {
        let place = identity.place.clone();
        let turn = match &place {
            Some(place) => place.read().await?,
            None => None,
        };
        let (backends, tenant) = (self.router.backends().to_vec(), identity.tenant.clone());
        let reading = tokio::spawn(async move {
            let mut found = Vec::new();
            for backend in backends {
                let all = backend.load(&tenant, &[], Urgency::Demand).await?.entries;
                let sizes = all.iter().flat_map(|(_, entry)| entry).map(|entry| ENTRY_COST + entry.size());
                if let Some(place) = &place {
                    place.charge(Cost::Read(sizes.sum()));
                }
                found.push(all);
            }
            drop((turn, place));
            Ok::<_, BackendError>(found)
        });
        let found = reading.await.map_err(|_| Status::internal("the read has ended without an answer"))?;
        Ok(found?)
    }

    async fn write_one(&self, identity: &Caller, change: Change) -> Result<u64, Status> {
        let versions = self.write(identity, vec![change]).await?;
        versions.first().copied().ok_or_else(|| Status::internal("the backend wrote no version"))
    }

    /// Makes changes. Once begun they are carried to their end, though the caller
    /// may leave, so that the hint and the record of what was written are never lost
    /// with it.
    async fn write(&self, identity: &Caller, changes: Vec<Change>) -> Result<Vec<u64>, Status> {
        identity.call.about(changes.iter().map(act).collect());
        let backend = Arc::clone(self.one_backend(&changes)?);
        let flags = self.check_flags(identity, &changes).await;
        let flags = flags.inspect_err(|_| self.count_write(Outcome::Refused))?;
        let (audit, call) = (self.audit.clone(), identity.call.clone());
        let tenants = self.tenants.clone();
        if !backend.nature().announces {
            // A store of its own looks at them when it writes.
            let full = tenants.check_fits(&identity.tenant, &changes).map_err(WriteError::from);
            full.inspect_err(|_| self.count_write(Outcome::Refused))?;
        }
        let (tenant, subject) = (identity.tenant.clone(), identity.subject.clone());
        let held = (identity.place.clone(), flags, Arc::clone(&self.writes).read_owned().await);
        let hint = Hint {
            tenant: tenant.clone(),
            addresses: changes.iter().map(|change| change.address.clone()).collect(),
        };
        let written = tokio::spawn(async move {
            let written = backend.apply(&tenant, &subject, changes).await;
            // A store that failed half way may have written all the same.
            let perhaps =
                matches!(written, Ok(_) | Err(WriteError::Backend(_) | WriteError::LostRace { .. }));
            if perhaps && !backend.nature().announces {
                // It is on its way before the writer has its answer: who then reads
                // here, reads what it wrote.
                drop(tenants.hint(hint));
            }
            match &written {
                Ok(versions) => {
                    call.wrote(versions);
                    audit.tell(&call, audit::Outcome::Done, "").await;
                }
                Err(error) => recorded::tell(&audit, &call, &error.clone().into()).await,
            }
            drop(held);
            written
        });
        let written = written.await.map_err(|_| Status::internal("the write has ended without an answer"))?;
        let outcome = match &written {
            Ok(_) => Outcome::Done,
            Err(WriteError::Backend(_)) => Outcome::Failed,
            Err(_) => Outcome::Refused,
        };
        self.count_write(outcome);
        Ok(written?)
    }

    fn count_write(&self, outcome: Outcome) {
        self.metrics.writes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// All or nothing holds within one backend, so a write is for one.
    fn one_backend(&self, changes: &[Change]) -> Result<&Arc<dyn Backend>, Status> {
        let mut owner = None;
        for Change { address, .. } in changes {
            let index = self.router.route(&address.key)?;
            if *owner.get_or_insert(index) != index {
                let key = &address.key;
                return Err(invalid(format!(
                    "`{key}` belongs to another backend than the changes before it: apply them apart"
                )));
            }
        }
        let owner = owner.ok_or_else(|| invalid("there is nothing to change"))?;
        Ok(&self.router.backends()[owner])
    }

    fn changes(&self, identity: &Caller, asked: Vec<wire::Change>) -> Result<Vec<Change>, Status> {
        let most = limits::APPLY_CHANGES;
        if asked.is_empty() || asked.len() > most {
            return Err(invalid(format!("{} changes; 1 to {most} are allowed", asked.len())));
        }
        let mut seen = HashSet::with_capacity(asked.len());
        let mut changes = Vec::with_capacity(asked.len());
        for (index, change) in asked.into_iter().enumerate() {
            let number = index + 1;
            let at =
                |status: Status| Status::new(status.code(), format!("change {number}: {}", status.message()));
            let wish = if let Some(Asked::Delete(_)) = change.action { Wish::Delete } else { Wish::Put };
            let address = self.address(identity, &change.service, &change.key, wish).map_err(at)?;
            let at = |status: Status| {
                Status::new(status.code(), format!("change {number}, {address}: {}", status.message()))
            };
            self.router.route(&address.key).map_err(|error| at(error.into()))?;
            let action = match change.action {
                Some(Asked::Put(content)) => Action::Put(self.content(Some(content)).map_err(at)?),
                Some(Asked::Delete(_)) => Action::Delete,
                None => return Err(at(invalid("it has neither `put` nor `delete`"))),
            };
            if !seen.insert(address.clone()) {
                return Err(at(invalid("it is changed twice")));
            }
            changes.push(Change { address, action, expected: change.expected_version });
        }
        Ok(changes)
    }

    fn content(&self, content: Option<wire::Content>) -> Result<Content, Status> {
        let content = content.ok_or_else(|| invalid("`content` is missing"))?;
        let limit = self.limits.value_bytes;
        let content = Content::new(content.value, &content.content_type, content.secret, limit);
        content.map_err(|error| match error {
            ContentError::TooLarge { .. } => invalid(format!("{error} by `limits.value-bytes`")),
            error => invalid(error),
        })
    }
}

/// A change, as the audit log tells of it.
fn act(change: &Change) -> Act {
    let wish = match change.action {
        Action::Put(_) => Wish::Put,
        Action::Delete => Wish::Delete,
        Action::Restore(_) => Wish::Restore,
    };
    Act::on(&change.address, wish.as_str(), None)
}

/// Who calls, and the place of the call.
pub(super) struct Caller {
    identity: Identity,
    pub(super) place: Option<Place>,
    pub(super) call: Call,
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Edge {
    /// Who makes this call, which has arrived whole by now.
    pub(super) fn caller<T>(&self, request: Request<T>) -> Result<(Caller, T), Status> {
        let identity = self.let_in(request.extensions())?.clone();
        let place = request.extensions().get().cloned();
        let call = call(request.extensions());
        Ok((Caller { identity, place, call }, request.into_inner()))
    }

    /// Who calls, if they are let in still: they were when their headers came, and may
    /// have kept the rest back since.
    pub(super) fn let_in<'a>(&self, extensions: &'a http::Extensions) -> Result<&'a Identity, Status> {
        let identity = identity(extensions)?;
        self.admission.check(identity).map_err(refused_status)?;
        Ok(identity)
    }
}

/// What the audit log tells of a call. The outermost layer has put it there.
pub(super) fn call(extensions: &http::Extensions) -> Call {
    extensions.get().cloned().unwrap_or_else(|| Call::new(String::new(), "", None))
}

/// Messages of `List` are filled up to this size, in bytes: making one keeps a core
/// for a fraction of a millisecond, and then others have their turn.
const LIST_BYTES: usize = 32 * 1024;

impl Caller {
    /// Counts what the call costs beyond one call.
    pub(super) fn charge(&self, cost: Cost) {
        if let Some(place) = &self.place {
            place.charge(cost);
        }
    }
}

/// The answer to `List`: each message is made when the caller is ready for it.
pub struct Parts {
    entries: Peekable<std::vec::IntoIter<Arc<Entry>>>,
}

impl Stream for Parts {
    type Item = Result<wire::ListResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut part = wire::ListResponse::default();
        let mut bytes = 0;
        let fits = |bytes: usize, entry: &Entry| bytes == 0 || bytes + entry.size() <= LIST_BYTES;
        while let Some(entry) = self.entries.next_if(|entry| fits(bytes, entry)) {
            bytes += entry.size();
            part.entries.push((&*entry).into());
        }
        Poll::Ready((!part.entries.is_empty()).then_some(Ok(part)))
    }
}
