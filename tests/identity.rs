//! Who calls is what the token says, and what the token says is all there is.

use crate::support::{Caller, Event, Hub, soon};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confhub::auth::{DevIssuer, Role};
use confhub_proto::wire::{self, goodbye::Reason};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost::Message;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use wire::config_service_client::ConfigServiceClient;

/// Claims as the development issuer makes them.
fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": "confhub-dev", "sub": "tester", "aud": "confhub", "token_use": "id",
        "iat": now, "exp": now + 3_600,
        "custom:tenantId": "acme", "cognito:groups": ["reader", "writer"],
    })
}

/// Signs with the key of the hub that has this folder.
fn sign(hub: &Hub, claims: &Value) -> String {
    let key = std::fs::read(DevIssuer::path(hub.folder.path())).unwrap();
    let issuer = DevIssuer::open(hub.folder.path()).unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(issuer.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&key)).unwrap()
}

async fn connect(hub: &Hub) -> Channel {
    Endpoint::from_shared(hub.endpoint()).unwrap().connect().await.unwrap()
}

/// Calls both ways, unary and streaming, with this header; both are refused alike.
async fn refusal(channel: &Channel, authorization: Option<&str>) -> Status {
    let mut client = ConfigServiceClient::new(channel.clone());
    let add = |metadata: &mut MetadataMap| {
        if let Some(value) = authorization {
            metadata.insert("authorization", value.parse().unwrap());
        }
    };
    let mut unary = Request::new(wire::GetRequest { key: "tenant_config_a".into(), service: String::new() });
    add(unary.metadata_mut());
    let unary = client.get(unary).await.unwrap_err();
    let mut streaming = Request::new(wire::SubscribeRequest::default());
    add(streaming.metadata_mut());
    let streaming = client.subscribe(streaming).await.unwrap_err();
    assert_eq!((unary.code(), unary.message()), (streaming.code(), streaming.message()));
    unary
}

#[tokio::test]
async fn without_a_good_token_nobody_gets_in_and_everyone_is_told_why() {
    let hub = Hub::start().await;
    let other = Hub::start().await;
    let channel = connect(&hub).await;
    let altered = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        format!("Bearer {}", sign(&hub, &claims))
    };
    let good = sign(&hub, &claims());
    let parts: Vec<_> = good.split('.').collect();
    let mut forged = claims();
    forged["custom:tenantId"] = "globex".into();
    let forged = [parts[0], &URL_SAFE_NO_PAD.encode(forged.to_string()), parts[2]].join(".");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let refused = [
        (None, "no token"),
        (Some(String::new()), "bearer"),
        (Some("Basic dTpw".to_owned()), "bearer"),
        (Some("Bearer".to_owned()), "bearer"),
        (Some("Bearer not-a-token".to_owned()), "JSON Web Token"),
        (Some(format!("Bearer {header}.{}.", parts[1])), "JSON Web Token"),
        (Some(format!("Bearer {forged}")), "signature"),
        (Some(format!("Bearer {}", other.token("acme"))), "issuer"),
        (Some(altered("iss", "somebody".into())), "iss"),
        (Some(altered("exp", 1_000_000.into())), "expired"),
        (Some(altered("exp", "tomorrow".into())), "exp"),
        (Some(altered("nbf", 9_999_999_999_u64.into())), "nbf"),
        (Some(altered("custom:tenantId", Value::Null)), "custom:tenantId"),
        (Some(altered("custom:tenantId", "a/b".into())), "custom:tenantId"),
        (Some(altered("custom:tenantId", json!(["acme", "globex"]))), "custom:tenantId"),
        (Some(altered("custom:service", "../x".into())), "custom:service"),
        (Some(altered("custom:service", "shared".into())), "custom:service"),
        (Some(altered("token_use", "refresh".into())), "token_use"),
        (Some(format!("Bearer {}", "x".repeat(9_000))), "at most"),
    ];
    for (authorization, reason) in refused {
        let status = refusal(&channel, authorization.as_deref()).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{authorization:?}");
        assert!(status.message().contains(reason), "{status} instead of {reason}");
    }
    // The same connection serves whoever has one.
    Caller::connect(&hub.endpoint(), &good).await.put("tenant_config_a", "1").await.unwrap();
}

#[tokio::test]
async fn two_tokens_are_refused() {
    let hub = Hub::start().await;
    let mut client = ConfigServiceClient::new(connect(&hub).await);
    let mut request = Request::new(wire::SubscribeRequest::default());
    for tenant in ["acme", "globex"] {
        let value = format!("Bearer {}", hub.token(tenant)).parse().unwrap();
        request.metadata_mut().append("authorization", value);
    }
    let status = client.subscribe(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_within_a_second_after_a_goodbye() {
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(100)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = claims();
    claims["exp"] = (now + 3).into();
    let expires = UNIX_EPOCH + Duration::from_secs(now + 3);
    let caller = Caller::connect(&hub.endpoint(), &sign(&hub, &claims)).await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let goodbye = loop {
        match stream.event().await {
            Event::Goodbye(goodbye) => break goodbye,
            Event::End(status) => panic!("{status} before a goodbye"),
            _ => {}
        }
    };
    assert_eq!(goodbye.reason(), Reason::TokenExpiring);
    assert!(SystemTime::now() < expires, "the goodbye leaves time to get a new token");
    caller.put("tenant_config_a", "1").await.unwrap();
    stream.until("what is written after the goodbye", |state| state.len() == 1).await;
    let status = stream.until_end().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    let late = SystemTime::now().duration_since(expires).expect("it ended before its time");
    assert!(late < Duration::from_secs(1), "it ended {late:?} late");
}

#[tokio::test]
async fn a_stream_that_is_not_idle_ends_with_its_token_too() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = claims();
    claims["exp"] = (now + 2).into();
    let caller = Caller::connect(&hub.endpoint(), &sign(&hub, &claims)).await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    let writing = async {
        loop {
            writer.put("tenant_config_a", "1").await.unwrap();
        }
    };
    let status = tokio::select! {
        status = soon("the end", stream.until_end()) => status,
        () = writing => unreachable!(),
    };
    assert_eq!(status.code(), Code::Unauthenticated);
    let late = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(now + 2)).unwrap();
    assert!(late < Duration::from_secs(1), "it ended {late:?} late");
}

