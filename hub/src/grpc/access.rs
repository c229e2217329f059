//! Who is let in, said by those who may.
//!
//! A caller rules over its own tenant. That one of the operators' tenant may name
//! another is decided in one place, [`Edge::scope`].

use super::Edge;
use super::admin::Caller;
use super::recorded;
use super::request::fitting;
use super::status::{invalid, over};
use crate::admission::{AdmissionError, Book, Revocation, Scope, TenantRecord, TenantState, Which};
use crate::audit::{Act, Outcome};
use crate::limits::{REASON_BYTES, SUBJECT_BYTES};
use confhub_proto::{TenantId, wire};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tonic::{Request, Response, Status};
use wire::access_service_server::AccessService;
use wire::revoke_request::Which as Asked;

/// Most tenants in one answer of `ListTenants`.
const PAGE: usize = 1_000;

#[tonic::async_trait]
impl AccessService for Edge {
    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let scope = self.scope(&caller, &asked.tenant, asked.all_tenants)?;
        let before = asked.issued_before.map(seconds).transpose()?;
        let which = match asked.which {
            None => Which::All,
            Some(Asked::Subject(subject)) => Which::Subject(name("subject", subject)?),
            Some(Asked::TokenId(id)) => Which::Token(name("token_id", id)?),
        };
        if before.is_some() && matches!(which, Which::Token(_)) {
            return Err(invalid(
                "`issued_before` and `token_id` do not go together: a token was issued once",
            ));
        }
        if scope == Scope::AllTenants && (before.is_none() || which != Which::All) {
            return Err(invalid("`all_tenants` takes `issued_before`, and neither `subject` nor `token_id`"));
        }
        self.check_way_back(&scope, &which, asked.issued_before)?;
        let revocation = Revocation::new(which, before, reason(asked.reason)?, &caller.subject);
        let id = Revocation::id(&scope, &revocation.which);
        let names = revocation.words();
        caller.call.about(vec![Act { names, ..on(id, "revoke") }]);
        let book = self.book();
        let shown = scope.clone();
        let (id, revocation) =
            self.carried(&caller, async move { book.revoke(&scope, revocation).await }).await?;
        let revocation = wire_revocation(&shown, id, revocation, (self.clock)());
        Ok(Response::new(wire::RevokeResponse { revocation: Some(revocation) }))
    }

    async fn restore(
        &self,
        request: Request<wire::RestoreRequest>,
    ) -> Result<Response<wire::RestoreResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let scope = self.scope(&caller, &asked.tenant, asked.all_tenants)?;
        caller.call.about(vec![on(asked.id.chars().take(64).collect(), "restore")]);
        let (book, author) = (self.book(), Arc::clone(&caller.subject));
        self.carried(&caller, async move { book.restore(&scope, &asked.id, &author).await }).await?;
        Ok(Response::new(wire::RestoreResponse {}))
    }

    async fn list_revocations(
        &self,
        request: Request<wire::ListRevocationsRequest>,
    ) -> Result<Response<wire::ListRevocationsResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let scope = self.scope(&caller, &asked.tenant, asked.all_tenants)?;
        let mut revocations: Vec<_> = if scope == Scope::AllTenants {
            let all = self.book().all_revocations().into_iter();
            all.map(|(scope, id, revocation, at)| wire_revocation(&scope, id, revocation, at)).collect()
        } else {
            let own = self.book().revocations(&scope).into_iter();
            own.map(|(id, revocation, at)| wire_revocation(&scope, id, revocation, at)).collect()
        };
        let fits = fitting(revocations.iter().map(prost::Message::encoded_len));
        let more = revocations.len() > fits;
        revocations.truncate(fits);
        Ok(Response::new(wire::ListRevocationsResponse { revocations, more }))
    }

    async fn set_tenant(
        &self,
        request: Request<wire::SetTenantRequest>,
    ) -> Result<Response<wire::SetTenantResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let tenant = self.ruled(&caller, &asked.tenant)?;
        let state = match asked.state() {
            wire::TenantState::Active => TenantState::Active,
            wire::TenantState::Suspended => TenantState::Suspended,
            wire::TenantState::Unspecified => {
                return Err(invalid("`state` is not set: TENANT_STATE_ACTIVE or TENANT_STATE_SUSPENDED"));
            }
        };
        if self.operators.as_ref() == Some(&tenant) {
            return Err(Status::failed_precondition("the operators' own tenant is always served"));
        }
        let action = if state == TenantState::Active { "activate" } else { "suspend" };
        let names = asked.reason.clone();
        caller.call.about(vec![Act { names, ..on(tenant.to_string(), action) }]);
        let record = TenantRecord::new(state, reason(asked.reason)?, &caller.subject);
        let book = self.book();
        self.carried(&caller, async move { book.set_tenant(&tenant, &record).await }).await?;
        Ok(Response::new(wire::SetTenantResponse {}))
    }

    async fn forget_tenant(
        &self,
        request: Request<wire::ForgetTenantRequest>,
    ) -> Result<Response<wire::ForgetTenantResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        let tenant = self.ruled(&caller, &asked.tenant)?;
        caller.call.about(vec![on(tenant.to_string(), "forget")]);
        let (book, author) = (self.book(), Arc::clone(&caller.subject));
        self.carried(&caller, async move { book.forget_tenant(&tenant, &author).await }).await?;
        Ok(Response::new(wire::ForgetTenantResponse {}))
    }

    async fn list_tenants(
        &self,
        request: Request<wire::ListTenantsRequest>,
    ) -> Result<Response<wire::ListTenantsResponse>, Status> {
        let (caller, asked) = self.caller(request)?;
        self.rules(&caller)?;
        let mut tenants = self.book().tenants(&asked.after);
        let more = tenants.len() > PAGE;
        tenants.truncate(PAGE);
        let tenants = tenants.into_iter().map(|(tenant, record, modified)| wire::TenantRecord {
            tenant: tenant.to_string(),
            state: match record.state {
                TenantState::Active => wire::TenantState::Active.into(),
                TenantState::Suspended => wire::TenantState::Suspended.into(),
            },
            reason: record.reason,
            author: record.author,
            modified_at: Some(modified.into()),
        });
        Ok(Response::new(wire::ListTenantsResponse { tenants: tenants.collect(), more }))
    }
}

