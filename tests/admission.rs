//! Who is let in: tenants that are served or not, tokens that are revoked, and how
//! long a stream may live.

use crate::support::raw::{Raw, framed};
use crate::support::{
    Caller, Event, Hub, Operator, Stream, client, has, soon, text, until_state, until_status,
};
use confhub::auth::Role;
use confhub::config::{UnknownTenants, WithoutService};
use confhub_client::{Closed, Status};
use confhub_proto::wire::{self, goodbye::Reason, revoke_request::Which};
use futures_util::future::join_all;
use prost::Message as _;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tonic::Code;

const HOUR: Duration = Duration::from_secs(3_600);

/// Roles of those who rule.
const RULERS: [Role; 2] = [Role::Operator, Role::Revoker];

impl Caller {
    async fn revoke(&self, request: wire::RevokeRequest) -> Result<wire::Revocation, tonic::Status> {
        let answer = self.access.clone().revoke(self.request(request)).await?;
        Ok(answer.into_inner().revocation.unwrap())
    }

    async fn set_tenant(&self, tenant: &str, state: wire::TenantState) -> Result<(), tonic::Status> {
        let request =
            wire::SetTenantRequest { tenant: tenant.into(), state: state.into(), reason: String::new() };
        self.access.clone().set_tenant(self.request(request)).await.map(drop)
    }

    async fn restore(&self, id: &str) -> Result<(), tonic::Status> {
        let request = wire::RestoreRequest { id: id.into(), ..Default::default() };
        self.access.clone().restore(self.request(request)).await.map(drop)
    }
}

async fn operators(hub: &Hub) -> Caller {
    Caller::connect(&hub.endpoint(), &hub.token_of("operators", None, &RULERS, HOUR)).await
}

fn reason(status: &tonic::Status) -> &str {
    status.metadata().get(wire::REASON_METADATA).map_or("", |word| word.to_str().unwrap())
}

/// Reads on until the end, which is what is left to come.
async fn end(stream: &mut Stream) -> tonic::Status {
    loop {
        if let Event::End(status) = stream.event().await {
            return status;
        }
    }
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_and_its_streams_end_and_others_feel_nothing() {
    let hub = Hub::start().await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let operators = operators(&hub).await;
    acme.put("tenant_config_a", "1").await.unwrap();
    let mut theirs = acme.subscribe("", &[]).await.unwrap();
    let mut others = globex.subscribe("", &[]).await.unwrap();
    theirs.until_current().await;
    others.until_current().await;

    operators.set_tenant("acme", wire::TenantState::Suspended).await.unwrap();
    let status = end(&mut theirs).await;
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "suspended"));
    assert_eq!(theirs.goodbye.unwrap().reason(), Reason::Revoked);
    let refused = acme.get("", "tenant_config_a").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "suspended"));
    globex.put("tenant_config_b", "2").await.unwrap();
    others.until("the change", |state| state.get("tenant_config_b").is_some()).await;

    operators.set_tenant("acme", wire::TenantState::Active).await.unwrap();
    assert_eq!(acme.get("", "tenant_config_a").await.unwrap().value, "1");
}

#[tokio::test]
async fn an_unknown_tenant_is_refused_where_that_is_set_and_learns_nothing_of_others() {
    let hub = Hub::start_with(|settings| settings.auth.unknown_tenants = UnknownTenants::Refuse).await;
    let operators = operators(&hub).await;
    operators.set_tenant("acme", wire::TenantState::Active).await.unwrap();
    operators.set_tenant("globex", wire::TenantState::Suspended).await.unwrap();
    let acme = hub.caller("acme").await;
    acme.put("tenant_config_a", "1").await.unwrap();
    let mut texts = Vec::new();
    for tenant in ["globex", "initech"] {
        let refused = hub.caller(tenant).await.get("", "tenant_config_a").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(!refused.message().contains("acme"), "{refused}");
        texts.push(refused.message().to_owned());
    }
    assert_eq!(texts[0], texts[1], "whether a tenant exists is nobody's business");
}

