//! Writes the records.

use super::hub_tenant;
use super::keeper::Admission;
use super::record::{CONTENT_TYPE, Place, Revocation, Scope, TenantRecord, TenantState, Which};
use super::table::Record;
use crate::backend::{Action, Change, WriteError};
use crate::limits::{REVOCATIONS_PER_TENANT, VALUE_BYTES};
use crate::source::{Address, Hint, Sink as _};
use confhub_proto::{Content, TenantId};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// Attempts to write a record that others write at the same time.
const ATTEMPTS: usize = 5;

/// Longest wait until this hub acts on a record that it has written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a record was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmissionError {
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is no such revocation.
    #[error("there is no revocation `{0}` of this tenant: `confhub revocations` shows those in force")]
    NoRevocation(String),
    /// Nothing was said of the tenant.
    #[error("nothing was said of the tenant `{0}`")]
    NoTenant(TenantId),
    /// The tenant has as many as it may.
    #[error(
        "the tenant has {limit} revocations, and no more are kept: lift those whose tokens have expired, or revoke all tokens that were issued before a moment"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Writes the records of who is let in. What it wrote is in force on this hub when
/// it returns, unless the store takes more than seconds to show it, and everywhere
/// else as soon as any change would be.
#[derive(Clone)]
pub struct Book {
    admission: Admission,
}

impl Book {
    /// Writes the records that `admission` follows.
    #[must_use]
    pub fn new(admission: Admission) -> Self {
        Self { admission }
    }

