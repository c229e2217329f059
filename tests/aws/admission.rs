//! Who is let in is the same on every hub of an account.

use crate::support::{Aws, Caller, Event, Hub};
use confhub::auth::Role;
use confhub_proto::wire::{self, revoke_request::Which};
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_revocation_made_through_one_hub_ends_the_streams_of_another_and_is_found_by_a_third() {
    let aws = Aws::new().await;
    let first = Hub::start_on_aws(&aws, |_| {}).await;
    let second = Hub::start_on_aws(&aws, |_| {}).await;
    second.until_source_is_up().await;
    let token = |hub: &Hub, tenant| hub.token_of(tenant, None, &Role::ALL, Duration::from_secs(3_600));
    let acme = Caller::connect(&second.endpoint(), &token(&second, "acme")).await;
    acme.put("tenant_config_a", "1").await.unwrap();
    let mut stream = acme.subscribe("", &[]).await.unwrap();
    stream.until_current().await;
    let operators = Caller::connect(&first.endpoint(), &token(&first, "operators")).await;
    let request = wire::RevokeRequest {
        tenant: "acme".into(),
        which: Some(Which::Subject("tester".into())),
        ..Default::default()
    };
    operators.access.clone().revoke(operators.request(request)).await.unwrap();
    let status = loop {
        if let Event::End(status) = stream.event().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let third = Hub::start_on_aws(&aws, |_| {}).await;
    let acme = Caller::connect(&third.endpoint(), &token(&third, "acme")).await;
    let refused = acme.get("", "tenant_config_a").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let globex = Caller::connect(&third.endpoint(), &token(&third, "globex")).await;
    globex.put("tenant_config_a", "1").await.unwrap();
}