#[tokio::test]
async fn only_operators_of_the_hub_rule_over_other_tenants() {
    let hub = Hub::start().await;
    let acme = hub.caller("acme").await;
    let globex = hub.caller("globex").await;
    let foreign = || wire::RevokeRequest { tenant: "globex".into(), ..Default::default() };
    let all = || wire::RevokeRequest {
        all_tenants: true,
        issued_before: Some(SystemTime::now().into()),
        ..Default::default()
    };
    for request in [foreign(), all()] {
        assert_eq!(acme.revoke(request).await.unwrap_err().code(), Code::PermissionDenied);
    }
    let denied = acme.set_tenant("globex", wire::TenantState::Suspended).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let listed = acme.access.clone().list_tenants(acme.request(wire::ListTenantsRequest::default())).await;
    assert_eq!(listed.unwrap_err().code(), Code::PermissionDenied);
    for (tenant, all_tenants) in [("globex", false), ("", true)] {
        let request = wire::ListRevocationsRequest { tenant: tenant.into(), all_tenants };
        let listed = acme.access.clone().list_revocations(acme.request(request)).await;
        assert_eq!(listed.unwrap_err().code(), Code::PermissionDenied);
    }
    let operators = operators(&hub).await;
    let both = wire::RevokeRequest { tenant: "globex".into(), ..all() };
    assert_eq!(operators.revoke(both).await.unwrap_err().code(), Code::InvalidArgument);
    let own = operators.set_tenant("operators", wire::TenantState::Suspended).await.unwrap_err();
    assert_eq!(own.code(), Code::FailedPrecondition, "nobody could undo it");
    // Nothing of that has cut anybody off.
    globex.put("tenant_config_a", "1").await.unwrap();
    // An id of another tenant's revocation lifts nothing.
    let id = operators.revoke(foreign()).await.unwrap().id;
    assert_eq!(acme.restore(&id).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(globex.get("", "tenant_config_a").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn operators_cannot_cut_themselves_off_for_good() {
    let hub = Hub::start().await;
    let operators = operators(&hub).await;
    let later = Some((SystemTime::now() + HOUR).into());
    for request in [
        wire::RevokeRequest::default(),
        wire::RevokeRequest { issued_before: later, ..Default::default() },
        wire::RevokeRequest { all_tenants: true, issued_before: later, ..Default::default() },
    ] {
        let refused = operators.revoke(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    // Of before this moment they can: who signs in anew is let in.
    let now = Some((SystemTime::now() - Duration::from_secs(5)).into());
    operators.revoke(wire::RevokeRequest { issued_before: now, ..Default::default() }).await.unwrap();
}

#[tokio::test]
async fn the_hubs_own_records_are_nobodys_entries() {
    let hub = Hub::start().await;
    let operators = operators(&hub).await;
    operators.set_tenant("acme", wire::TenantState::Active).await.unwrap();
    for tenant in ["acme", "operators"] {
        let caller = hub.caller(tenant).await;
        for key in ["access_tenant_acme", "access_revoked_00000000000000000000000000000000_acme"] {
            assert_eq!(caller.put(key, "{}").await.unwrap_err().code(), Code::InvalidArgument, "{key}");
            assert_eq!(caller.get("", key).await.unwrap_err().code(), Code::InvalidArgument, "{key}");
        }
    }
    // A token of the hub's own tenant is no token.
    let own = Caller::connect(&hub.endpoint(), &hub.token("confhub.hub")).await;
    assert_eq!(own.get("", "tenant_config_a").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(own.put("tenant_config_a", "1").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_thousand_streams_of_a_revoked_subject_end_within_a_second_and_no_other() {
    let hub = Hub::start().await;
    let token = |tenant: &str| hub.token(tenant);
    let mallory = Caller::connect(&hub.endpoint(), &token("acme")).await;
    let security = Caller::connect(&hub.endpoint(), &hub.token_of("operators", None, &RULERS, HOUR)).await;
    let bystander = hub.caller("globex").await;
    let mut streams = Vec::new();
    // Some to a connection, as a process with many of them has.
    for _ in 0..10 {
        let caller = Caller::connect(&hub.endpoint(), &token("acme")).await;
        for _ in 0..100 {
            streams.push(caller.subscribe("", &[]).await.unwrap());
        }
    }
    for stream in &mut streams {
        stream.until_current().await;
    }
    let mut other = bystander.subscribe("", &[]).await.unwrap();
    other.until_current().await;

    let request = wire::RevokeRequest {
        tenant: "acme".into(),
        which: Some(Which::Subject("tester".into())),
        ..Default::default()
    };
    let written = Instant::now();
    security.revoke(request).await.unwrap();
    let ends = streams.into_iter().map(|mut stream| async move { end(&mut stream).await });
    for status in join_all(ends).await {
        assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "revoked"));
    }
    let took = written.elapsed();
    assert!(took < Duration::from_secs(1), "the last stream ended after {took:?}");
    assert_eq!(mallory.get("", "tenant_config_a").await.unwrap_err().code(), Code::PermissionDenied);
    bystander.put("tenant_config_a", "1").await.unwrap();
    other.until("the change", |state| state.get("tenant_config_a").is_some()).await;
}

#[tokio::test]
async fn a_call_that_was_held_back_is_not_made_once_its_caller_is_revoked() {
    let hub = Hub::start().await;
    let operators = operators(&hub).await;
    let raw = Raw::connect(hub.addresses.grpc, &hub.token("acme")).await;
    let write =
        wire::PutRequest { key: "tenant_config_a".into(), content: Some(text("1")), ..Default::default() };
    // Its headers are let in; its body comes when the right is gone.
    let (response, mut body) = raw.begin("confhub.v1.AdminService/Put").await;
    hub.until_metric("confhub_connections", |open| open >= 2.0).await;
    hub.caller("acme").await.get("", "tenant_config_a").await.unwrap_err();
    operators.revoke(wire::RevokeRequest { tenant: "acme".into(), ..Default::default() }).await.unwrap();
    body.send_data(framed(&write.encode_to_vec()).into(), true).unwrap();
    let answer = soon("the answer", response).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "7", "permission denied");
    let id = operators.revoke(wire::RevokeRequest { tenant: "acme".into(), ..Default::default() });
    let request =
        wire::RestoreRequest { id: id.await.unwrap().id, tenant: "acme".into(), ..Default::default() };
    operators.access.clone().restore(operators.request(request)).await.unwrap();
    let found = hub.caller("acme").await.get("", "tenant_config_a").await.unwrap_err();
    assert_eq!(found.code(), Code::NotFound, "nothing was written");
}

#[tokio::test]
async fn a_revocation_holds_after_a_restart_until_it_is_lifted() {
    let hub = Hub::start().await;
    let token = hub.token("acme");
    let globex = hub.token("globex");
    let rulers = hub.token_of("operators", None, &RULERS, HOUR);
    let operators = operators(&hub).await;
    let request = wire::RevokeRequest { tenant: "acme".into(), ..Default::default() };
    let id = operators.revoke(request).await.unwrap().id;
    let hub = Hub::start_on(hub.stop().await, |_| {}).await;
    let acme = Caller::connect(&hub.endpoint(), &token).await;
    let refused = acme.put("tenant_config_a", "1").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "revoked"));
    let globex = Caller::connect(&hub.endpoint(), &globex).await;
    globex.put("tenant_config_a", "1").await.unwrap();
    let operators = Caller::connect(&hub.endpoint(), &rulers).await;
    let request = wire::RestoreRequest { id, tenant: "acme".into(), ..Default::default() };
    operators.access.clone().restore(operators.request(request)).await.unwrap();
    acme.put("tenant_config_a", "1").await.unwrap();
}

#[tokio::test]
async fn one_token_or_those_of_before_a_moment_can_be_revoked_by_the_tenant_itself() {
    let hub = Hub::start().await;
    let (lost, kept) = (hub.token("acme"), hub.token("acme"));
    let id = {
        use base64::Engine as _;
        let payload = lost.split('.').nth(1).unwrap();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        claims["jti"].as_str().unwrap().to_owned()
    };
    let kept = Caller::connect(&hub.endpoint(), &kept).await;
    let lost = Caller::connect(&hub.endpoint(), &lost).await;
    let mut stream = lost.subscribe("", &[]).await.unwrap();
    stream.until_current().await;
    let request = wire::RevokeRequest { which: Some(Which::TokenId(id)), ..Default::default() };
    kept.revoke(request).await.unwrap();
    assert_eq!(end(&mut stream).await.code(), Code::PermissionDenied);
    assert_eq!(lost.put("tenant_config_a", "1").await.unwrap_err().code(), Code::PermissionDenied);
    kept.put("tenant_config_a", "1").await.unwrap();

    let before = SystemTime::now() + Duration::from_secs(5);
    let request = wire::RevokeRequest { issued_before: Some(before.into()), ..Default::default() };
    kept.revoke(request).await.unwrap();
    assert_eq!(kept.put("tenant_config_a", "2").await.unwrap_err().code(), Code::PermissionDenied);
    let hub = Hub::start_at(
        hub.stop().await,
        std::sync::Arc::new(|| SystemTime::now() + Duration::from_secs(60)),
        |_| {},
    )
    .await;
    let later = hub.caller("acme").await;
    later.put("tenant_config_a", "3").await.unwrap();
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_revocations() {
    let hub = Hub::start().await;
    let acme = hub.caller("acme").await;
    let revoke = |n: usize| {
        let which = Some(Which::TokenId(format!("token-{n}")));
        acme.revoke(wire::RevokeRequest { which, ..Default::default() })
    };
    let limit = confhub::limits::REVOCATIONS_PER_TENANT;
    for first in (0..limit).step_by(100) {
        for made in join_all((first..first + 100).map(revoke)).await {
            made.unwrap();
        }
    }
    let refused = revoke(limit).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("1000 revocations"), "{refused}");
    // What is there can be said again, and another tenant has its own.
    revoke(0).await.unwrap();
    hub.caller("globex").await.revoke(wire::RevokeRequest::default()).await.unwrap();
    let listed = acme.access.clone();
    let listed = listed.clone().list_revocations(acme.request(wire::ListRevocationsRequest::default())).await;
    assert_eq!(listed.unwrap().into_inner().revocations.len(), limit);
}

#[tokio::test]
async fn a_stream_ends_at_its_age_with_a_goodbye_ahead_and_the_sdk_moves_on() {
    let age = Duration::from_secs(2);
    let hub = Hub::start_with(|settings| settings.times.stream_age = age).await;
    let acme = hub.caller("acme").await;
    let opened = Instant::now();
    let mut stream = acme.subscribe("", &[]).await.unwrap();
    let sdk = client(&hub, "acme").connect().await.unwrap();
    let status = end(&mut stream).await;
    let lived = opened.elapsed();
    assert_eq!(status.code(), Code::Unavailable, "it is worth a retry: {status}");
    assert_eq!(stream.goodbye.unwrap().reason(), Reason::MaxAge);
    assert!(lived >= age / 2, "{lived:?}");
    acme.put("tenant_config_a", "1").await.unwrap();
    until_state(&sdk, "the change on a later stream", |state| has(state, "tenant_config_a", "1")).await;
    assert!(!matches!(sdk.status(), Status::Closed { .. }));
}

#[tokio::test]
async fn a_revoked_sdk_closes_for_good_and_an_expired_one_does_not() {
    let hub = Hub::start().await;
    let operators = operators(&hub).await;
    let revoked = client(&hub, "acme").connect().await.unwrap();
    let expiring = hub.token_of("globex", None, &Role::ALL, Duration::from_secs(2));
    let expired = client(&hub, "globex").token(expiring).connect().await.unwrap();
    let request = wire::RevokeRequest { tenant: "acme".into(), ..Default::default() };
    operators.revoke(request).await.unwrap();
    let ended = until_status(&revoked, "the end", |status| matches!(status, Status::Closed { .. })).await;
    assert!(matches!(ended, Status::Closed { reason: Closed::Revoked, .. }), "{ended:?}");
    let waiting = until_status(&expired, "the loss", |status| !status.is_ready()).await;
    assert!(!matches!(waiting, Status::Closed { .. }), "{waiting:?}");
}

#[tokio::test]
async fn a_token_without_a_service_chooses_one_only_where_the_settings_let_it() {
    let hub = Hub::start_with(|settings| settings.auth.without_service = WithoutService::Shared).await;
    let writer = hub.caller("acme").await;
    writer.put_for("orders", "tenant_config_a", "own", None).await.unwrap();
    writer.put("tenant_config_a", "shared").await.unwrap();
    let token = hub.token_of("acme", None, &[Role::Reader, Role::SecretReader], HOUR);
    let reader = Caller::connect(&hub.endpoint(), &token).await;
    assert_eq!(reader.get("", "tenant_config_a").await.unwrap().value, "shared");
    assert_eq!(reader.get("orders", "tenant_config_a").await.unwrap_err().code(), Code::PermissionDenied);
    let subscribe = wire::SubscribeRequest { service: "orders".into(), ..Default::default() };
    let refused = reader.config.clone().subscribe(reader.request(subscribe)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let history = wire::HistoryRequest {
        key: "tenant_config_a".into(),
        service: "orders".into(),
        ..Default::default()
    };
    let refused = reader.admin.clone().history(reader.request(history)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut list =
        reader.admin.clone().list(reader.request(wire::ListRequest::default())).await.unwrap().into_inner();
    let mut services = Vec::new();
    while let Some(part) = list.message().await.unwrap() {
        services.extend(part.entries.into_iter().map(|entry| entry.service));
    }
    assert_eq!(services, [""]);
    // Its own service is a service token's to see, and a writer writes for all.
    let own = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "orders")).await;
    assert_eq!(own.get("billing", "tenant_config_a").await.unwrap().value, "own");
    assert_eq!(writer.get("orders", "tenant_config_a").await.unwrap().value, "own");
}

#[tokio::test]
async fn operators_say_at_the_prompt_who_is_let_in() {
    let hub = Hub::start().await;
    let ops = Operator::at(&hub.endpoint(), &hub.token_of("operators", None, &RULERS, HOUR));
    let acme = Operator::of(&hub, "acme");
    ops.ok(&["tenant", "suspend", "acme", "--reason", "contract ended"]).await;
    let refused = acme.run(&["get", "tenant_config_a"]).await;
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.err.contains("not served"), "{refused:?}");
    let listed = ops.json(&["tenant", "list"]).await;
    assert_eq!(listed["tenants"][0]["tenant"], "acme");
    assert_eq!(listed["tenants"][0]["state"], "suspended");
    assert_eq!(listed["tenants"][0]["reason"], "contract ended");
    assert_eq!(listed["tenants"][0]["author"], "tester");
    ops.ok(&["tenant", "activate", "acme"]).await;
    acme.ok(&["put", "tenant_config_a", "1"]).await;
    ops.ok(&["tenant", "forget", "acme"]).await;
    assert_eq!(ops.run(&["tenant", "forget", "acme"]).await.code, Some(3));
    assert_eq!(acme.run(&["tenant", "list"]).await.code, Some(5));

    let revoked = ops.json(&["revoke", "--tenant", "acme", "--subject", "tester"]).await;
    assert_eq!((&revoked["tenant"], &revoked["subject"]), (&"acme".into(), &"tester".into()));
    let refused = acme.run(&["get", "tenant_config_a"]).await;
    assert!(refused.code == Some(5) && refused.err.contains("revoked"), "{refused:?}");
    let listed = ops.json(&["revocations", "--all-tenants"]).await;
    assert_eq!(listed["revocations"][0]["id"], revoked["id"]);
    let id = revoked["id"].as_str().unwrap();
    ops.ok(&["restore", id, "--tenant", "acme"]).await;
    acme.ok(&["get", "tenant_config_a"]).await;
    assert_eq!(ops.run(&["restore", id, "--tenant", "acme"]).await.code, Some(3));
    let both = ops.run(&["revoke", "--all-tenants", "--subject", "x"]).await;
    assert_eq!(both.code, Some(2), "{both:?}");
}