    /// Revokes tokens. If some of the same are revoked already, the later moment counts.
    ///
    /// # Errors
    /// If the tenant has too many, or the store does not take it.
    pub async fn revoke(
        &self,
        scope: &Scope,
        mut revocation: Revocation,
    ) -> Result<(String, Revocation), AdmissionError> {
        let id = Revocation::id(scope, &revocation.which);
        let address = address(&Place::Revocation(scope.clone(), id.clone()))
            .ok_or_else(|| AdmissionError::NoRevocation(id.clone()))?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let known = self.read(&address).await?;
            match &known {
                Some((_, text)) => {
                    // One that cannot be read is replaced.
                    if let Ok(known) = serde_json::from_slice::<Revocation>(text) {
                        let both = known.issued_before.zip(revocation.issued_before);
                        revocation.issued_before = both.map(|(known, new)| known.max(new));
                    }
                }
                None if self.admission.count(scope) >= REVOCATIONS_PER_TENANT => {
                    return Err(AdmissionError::TooMany { limit: REVOCATIONS_PER_TENANT });
                }
                None => {}
            }
            let expected = known.map_or(0, |(version, _)| version);
            match self.write(&address, &revocation, &revocation.author, Some(expected)).await {
                Ok(()) => return Ok((id, revocation)),
                Err(WriteError::Conflict { .. } | WriteError::Contended(_)) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lifts a revocation.
    ///
    /// # Errors
    /// If there is none of this id, or the store does not take it.
    pub async fn restore(&self, scope: &Scope, id: &str, author: &str) -> Result<(), AdmissionError> {
        let none = || AdmissionError::NoRevocation(id.chars().take(64).collect());
        let address = address(&Place::Revocation(scope.clone(), id.to_owned())).ok_or_else(none)?;
        self.delete(&address, author).await.map_err(|error| match error {
            WriteError::NotFound(_) => none(),
            error => error.into(),
        })
    }

    /// Says whether a tenant is served.
    ///
    /// # Errors
    /// If the store does not take it.
    pub async fn set_tenant(&self, tenant: &TenantId, record: &TenantRecord) -> Result<(), AdmissionError> {
        let none = || AdmissionError::NoTenant(tenant.clone());
        let address = address(&Place::Tenant(tenant.clone())).ok_or_else(none)?;
        Ok(self.write(&address, record, &record.author, None).await?)
    }

    /// Forgets what was said of a tenant.
    ///
    /// # Errors
    /// If nothing was, or the store does not take it.
    pub async fn forget_tenant(&self, tenant: &TenantId, author: &str) -> Result<(), AdmissionError> {
        let none = || AdmissionError::NoTenant(tenant.clone());
        let address = address(&Place::Tenant(tenant.clone())).ok_or_else(none)?;
        self.delete(&address, author).await.map_err(|error| match error {
            WriteError::NotFound(_) => none(),
            error => error.into(),
        })
    }

    /// The revocations of a scope, with their ids and the times of their last change.
    #[must_use]
    pub fn revocations(&self, scope: &Scope) -> Vec<(String, Revocation, SystemTime)> {
        let records = self.admission.records().of(scope).into_iter();
        let revocations = records.filter_map(|record| match record {
            Record::Revocation(id, revocation, modified) => Some((id, revocation, modified)),
            Record::Tenant(..) => None,
        });
        revocations.collect()
    }

    /// The revocations of every scope.
    #[must_use]
    pub fn all_revocations(&self) -> Vec<(Scope, String, Revocation, SystemTime)> {
        let records = self.admission.records().all().into_iter();
        let revocations = records.filter_map(|(scope, record)| match record {
            Record::Revocation(id, revocation, modified) => Some((scope, id, revocation, modified)),
            Record::Tenant(..) => None,
        });
        revocations.collect()
    }

    /// What was said of the tenants after `after`, in the order of the alphabet.
    #[must_use]
    pub fn tenants(&self, after: &str) -> Vec<(TenantId, TenantRecord, SystemTime)> {
        self.admission.records().tenants(after)
    }

    async fn read(&self, address: &Address) -> Result<Option<(u64, bytes::Bytes)>, WriteError> {
        let found = self.admission.backend().read(&hub_tenant(), std::slice::from_ref(address)).await?;
        Ok(found.into_iter().flatten().next().map(|entry| (entry.version(), entry.value().clone())))
    }

    async fn write(
        &self,
        address: &Address,
        record: &impl Serialize,
        author: &str,
        expected: Option<u64>,
    ) -> Result<(), WriteError> {
        let kind = self.admission.backend().kind();
        let unfit = |reason: String| WriteError::Unfit { address: address.clone(), kind, reason };
        let text = serde_json::to_vec(record).map_err(|error| unfit(error.to_string()))?;
        let content = Content::new(text.into(), CONTENT_TYPE, false, VALUE_BYTES);
        let content = content.map_err(|error| unfit(error.to_string()))?;
        let version = self.change(address, Action::Put(content), author, expected).await?;
        self.admission.see(&address.key, Some(version), PATIENCE).await;
        Ok(())
    }

    async fn delete(&self, address: &Address, author: &str) -> Result<(), WriteError> {
        self.change(address, Action::Delete, author, None).await?;
        self.admission.see(&address.key, None, PATIENCE).await;
        Ok(())
    }

    async fn change(
        &self,
        address: &Address,
        action: Action,
        author: &str,
        expected: Option<u64>,
    ) -> Result<u64, WriteError> {
        let changes = vec![Change { address: address.clone(), action, expected }];
        // A store that looks at limits itself looks once more.
        self.admission.tenants().check_fits(&hub_tenant(), &changes)?;
        let written = self.admission.backend().apply(&hub_tenant(), author, changes).await;
        // Whatever became of it: a store that failed half way may have written.
        drop(self.admission.tenants().hint(Hint { tenant: hub_tenant(), addresses: vec![address.clone()] }));
        Ok(written?.first().copied().unwrap_or_default())
    }
}

fn address(place: &Place) -> Option<Address> {
    Some(Address { service: None, key: place.key()? })
}

impl TenantRecord {
    /// A record of what an operator says now.
    #[must_use]
    pub fn new(state: TenantState, reason: String, author: &str) -> Self {
        Self { state, reason, author: author.to_owned() }
    }
}

impl Revocation {
    /// A revocation that is made now.
    #[must_use]
    pub fn new(which: Which, issued_before: Option<u64>, reason: String, author: &str) -> Self {
        Self { which, issued_before, reason, author: author.to_owned() }
    }
}
