//! Each tenant's token, from the program.

use crate::credentials::Credentials;
use crate::{SharedTokens, TenantId, TokenError, TokenRequest, TokenSource};
use std::future::Future;
use std::sync::Arc;

/// A source of each tenant's token. Any closure that returns a future is one:
///
/// ```
/// use confhub_client::{Pool, TenantId, TokenError, TokenRequest};
///
/// # async fn login(tenant: &str, fresh: bool) -> Result<String, std::io::Error> { Ok(String::new()) }
/// let builder = Pool::builder().tokens(|tenant: TenantId, request: TokenRequest| async move {
///     login(tenant.as_str(), request.renew).await.map_err(TokenError::new)
/// });
/// ```
///
/// It is asked under no lock, within a bound of time, for each new stream and
/// before a token expires; for several tenants at once, but for one tenant never
/// twice at the same time. A panic is a failure of that one attempt.
pub trait TenantTokens: Send + Sync + 'static {
    /// A token of this tenant that is valid now. One of another tenant is
    /// noticed, and nothing is read with it.
    ///
    /// # Errors
    /// If there is none now; the tenant's client tries again after a pause.
    fn token(
        &self,
        tenant: &TenantId,
        request: TokenRequest,
    ) -> impl Future<Output = Result<String, TokenError>> + Send;
}

impl<F, R> TenantTokens for F
where
    F: Fn(TenantId, TokenRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, TokenError>> + Send,
{
    fn token(
        &self,
        tenant: &TenantId,
        request: TokenRequest,
    ) -> impl Future<Output = Result<String, TokenError>> + Send {
        self(tenant.clone(), request)
    }
}

/// One tenant's part of them.
struct OfTenant<T> {
    tokens: Arc<T>,
    tenant: TenantId,
}

impl<T: TenantTokens> TokenSource for OfTenant<T> {
    fn token(&self, request: TokenRequest) -> impl Future<Output = Result<String, TokenError>> + Send {
        self.tokens.token(&self.tenant, request)
    }
}

/// Makes the credentials of one tenant's client.
pub(super) type Issue = Arc<dyn Fn(TenantId) -> Credentials + Send + Sync>;

pub(super) fn issue(tokens: impl TenantTokens) -> Issue {
    let tokens = Arc::new(tokens);
    Arc::new(move |tenant| {
        Credentials::of(SharedTokens::new(OfTenant { tokens: Arc::clone(&tokens), tenant }))
    })
}

/// The same of sources that others have too.
pub(super) fn issue_shared(tokens: impl Fn(&TenantId) -> SharedTokens + Send + Sync + 'static) -> Issue {
    Arc::new(move |tenant| Credentials::of(tokens(&tenant)))
}
