//! The stack of `infra/stack.yaml` is all that a hub needs.

use crate::support::aws::python;
use crate::support::{Aws, Caller, HubProcess, command, ended, text};
use std::path::Path;
use std::process::Command;
use tonic::Code;

/// A token of the stack's user pool.
async fn token(aws: &Aws, name: &str, more: &[&str]) -> String {
    let mut user = Command::new(python());
    user.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/user.py"));
    user.args(["--endpoint", aws.emulator(), "--account", &aws.id]).args(more).arg(name);
    let ran = ended(user).await;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_hub_on_the_outputs_of_the_stack_takes_its_users_and_sees_a_change_arrive() {
    let aws = Aws::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    // All of them: identity too.
    command.envs(&aws.outputs);
    let hub = HubProcess::start_by(command, folder.path(), &[]).await;
    let writer = token(&aws, "alice", &["--tenant", "acme", "--group", "writer"]).await;
    let service = token(&aws, "checkout", &["--tenant", "acme", "--service", "checkout"]).await;
    let writer = Caller::connect(&hub.endpoint(), &writer).await;
    let service = Caller::connect(&hub.endpoint(), &service).await;
    let mut stream = service.subscribe("", b"").await.unwrap();
    stream.until_current().await;

    aws.put_row("acme", Some("checkout"), "tenant_config_a", "1").await;
    aws.put_parameter("acme", "shared", "param_config_a", "1").await;
    writer.put_content("tenant_config_b", text("1")).await.unwrap();
    stream.until("all three", |state| state.len() == 3).await;

    let error = service.put("tenant_config_b", "2").await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    let other = token(&aws, "bob", &["--tenant", "globex"]).await;
    let other = Caller::connect(&hub.endpoint(), &other).await;
    assert!(other.list().await.is_empty(), "the tenant is the token's");
}
