//! The agent gives the programs of its machine the flags of its service, and nothing else,
//! with or without a hub.

use crate::support::{Agent, Caller, Hub, command, flag_key, put_past_the_hub, run, toggle};
use confhub::auth::Role;
use confhub_proto::wire;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

/// A folder with a token in it.
fn token(hub: &Hub, service: Option<&str>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let token = hub.token_of("acme", service, &[Role::Reader], Duration::from_secs(3_600));
    std::fs::write(&path, token).unwrap();
    (folder, path)
}

#[tokio::test]
async fn an_agent_serves_the_flags_of_its_service_without_asking_for_a_token() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put_flag("shared", &toggle("on")).await;
    writer.put_flag_for("ad", "own", &toggle("on")).await;
    writer.put_flag_for("cart", "foreign", &toggle("on")).await;
    writer.put("tenant_config_other", "1").await.unwrap();
    let (_folder, token) = token(&hub, None);
    let agent = Agent::start(&hub.endpoint(), &token, &["--service", "ad"]).await;
    agent.until_health(Serving).await;
    let syncer = agent.syncer().await;
    let mut stream = syncer.sync("").await.unwrap();
    let all = json!({"flags": {"own": toggle("on"), "shared": toggle("on")}});
    assert_eq!(stream.next().await.unwrap(), all);
    assert_eq!(syncer.fetch("service=ad").await.unwrap(), all);
    assert_eq!(syncer.fetch("prefix=o").await.unwrap(), json!({"flags": {"own": toggle("on")}}));
    // If this were sent, it would come before what is waited for.
    writer.put("tenant_config_other", "2").await.unwrap();
    writer.put_flag("shared", &toggle("off")).await;
    assert_eq!(stream.next().await.unwrap()["flags"]["shared"], toggle("off"));
    assert_eq!(syncer.fetch("cart").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(syncer.fetch("source=x").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(syncer.metadata().await.code(), Code::Unimplemented);
    let mut other = Caller::through(agent.channel().await, "none").config;
    let status = other.get(wire::GetRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "it is no hub");
    assert!(agent.terminate().await.success());
    assert_eq!(stream.end().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn an_agent_waits_for_a_hub_serves_on_without_one_and_starts_from_its_disk() {
    let hub = Hub::start().await;
    let port = hub.addresses.grpc.port();
    let endpoint = hub.endpoint();
    let (folder, token) = token(&hub, None);
    hub.caller("acme").await.put_flag("a", &toggle("on")).await;
    let data = hub.stop().await;
    let disk = folder.path().join("flags.state");
    let more = ["--disk", disk.to_str().unwrap()];

    let agent = Agent::start(&endpoint, &token, &more).await;
    agent.until_health(NotServing).await;
    let syncer = agent.syncer().await;
    assert_eq!(syncer.sync("").await.map(drop).unwrap_err().code(), Code::Unavailable);
    assert_eq!(syncer.fetch("").await.unwrap_err().code(), Code::Unavailable);
    let hub = Hub::start_on(data, |settings| settings.listen.set_port(port)).await;
    agent.until_health(Serving).await;
    let mut stream = syncer.sync("").await.unwrap();
    assert_eq!(stream.names().await, ["a"]);

    let data = hub.stop().await;
    assert_eq!(syncer.fetch("").await.unwrap(), json!({"flags": {"a": toggle("on")}}));
    assert!(agent.terminate().await.success());
    assert_eq!(stream.end().await.code(), Code::Unavailable);

    let agent = Agent::start(&endpoint, &token, &more).await;
    agent.until_health(Serving).await;
    let mut stream = agent.syncer().await.sync("").await.unwrap();
    assert_eq!(stream.names().await, ["a"], "from its disk");
    let hub = Hub::start_on(data, |settings| settings.listen.set_port(port)).await;
    hub.caller("acme").await.put_flag("b", &toggle("on")).await;
    assert_eq!(stream.names().await, ["a", "b"]);
}

#[tokio::test]
async fn a_socket_is_its_users_alone_and_goes_with_the_agent() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put_flag("a", &toggle("on")).await;
    let (folder, token) = token(&hub, None);
    let path = folder.path().join("flags.sock");
    let listen = format!("unix:{}", path.display());
    let agent = Agent::start(&hub.endpoint(), &token, &["--listen", &listen, "--output", "json"]).await;
    assert_eq!(agent.place, listen);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    agent.until_health(Serving).await;
    let mut stream = agent.syncer().await.sync("").await.unwrap();
    assert_eq!(stream.names().await, ["a"]);
    assert!(agent.terminate().await.success());
    assert!(!path.exists());
}

#[tokio::test]
async fn an_agent_listens_to_others_only_if_told_to_and_ends_when_its_token_is_revoked() {
    let hub = Hub::start().await;
    let (_folder, token) = token(&hub, None);
    let mut elsewhere = command();
    elsewhere.args(["agent", "--listen", "0.0.0.0:0", "--endpoint", &hub.endpoint(), "--token-file"]);
    elsewhere.arg(&token);
    let ran = run(elsewhere).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("--allow-others"), "{ran:?}");

    let mut agent = Agent::start(&hub.endpoint(), &token, &[]).await;
    agent.until_health(Serving).await;
    let mut stream = agent.syncer().await.sync("").await.unwrap();
    assert_eq!(stream.names().await, [""; 0]);
    let operators = hub.token_of("operators", None, &[Role::Revoker], Duration::from_secs(3_600));
    let operators = Caller::connect(&hub.endpoint(), &operators).await;
    let request = wire::RevokeRequest { tenant: "acme".into(), ..Default::default() };
    operators.access.clone().revoke(operators.request(request)).await.unwrap();
    assert_eq!(agent.ended().await.code(), Some(5));
    assert_eq!(stream.end().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_flag_that_becomes_bad_is_served_as_it_was_when_it_was_good() {
    let hub = Hub::start().await;
    let (port, endpoint) = (hub.addresses.grpc.port(), hub.endpoint());
    let (_folder, token) = token(&hub, None);
    hub.caller("acme").await.put_flag("a", &toggle("on")).await;
    let agent = Agent::start(&endpoint, &token, &[]).await;
    agent.until_health(Serving).await;
    let syncer = agent.syncer().await;
    let mut stream = syncer.sync("").await.unwrap();
    assert_eq!(stream.names().await, ["a"]);
    let data = hub.stop().await;
    put_past_the_hub(data.path(), "acme", &flag_key("a"), r#"{"state":"ENABLED","variants":{}}"#).await;
    let hub = Hub::start_on(data, |settings| settings.listen.set_port(port)).await;
    let writer = hub.caller("acme").await;
    writer.put_flag("b", &toggle("on")).await;
    let both = json!({"flags": {"a": toggle("on"), "b": toggle("on")}});
    assert_eq!(stream.next().await.unwrap(), both);
    assert_eq!(syncer.fetch("").await.unwrap(), both);
    writer.put_flag("a", &toggle("off")).await;
    assert_eq!(stream.next().await.unwrap()["flags"]["a"], toggle("off"));
}
