//! The embedded backend: one redb file in the data folder.
//!
//! A write is acknowledged once it is on the disk (fsync). All writes go through
//! one thread, which commits those that wait together in one transaction: each
//! is still all or nothing by itself, and they share the fsync. Reads are made
//! from redb's snapshots and never wait for a write.
//!
//! The values of secrets are sealed before they come near the file (`seal`).

mod file;
mod record;
mod seal;
mod tables;
mod write;
mod writer;

pub use file::OpenError;

use super::{
    Action, Backend, BackendError, Cause, Change, Nature, Opened, Opening, Position, Reading, Revision,
    Urgency, WriteError,
};
use crate::clock::Clock;
use crate::limits;
use crate::source::{Address, Feed};
use async_trait::async_trait;
use bytes::Bytes;
use confhub_proto::{Entry, ServiceName, TenantId};
use file::File;
use seal::Sealer;
use std::path::Path;
use std::sync::Arc;
use tables::Snapshot;
use writer::Writer;

/// What the settings call this backend.
pub const KIND: &str = "embedded";

/// Bounds that a write must keep.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most entries of one tenant.
    pub tenant_entries: usize,
    /// Most bytes of one tenant.
    pub tenant_bytes: usize,
}

impl Bounds {
    /// Those of the hub's own records.
    fn of_records() -> Self {
        Self { tenant_entries: limits::RECORDS, tenant_bytes: limits::RECORD_BYTES }
    }
}

/// Opens it in the data folder of the settings.
pub(super) async fn open(opening: &Opening<'_>) -> Opened {
    let limits = &opening.settings.limits;
    let bounds = Bounds { tenant_entries: limits.tenant_entries, tenant_bytes: limits.tenant_bytes };
    let (folder, clock, feed) =
        (opening.settings.data_dir.clone(), opening.clock.clone(), opening.feed.clone());
    // Checking every page of a large file takes a while.
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&folder, bounds, clock, feed));
    Ok(Arc::new(opened.await??))
}

/// The embedded backend.
pub struct Embedded {
    file: Arc<File>,
    writer: Writer,
    sealer: Sealer,
}

impl Embedded {
    /// Opens the store in `folder`, or makes one there, and checks every page
    /// of it. Hints of what it commits go to `feed`.
    ///
    /// # Errors
    /// If the folder cannot be used, another hub uses it, or the file is damaged.
    pub fn open(folder: &Path, bounds: Bounds, clock: Clock, feed: Feed) -> Result<Self, OpenError> {
        let file = Arc::new(File::open(folder)?);
        let writer = Writer::start(Arc::clone(&file), bounds, clock, feed)
            .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        let sealer =
            Sealer::open(folder).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        Ok(Self { file, writer, sealer })
    }

    async fn read_file<T: Send + 'static>(
        &self,
        read: impl Fn(&Snapshot) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || file.read(read)).await;
        done.unwrap_or_else(|error| Err(unavailable(error)))
    }
}

#[async_trait]
impl Backend for Embedded {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn nature(&self) -> Nature {
        Nature {
            consistent: true,
            metered: false,
            lists_services: true,
            announces: true,
            apply_changes: confhub_proto::limits::APPLY_CHANGES,
        }
    }

    async fn load(&self, tenant: &TenantId, _: &[ServiceName], _: Urgency) -> Result<Reading, BackendError> {
        let tenant = tenant.clone();
        self.read_file(move |snapshot| snapshot.load(&tenant)).await
    }

    async fn refresh(
        &self,
        tenant: &TenantId,
        since: Position,
        hinted: &[Address],
    ) -> Result<Reading, BackendError> {
        let (tenant, hinted) = (tenant.clone(), hinted.to_vec());
        self.read_file(move |snapshot| snapshot.refresh(&tenant, since, hinted.clone())).await
    }

    async fn read(
        &self,
        tenant: &TenantId,
        addresses: &[Address],
    ) -> Result<Vec<Option<Entry>>, BackendError> {
        let (tenant, addresses) = (tenant.clone(), addresses.to_vec());
        self.read_file(move |snapshot| {
            addresses.iter().map(|address| snapshot.entry(&tenant, address)).collect()
        })
        .await
    }

    async fn reveal(
        &self,
        tenant: &TenantId,
        address: &Address,
    ) -> Result<Option<(Entry, Bytes)>, BackendError> {
        let (of, at) = (tenant.clone(), address.clone());
        let found = self.read_file(move |snapshot| snapshot.reveal(&of, &at)).await?;
        let Some((entry, value, is_sealed)) = found else { return Ok(None) };
        let value = if is_sealed { self.sealer.unseal(tenant, address, &value)? } else { value };
        Ok(Some((entry, value)))
    }

    async fn apply(
        &self,
        tenant: &TenantId,
        author: &str,
        mut changes: Vec<Change>,
    ) -> Result<Vec<u64>, WriteError> {
        for change in &mut changes {
            if let Action::Put(content) = &mut change.action
                && content.secret
            {
                content.value = self.sealer.seal(tenant, &change.address, &content.value)?;
            }
        }
        self.writer.apply(tenant.clone(), author.into(), changes).await
    }

    async fn history(
        &self,
        tenant: &TenantId,
        address: &Address,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Revision>, BackendError> {
        let (tenant, address) = (tenant.clone(), address.clone());
        self.read_file(move |snapshot| snapshot.history(&tenant, &address, before, limit)).await
    }

    async fn check(&self) -> Result<(), BackendError> {
        self.writer.check()?;
        self.read_file(|_| Ok(())).await
    }

    async fn close(&self) {
        let file = Arc::clone(&self.file);
        // It ends with the reads and writes that are under way.
        let _ = tokio::task::spawn_blocking(move || file.close()).await;
    }
}

fn unavailable(reason: impl std::fmt::Display) -> BackendError {
    BackendError::Unavailable { kind: KIND, cause: Cause::Failed, reason: reason.to_string() }
}

fn damaged(reason: impl std::fmt::Display) -> BackendError {
    BackendError::Damaged { kind: KIND, reason: reason.to_string() }
}