impl Edge {
    fn book(&self) -> Book {
        Book::new(self.admission.clone())
    }

    /// Whoever speaks for one service does not speak for a tenant.
    fn has_no_service(&self, caller: &Caller) -> Result<(), Status> {
        match &caller.service {
            None => Ok(()),
            Some(service) => Err(Status::permission_denied(format!(
                "the token is limited to the service `{service}`, and this concerns the whole tenant"
            ))),
        }
    }

    /// Whether the caller is of the operators' tenant.
    fn rules(&self, caller: &Caller) -> Result<(), Status> {
        self.has_no_service(caller)?;
        if self.operators.as_ref() == Some(&caller.tenant) {
            return Ok(());
        }
        Err(Status::permission_denied("this takes a token of the operators' tenant (`auth.operators`)"))
    }

    /// Refuses what would cut off every operator for good: a new token would not help
    /// them, and nobody else could lift it.
    fn check_way_back(
        &self,
        scope: &Scope,
        which: &Which,
        before: Option<prost_types::Timestamp>,
    ) -> Result<(), Status> {
        let operators = match scope {
            Scope::AllTenants => true,
            Scope::Tenant(tenant) => self.operators.as_ref() == Some(tenant),
        };
        if !operators || *which != Which::All {
            return Ok(());
        }
        let before = before.and_then(|before| SystemTime::try_from(before).ok());
        // Clocks differ a little.
        let latest = (self.clock)() + Duration::from_secs(60);
        if before.is_some_and(|before| before <= latest) {
            return Ok(());
        }
        Err(Status::failed_precondition(
            "this would cut off all operators of the hub for good: give an `issued_before` that is not in the \
             future, so that tokens issued after it are good",
        ))
    }

    /// A tenant that the caller rules over because it is an operator of the hub.
    fn ruled(&self, caller: &Caller, tenant: &str) -> Result<TenantId, Status> {
        caller.call.about_tenant(tenant);
        self.rules(caller)?;
        TenantId::new(tenant).map_err(invalid)
    }

