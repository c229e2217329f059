//! Flags over HTTP, for browsers and for languages without a client: OpenFeature's remote
//! evaluation protocol (OFREP), version 0.3.
//! <https://github.com/open-feature/protocol>
//!
//! | path | answer |
//! |---|---|
//! | `POST /ofrep/v1/evaluate/flags/{key}` | one flag for the context in the request |
//! | `POST /ofrep/v1/evaluate/flags` | all of them, with an `ETag`; 304 if that is the one that is known |
//!
//! A caller shows the same token as on the gRPC port, and has the same place, pace and
//! line in the audit log. The tenant is the token's; the service is the token's too, or,
//! where it names none, what the header `x-confhub-service` asks for.
//!
//! Each view's flags are compiled once a change and kept while somebody asks for them
//! (`views`). Nothing here is an evaluator: that is `confhub-flags`.

mod answer;
mod request;
mod views;

pub use views::Views;

use crate::audit::Call;
use crate::grpc::outside::{Guest, Outside};
use crate::grpc::recorded::REQUEST_ID;
use crate::metrics::{Outcome, OutcomeLabel};
use answer::Answer;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::post;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Status;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Names the service whose view a token without one wants.
const SERVICE: HeaderName = HeaderName::from_static("x-confhub-service");

/// Longest time until an answer begins: a request arrives, waits for its turn, and may
/// be the first that its tenant is loaded for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a browser may remember what it was allowed.
const ALLOWED: Duration = Duration::from_secs(600);

/// As the audit log names them.
const ONE: &str = "/ofrep/v1/evaluate/flags/{key}";
const ALL: &str = "/ofrep/v1/evaluate/flags";

/// What the routes stand on.
pub struct Ofrep {
    outside: Outside,
    views: Arc<Views>,
}

impl Ofrep {
    /// Evaluates the flags of `views` for whom `outside` lets in.
    #[must_use]
    pub fn new(outside: Outside, views: Arc<Views>) -> Self {
        Self { outside, views }
    }

    /// The routes. Pages of `origins` may call them from a browser (`*`: of any).
    pub fn routes(self, origins: &[String]) -> Router {
        let router = Router::new()
            // A name with a slash comes as it is from some clients.
            .route("/ofrep/v1/evaluate/flags/{*key}", post(one))
            .route(ALL, post(all))
            .with_state(Arc::new(self));
        match cors(origins) {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }

    /// Answers a request within its time, and has it named and recorded.
    async fn answered(&self, method: &'static str, key: Option<&str>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        // Whoever comes by another server than ours has no connection to answer for.
        let unknown = || Guest::from(([0, 0, 0, 0], 0).into());
        let guest = parts.extensions.get::<Guest>().cloned().unwrap_or_else(unknown);
        let call = self.outside.call(&parts.headers, method, &guest);
        let answered = timeout(PATIENCE, self.answer(method, key, &parts, body, &guest, &call)).await;
        let late = || Err(Status::deadline_exceeded(format!("not done after {PATIENCE:?}: try again")));
        let mut response = match answered.unwrap_or_else(|_| late()) {
            Ok(answer) => answer.into(),
            Err(status) => answer::refusal(&self.outside.refused(&call, &guest, status).await, key),
        };
        let outcome = match response.status() {
            status if status.is_server_error() => Outcome::Failed,
            // That there is no such flag, or none that can be evaluated, is an answer too.
            status if status.is_client_error() && !call.is_identified() => Outcome::Refused,
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => {
                Outcome::Refused
            }
            _ => Outcome::Done,
        };
        self.outside.metrics().evaluations.get_or_create(&OutcomeLabel { outcome }).inc();
        if let Ok(id) = HeaderValue::from_str(call.id()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    async fn answer(
        &self,
        method: &'static str,
        key: Option<&str>,
        parts: &Parts,
        body: Body,
        guest: &Guest,
        call: &Call,
    ) -> Result<Answer, Status> {
        // Before the body is read.
        let (identity, place) = self.outside.enter(&parts.headers, method, guest, call).await?;
        let asked = parts.headers.get(SERVICE).map_or(Ok(""), HeaderValue::to_str);
        let asked = asked.map_err(|_| Status::invalid_argument(format!("`{SERVICE}` must be a name")))?;
        let service = self.outside.service(&identity, asked)?;
        let context = match request::context(body).await {
            Ok(context) => context,
            Err(bad) => return Ok(bad.answer(key)),
        };
        let flags = self.views.flags(self.outside.tenants(), &identity.tenant, service).await?;
        let now = request::seconds((self.outside.clock())());
        match key {
            Some(key) => Ok(answer::one(&flags, key, &context, now, place)),
            None => answer::all(&flags, &context, now, place, &parts.headers).await,
        }
    }
}

async fn one(
    State(ofrep): State<Arc<Ofrep>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    match key {
        Ok(Path(key)) => ofrep.answered(ONE, Some(&key), request).await,
        // No flag has such a name.
        Err(_) => ofrep.answered(ONE, Some("\u{fffd}"), request).await,
    }
}

async fn all(State(ofrep): State<Arc<Ofrep>>, request: Request) -> Response {
    ofrep.answered(ALL, None, request).await
}

/// What browsers are told that run pages of these origins.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let cors = CorsLayer::new()
        .allow_methods([Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            SERVICE,
            REQUEST_ID,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, REQUEST_ID])
        .max_age(ALLOWED);
    match origins {
        [] => None,
        all if all.iter().any(|origin| origin == "*") => Some(cors.allow_origin(Any)),
        some => {
            let origins = some.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
            Some(cors.allow_origin(AllowOrigin::list(origins)))
        }
    }
}
