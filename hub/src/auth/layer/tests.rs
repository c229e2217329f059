//! What a caller gets to see at the layer.

use super::*;
use crate::auth::{DevClaims, DevIssuer, Role};
use crate::clock::system_clock;
use crate::config::AuthSettings;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use tonic::Code;
use tower::ServiceExt;

/// Calls `path` with a token of these roles, and gives the status and the
/// identity that the inner service saw.
async fn call(path: &str, roles: Option<&[Role]>) -> (Option<Code>, Option<Identity>, Vec<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = AuthSettings::default();
    let authenticator = Authenticator::open(&settings, folder.path(), system_clock()).await.unwrap();
    let mut request = Request::builder().uri(path);
    if let Some(roles) = roles {
        let claims = DevClaims {
            tenant: "acme".parse().unwrap(),
            service: None,
            roles: roles.to_vec(),
            subject: "me".to_owned(),
            ttl: Duration::from_secs(60),
        };
        let dev = DevIssuer::open(folder.path()).unwrap();
        let token = dev.mint(&claims, SystemTime::now()).unwrap();
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let seen = Arc::new(Mutex::new(None));
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let (seen_inside, counted) = (Arc::clone(&seen), Arc::clone(&reasons));
    let inner = tower::service_fn(move |request: Request<Body>| {
        *seen_inside.lock().unwrap() = request.extensions().get::<Identity>().cloned();
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let layer = AuthLayer::new(authenticator, crate::admission::testing::open_to_all().await)
        .on_refusal(Arc::new(move |error| counted.lock().unwrap().push(error.reason())));
    let response = layer.layer(inner).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let code = Status::from_header_map(response.headers()).map(|status| status.code());
    let (seen, reasons) = (seen.lock().unwrap().take(), reasons.lock().unwrap().clone());
    (code, seen, reasons)
}

#[tokio::test]
async fn a_valid_token_brings_its_identity_along() {
    let (code, seen, reasons) = call("/confhub.v1.ConfigService/Subscribe", Some(&[])).await;
    assert_eq!(code, None);
    assert_eq!(seen.unwrap().tenant.as_str(), "acme");
    assert!(reasons.is_empty());
}

#[tokio::test]
async fn without_a_token_nothing_but_the_open_services_is_reached() {
    let (code, seen, reasons) = call("/confhub.v1.ConfigService/Get", None).await;
    assert_eq!(code, Some(Code::Unauthenticated));
    assert!(seen.is_none());
    assert_eq!(reasons, ["missing"]);
    let (code, seen, _) = call("/grpc.health.v1.Health/Check", None).await;
    assert_eq!(code, None);
    assert!(seen.is_none());
}

#[tokio::test]
async fn a_role_that_is_not_granted_is_permission_denied() {
    for (path, roles, allowed) in [
        ("/confhub.v1.AdminService/Put", [Role::Reader], false),
        ("/confhub.v1.AdminService/Put", [Role::Writer], true),
        ("/confhub.v1.ConfigService/Reveal", [Role::Writer], false),
        ("/confhub.v1.ConfigService/Reveal", [Role::SecretReader], true),
    ] {
        let (code, seen, _) = call(path, Some(&roles)).await;
        assert_eq!(code, (!allowed).then_some(Code::PermissionDenied), "{path} {roles:?}");
        assert_eq!(seen.is_some(), allowed);
    }
}

#[tokio::test]
async fn a_method_that_nobody_thought_about_is_closed() {
    let (code, seen, _) = call("/confhub.v1.ConfigService/New", Some(&Role::ALL)).await;
    assert_eq!(code, Some(Code::Unimplemented));
    assert!(seen.is_none());
}