    /// What a call is about: the caller's own tenant, unless it names another.
    fn scope(&self, caller: &Caller, tenant: &str, all_tenants: bool) -> Result<Scope, Status> {
        self.has_no_service(caller)?;
        match (tenant, all_tenants) {
            ("", false) => Ok(Scope::Tenant(caller.tenant.clone())),
            ("", true) => {
                // A name that no tenant has.
                caller.call.about_tenant("*");
                self.rules(caller).map(|()| Scope::AllTenants)
            }
            (_, true) => Err(invalid("`tenant` and `all_tenants` do not go together")),
            (tenant, false) if tenant == caller.tenant.as_str() => Ok(Scope::Tenant(caller.tenant.clone())),
            (tenant, false) => self.ruled(caller, tenant).map(Scope::Tenant),
        }
    }

    /// Carries a write to its end, though its caller may leave.
    async fn carried<T: Send + 'static>(
        &self,
        caller: &Caller,
        write: impl Future<Output = Result<T, AdmissionError>> + Send + 'static,
    ) -> Result<T, Status> {
        let held = (caller.place.clone(), Arc::clone(&self.writes).read_owned().await);
        let (audit, call) = (self.audit.clone(), caller.call.clone());
        let written = tokio::spawn(async move {
            let written = write.await.map_err(Status::from);
            match &written {
                Ok(_) => {
                    call.log_access();
                    audit.tell(&call, Outcome::Done, "").await;
                }
                Err(status) => recorded::tell(&audit, &call, status).await,
            }
            drop(held);
            written
        });
        written.await.map_err(|_| Status::internal("the write has ended without an answer"))?
    }
}

/// What a call is about, for the audit log: a revocation by its id, or a tenant.
fn on(name: String, action: &'static str) -> Act {
    Act { key: name, action, ..Act::default() }
}

impl From<AdmissionError> for Status {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Write(error) => error.into(),
            AdmissionError::NoRevocation(_) | AdmissionError::NoTenant(_) => {
                Self::not_found(error.to_string())
            }
            AdmissionError::TooMany { .. } => over("revocations", error.to_string(), None),
        }
    }
}

/// A subject or a token's id, as a token may have it.
fn name(field: &str, text: String) -> Result<String, Status> {
    if text.is_empty() || text.len() > SUBJECT_BYTES || text.chars().any(char::is_control) {
        let wanted = format!("1 to {SUBJECT_BYTES} bytes without control characters");
        return Err(invalid(format!("`{field}` has {} bytes; {wanted} are expected", text.len())));
    }
    Ok(text)
}

fn reason(text: String) -> Result<String, Status> {
    if text.len() > REASON_BYTES {
        let bytes = text.len();
        return Err(invalid(format!("`reason` has {bytes} bytes; at most {REASON_BYTES} are allowed")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid("`reason` has control characters, such as a line break: give it in one line"));
    }
    Ok(text)
}

/// A moment in whole seconds, as tokens count. One within a second is rounded up: what
/// is issued later in that second cannot be told from what was issued before.
fn seconds(moment: prost_types::Timestamp) -> Result<u64, Status> {
    let moment = SystemTime::try_from(moment).map_err(|_| invalid("`issued_before` is out of range"))?;
    let since = moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| invalid("`issued_before` is before 1970"))?;
    Ok(since.as_secs() + u64::from(since.subsec_nanos() > 0))
}

fn wire_revocation(scope: &Scope, id: String, revocation: Revocation, at: SystemTime) -> wire::Revocation {
    let (subject, token_id) = match revocation.which {
        Which::All => (String::new(), String::new()),
        Which::Subject(subject) => (subject, String::new()),
        Which::Token(id) => (String::new(), id),
    };
    let before = revocation
        .issued_before
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(Into::into));
    wire::Revocation {
        id,
        tenant: match scope {
            Scope::AllTenants => String::new(),
            Scope::Tenant(tenant) => tenant.to_string(),
        },
        subject,
        token_id,
        issued_before: before,
        reason: revocation.reason,
        author: revocation.author,
        modified_at: Some(at.into()),
    }
}