#[tokio::test]
async fn each_role_may_do_its_part() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    for (roles, writes, reveals) in [
        (&[][..], false, false),
        (&[Role::Reader], false, false),
        (&[Role::Writer], true, false),
        (&[Role::SecretReader], false, true),
    ] {
        let token = hub.token_of("acme", None, roles, Duration::from_secs(60));
        let caller = Caller::connect(&hub.endpoint(), &token).await;
        let denied = |outcome: Result<(), Status>| outcome.is_err_and(|s| s.code() == Code::PermissionDenied);
        let put = caller.put("tenant_config_a", "1").await.map(drop);
        let apply = caller.apply(vec![crate::support::put("", "tenant_config_a", "1")]).await.map(drop);
        let rollback = caller.rollback("tenant_config_a", 1).await.map(drop);
        let delete = caller.delete_for("", "tenant_config_never").await.map(drop);
        for outcome in [put, apply, rollback, delete] {
            assert_eq!(denied(outcome), !writes, "{roles:?}");
        }
        let reveal = caller.reveal("", "tenant_config_a").await.map(drop);
        assert_eq!(denied(reveal), !reveals, "{roles:?}");
        caller.subscribe("", b"").await.unwrap().until_current().await;
        assert_eq!(caller.list().await.len(), 1);
        caller.status().await.unwrap();
    }
}

/// Requests in which an operator of the hub names the tenant that it is about. The
/// scope of the caller is never read from it: see `admission`.
const ABOUT_A_TENANT: [&str; 5] =
    ["RevokeRequest", "RestoreRequest", "ListRevocationsRequest", "SetTenantRequest", "ForgetTenantRequest"];

#[test]
fn no_request_has_a_tenant_but_those_that_rule_over_tenants() {
    let set = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let file = set.file.iter().find(|file| file.package() == "confhub.v1").unwrap();
    let named = |name: &str| {
        let name = name.strip_prefix(".confhub.v1.")?;
        file.message_type.iter().find(|message| message.name() == name)
    };
    let methods = file.service.iter().flat_map(|service| &service.method);
    let mut to_look_at: Vec<_> = methods.map(|method| named(method.input_type()).unwrap()).collect();
    assert!(to_look_at.len() >= 12);
    let mut fields = 0;
    while let Some(message) = to_look_at.pop() {
        for field in &message.field {
            let about = ABOUT_A_TENANT.contains(&message.name());
            assert!(about || !field.name().contains("tenant"), "{}.{}", message.name(), field.name());
            fields += 1;
            to_look_at.extend(named(field.type_name()));
        }
    }
    assert!(fields > 20);
}

#[tokio::test]
async fn health_is_open_to_everyone() {
    let hub = Hub::start().await;
    let mut health = HealthClient::new(connect(&hub).await);
    for service in ["", "confhub.v1.ConfigService", "confhub.v1.AdminService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = health.check(request).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "confhub.v1.Nothing".to_owned() };
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_generic_client_finds_everything_by_reflection_and_can_call_it() {
    let hub = Hub::start().await;
    let channel = connect(&hub).await;
    let asked = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let requests = tokio_stream::iter([
        asked(MessageRequest::ListServices(String::new())),
        asked(MessageRequest::FileContainingSymbol("confhub.v1.ConfigService".to_owned())),
    ]);
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let mut answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let mut next = async || {
        let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
        answer.message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = next().await else { panic!("no list") };
    let services: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["confhub.v1.ConfigService", "confhub.v1.AdminService", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|name| name == service), "{service} is not in {services:?}");
    }
    let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("no file") };
    let files = files.file_descriptor_proto.into_iter();
    let mut files = files.map(|file| prost_types::FileDescriptorProto::decode(&*file).unwrap());
    let file = files.find(|file| file.package() == "confhub.v1").unwrap();
    let admin = file.service.iter().find(|service| service.name() == "AdminService").unwrap();
    let status = admin.method.iter().find(|method| method.name() == "Status").unwrap();

    // A generic client knows no more than this: a path, and messages by their fields.
    let mut generic = tonic::client::Grpc::new(channel);
    generic.ready().await.unwrap();
    let path = format!("/{}.{}/{}", file.package(), admin.name(), status.name());
    let mut request = Request::new(());
    let token = format!("Bearer {}", hub.token("acme"));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let codec = tonic_prost::ProstCodec::<(), wire::StatusResponse>::default();
    let answer = generic.unary(request, path.parse().unwrap(), codec).await.unwrap().into_inner();
    assert_eq!(answer.tenant, "acme");
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_with_or_without_a_token() {
    let hub = Hub::start().await;
    for path in ["/confhub.v1.AdminService/Nothing", "/confhub.v2.ConfigService/Get", "/nothing.at/All"] {
        let mut generic = tonic::client::Grpc::new(connect(&hub).await);
        generic.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = generic.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}
