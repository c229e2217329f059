//! The one layer that every call passes, unary and streaming alike.
//!
//! It looks only at the path and the headers, so a refused caller costs the hub
//! no more than that. What comes out at the inner service has an [`Identity`] in
//! its extensions, except on methods that are open to everyone.

use super::{Access, AuthError, Authenticator, Identity, Role};
use crate::admission::Admission;
use crate::audit::Call;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Told of every refusal, for counting.
pub type RefusalHook = Arc<dyn Fn(&AuthError) + Send + Sync>;

/// Puts an [`AuthService`] in front of a service.
#[derive(Clone)]
pub struct AuthLayer {
    authenticator: Authenticator,
    admission: Admission,
    on_refusal: Option<RefusalHook>,
}

impl AuthLayer {
    /// A layer that asks `authenticator` who somebody is, and `admission` whether
    /// they are let in.
    #[must_use]
    pub fn new(authenticator: Authenticator, admission: Admission) -> Self {
        Self { authenticator, admission, on_refusal: None }
    }

    /// Tells `hook` of every refusal.
    #[must_use]
    pub fn on_refusal(mut self, hook: RefusalHook) -> Self {
        self.on_refusal = Some(hook);
        self
    }

    /// Who calls the method at `path`; `None` if it is open to everyone.
    async fn admit(
        &self,
        path: &str,
        headers: &http::HeaderMap,
        call: Option<&Call>,
    ) -> Result<Option<Identity>, AuthError> {
        let role = match Access::of(path) {
            None => return Err(AuthError::UnknownMethod { method: super::error::shown(path) }),
            Some(Access::Open) => return Ok(None),
            Some(Access::Needs(role)) => role,
        };
        self.caller(path, role, headers, call).await.map(Some)
    }

    /// Who sends `headers` to a method that needs `role`, if they may call it. A call
    /// learns of its caller.
    pub(crate) async fn caller(
        &self,
        method: &str,
        role: Role,
        headers: &http::HeaderMap,
        call: Option<&Call>,
    ) -> Result<Identity, AuthError> {
        let identity = self.authenticator.authenticate(headers).await?;
        if let Some(call) = call {
            call.by(&identity);
        }
        self.admission.check(&identity).map_err(AuthError::Refused)?;
        if identity.roles.has(role) {
            Ok(identity)
        } else {
            Err(AuthError::Role { method: method.to_owned(), role })
        }
    }

    /// The status of a refusal, which is counted, and of which its call learns.
    pub(crate) fn refuse(&self, path: &str, error: &AuthError, call: Option<&Call>) -> Status {
        if let Some(call) = call {
            call.because(error.reason());
            if let Some(identity) = error.identity() {
                call.by(identity);
            }
        }
        tracing::debug!(path, reason = error.reason(), %error, "refused a call");
        if let Some(hook) = &self.on_refusal {
            hook(error);
        }
        Status::from(error)
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { layer: self.clone(), inner }
    }
}

/// Lets a call through to `S` if its caller may make it.
#[derive(Clone)]
pub struct AuthService<S> {
    layer: AuthLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready goes along; its clone stays for the next call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            // Only the layer says who somebody is.
            request.extensions_mut().remove::<Identity>();
            let call = request.extensions().get::<Call>().cloned();
            match layer.admit(&path, request.headers(), call.as_ref()).await {
                Ok(None) => {}
                Ok(Some(identity)) => drop(request.extensions_mut().insert(identity)),
                Err(error) => return Ok(layer.refuse(&path, &error, call.as_ref()).into_http()),
            }
            inner.call(request).await
        })
    }
}

#[cfg(test)]
mod tests;
