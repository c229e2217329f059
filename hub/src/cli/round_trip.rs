//! The commands against a hub: what they write is what they read, and how they
//! end says what happened.

use super::compare;
use super::demo::stage::Stage;
use super::error::CliError;
use super::exit::Exit;
use super::hub::Hub;
use super::output::Out;
use super::{Cli, Command};
use crate::auth::{DevClaims, DevIssuer, Role};
use clap::Parser;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A hub, and a folder for files.
struct Scene {
    stage: Stage,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { stage: Stage::open(None).await.unwrap(), folder }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        if !text.is_empty() {
            std::fs::write(&path, text).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    /// Runs a command line as a caller of `tenant` with these roles.
    async fn run(&self, tenant: &str, roles: &[Role], line: &[&str]) -> Exit {
        let token = self.stage.token(tenant, "tester", roles).unwrap();
        let endpoint = self.stage.endpoint();
        let fixed = ["--endpoint", &endpoint, "--token", &token, "--output", "json"];
        let line = ["confhub"].into_iter().chain(line.iter().copied()).chain(fixed);
        run(line).await.unwrap_or_else(|error| {
            eprintln!("{error}");
            error.exit()
        })
    }

    /// Waits until this many streams are open.
    async fn streams(&self, wanted: u64) {
        let token = self.stage.token("acme", "tester", &[Role::Reader]).unwrap();
        let hub = Hub::connect(&self.stage.args(token)).await.unwrap();
        let wait = async {
            while compare::status(&hub).await.unwrap().streams != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    async fn operator(&self, line: &[&str]) -> Exit {
        self.run("acme", &[Role::Writer, Role::SecretReader, Role::Operator], line).await
    }
}

/// Runs a command line of a client.
async fn run<'a>(line: impl IntoIterator<Item = &'a str>) -> Result<Exit, CliError> {
    print(line, &mut Vec::new()).await
}

/// The same, and keeps what it prints.
async fn print<'a>(line: impl IntoIterator<Item = &'a str>, out: Out<'_>) -> Result<Exit, CliError> {
    match Cli::try_parse_from(line).unwrap().command {
        Command::Operator(operator) => operator.run(out).await,
        other => panic!("{other:?} is no client of a hub"),
    }
}

/// JSON, a document a line.
fn lines(printed: &[u8]) -> Vec<serde_json::Value> {
    printed.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

const SHOP: &str = r#"{
  "shared": {
    "tenant_config_text": "plain",
    "tenant_config_json": { "a" : 1.50 },
    "param_config_flag": {"$content_type": "application/vnd.flagd.flag+json", "$json": {"state": "ENABLED"}},
    "tenant_config_bytes": {"$content_type": "application/octet-stream", "$base64": "/wA="}
  },
  "services": {"ad": {"tenant_config_text": "other", "tenant_config_key": {"$content_type": "text/plain", "$text": "k", "$secret": true}}},
  "secrets": {"tenant_config_password": "hunter2"}
}"#;

#[tokio::test]
async fn what_is_exported_makes_an_equal_tenant() {
    let scene = Scene::open().await;
    let (shop, exported, again) =
        (scene.file("shop.json", SHOP), scene.file("a.json", ""), scene.file("b.json", ""));
    assert_eq!(scene.operator(&["diff", &shop]).await, Exit::Different);
    assert_eq!(scene.operator(&["import", &shop, "--dry-run"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["diff", &shop]).await, Exit::Different, "a dry run wrote something");
    assert_eq!(scene.operator(&["import", &shop]).await, Exit::Ok);
    assert_eq!(scene.operator(&["diff", &shop]).await, Exit::Ok);
    assert_eq!(scene.operator(&["export", "-o", &exported]).await, Exit::Ok);
    let text = std::fs::read_to_string(&exported).unwrap();
    assert!(!text.contains("hunter2") && text.contains("{ \"a\" : 1.50 }"), "{text}");

    // Another tenant has nothing of it, until the document is imported there.
    let roles = [Role::Writer, Role::SecretReader, Role::Operator];
    assert_eq!(scene.run("globex", &roles, &["get", "tenant_config_text"]).await, Exit::NotFound);
    assert_eq!(scene.run("globex", &roles, &["import", &exported]).await, Exit::Ok);
    assert_eq!(scene.run("globex", &roles, &["export", "-o", &again]).await, Exit::Ok);
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(Path::new(path)).unwrap()).unwrap()
    };
    assert_eq!(json(&again)["shared"], json(&exported)["shared"]);
    assert_eq!(json(&again)["secrets"], serde_json::Value::Null, "a marker became an entry");
    scene.stage.close().await.unwrap();
}

#[tokio::test]
async fn prune_deletes_within_its_prefix_and_nothing_else() {
    let scene = Scene::open().await;
    let shop = scene.file("shop.json", SHOP);
    assert_eq!(scene.operator(&["import", &shop]).await, Exit::Ok);
    assert_eq!(scene.operator(&["put", "tenant_config_extra", "1"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["put", "param_config_extra", "1"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["import", "--prune", "tenant_config_", &shop]).await, Exit::Ok);
    assert_eq!(scene.operator(&["get", "tenant_config_extra"]).await, Exit::NotFound);
    assert_eq!(scene.operator(&["get", "param_config_extra", "tenant_config_password"]).await, Exit::Ok);
    scene.stage.close().await.unwrap();
}

#[tokio::test]
async fn every_way_to_end_has_its_code() {
    let scene = Scene::open().await;
    let key = "tenant_config_x";
    let too_large = format!("@{}", scene.file("large", &"x".repeat(confhub_proto::limits::VALUE_BYTES + 1)));
    let bad = scene.file("bad.json", "{\"shared\": {\"tenant_config_a\": 1, \"b\": 2}}");
    for (line, exit) in [
        (&["put", key, "1", "--expect-version", "0"][..], Exit::Ok),
        (&["put", key, "2", "--expect-version", "0"], Exit::Conflict),
        (&["put", "other_x", "1"], Exit::Usage),
        (&["put", "a/b", "1"], Exit::Usage),
        (&["put", key, &too_large], Exit::Usage),
        (&["put", key, "1", "--content-type", "a\nb"], Exit::Usage),
        (&["rollback", key, "9"], Exit::NotFound),
        (&["rollback", key, "1"], Exit::Ok),
        (&["rollback", key, "--to-label", "good"], Exit::NotFound),
        (&["rollback", "tenant_config_none", "--to-label", "good"], Exit::NotFound),
        (&["history", key], Exit::Ok),
        (&["reconcile"], Exit::Ok),
        (&["delete", key, "--expect-version", "1"], Exit::Conflict),
        (&["delete", key], Exit::Ok),
        (&["delete", key], Exit::NotFound),
        (&["import", &bad], Exit::Usage),
        (&["get", "tenant_config_a"], Exit::NotFound),
        (&["status"], Exit::Ok),
    ] {
        assert_eq!(scene.operator(line).await, exit, "{line:?}");
    }
    assert_eq!(scene.run("acme", &[Role::Reader], &["put", key, "1"]).await, Exit::Denied);
    let endpoint = scene.stage.endpoint();
    let no_token = ["confhub", "status", "--endpoint", &endpoint, "--token", ""];
    assert_eq!(run(no_token).await.unwrap_err().exit(), Exit::Denied);
    scene.stage.close().await.unwrap();
    let gone = ["confhub", "status", "--endpoint", &endpoint, "--token", "t"];
    assert_eq!(run(gone).await.unwrap_err().exit(), Exit::Unreachable);
}

#[tokio::test]
async fn a_diff_is_green_only_if_it_has_compared_everything() {
    let scene = Scene::open().await;
    let shop = scene.file("shop.json", SHOP);
    assert_eq!(scene.operator(&["import", &shop]).await, Exit::Ok);
    assert_eq!(scene.run("acme", &[Role::Writer], &["diff", &shop]).await, Exit::Different);
    assert_eq!(scene.run("acme", &[Role::Writer], &["diff", "--ignore-secrets", &shop]).await, Exit::Ok);
    assert_eq!(scene.operator(&["put", "tenant_config_text", "changed"]).await, Exit::Ok);
    let ignoring = &["diff", "--ignore-secrets", &shop];
    assert_eq!(scene.run("acme", &[Role::Writer], ignoring).await, Exit::Different);

    // A secret that somebody has deleted and written again in plain.
    let exported = scene.file("exported.json", "");
    assert_eq!(scene.operator(&["export", "-o", &exported]).await, Exit::Ok);
    assert_eq!(scene.operator(&["diff", &exported]).await, Exit::Ok);
    assert_eq!(scene.operator(&["delete", "tenant_config_password"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["put", "tenant_config_password", "hunter2"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["diff", &exported]).await, Exit::Different);
    assert_eq!(scene.operator(&["import", &exported]).await, Exit::Ok);
    assert_eq!(scene.operator(&["diff", &exported]).await, Exit::Different, "an import cannot mend it");
    scene.stage.close().await.unwrap();
}

#[tokio::test]
async fn a_plain_entry_that_hides_a_shared_secret_from_a_service_stops_no_comparison() {
    let scene = Scene::open().await;
    let key = "tenant_config_password";
    assert_eq!(scene.operator(&["put", "--secret", key, "hunter2"]).await, Exit::Ok);
    assert_eq!(scene.operator(&["put", "--service", "ad", key, "plain"]).await, Exit::Ok);
    let claims = DevClaims {
        tenant: "acme".parse().unwrap(),
        service: Some("ad".parse().unwrap()),
        roles: vec![Role::SecretReader],
        subject: "tester".to_owned(),
        ttl: Duration::from_secs(60),
    };
    let token = DevIssuer::open(scene.stage.folder()).unwrap().mint(&claims, SystemTime::now()).unwrap();
    let file = scene.file("secret.json", r#"{"secrets": {"tenant_config_password": "hunter2"}}"#);
    let endpoint = scene.stage.endpoint();
    let line = ["confhub", "diff", "--endpoint", &endpoint, "--token", &token, "--output", "json", &file];
    assert_eq!(run(line).await.unwrap(), Exit::Different);
    scene.stage.close().await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_when_its_token_is_no_longer_accepted() {
    let mut scene = Scene::open().await;
    let token = scene.stage.token("acme", "tester", &[Role::Writer]).unwrap();
    let endpoint = scene.stage.endpoint();
    let watch = || {
        let line =
            ["confhub", "watch", "--once", "--output", "json", "--endpoint", &endpoint, "--token", &token];
        let line = line.map(ToOwned::to_owned);
        tokio::spawn(async move {
            let mut out = Vec::new();
            let ended = print(line.iter().map(String::as_str), &mut out).await;
            (ended.unwrap_or_else(|error| error.exit()), lines(&out))
        })
    };
    let patience = Duration::from_secs(30);
    // A hub that goes away and comes back ends nothing.
    let survivor = watch();
    scene.streams(1).await;
    scene.stage.restart().await.unwrap();
    scene.streams(1).await;
    assert_eq!(scene.operator(&["put", "tenant_config_x", "1"]).await, Exit::Ok);
    let (ended, told) = tokio::time::timeout(patience, survivor).await.unwrap().unwrap();
    assert_eq!(ended, Exit::Ok);
    let stands: Vec<_> = told.iter().filter_map(|line| line["status"].as_str()).collect();
    assert_eq!((stands.first(), stands.last()), (Some(&"stale"), Some(&"ready")), "{told:?}");
    assert_eq!(told.last().unwrap()["entry"]["key"], "tenant_config_x");

    // With another key, the hub takes none of the tokens that it took before.
    scene.streams(0).await;
    let refused = watch();
    scene.streams(1).await;
    std::fs::remove_file(DevIssuer::path(scene.stage.folder())).unwrap();
    scene.stage.restart().await.unwrap();
    let (ended, _) = tokio::time::timeout(patience, refused).await.unwrap().unwrap();
    assert_eq!(ended, Exit::Denied);
    scene.stage.close().await.unwrap();
}

#[tokio::test]
async fn an_import_that_is_known_to_fail_sends_nothing() {
    let scene = Scene::open().await;
    assert_eq!(scene.operator(&["put", "--secret", "tenant_config_z", "hunter2"]).await, Exit::Ok);
    let mut keys: Vec<_> = (0..1_500).map(|i| format!(r#""tenant_config_{i}": {i}"#)).collect();
    keys.push(r#""tenant_config_z": "in the open""#.to_owned());
    let file = scene.file("exposing.json", &format!(r#"{{"shared": {{{}}}}}"#, keys.join(",")));
    for line in [&["import", "--dry-run", &file][..], &["import", &file]] {
        assert_eq!(scene.operator(line).await, Exit::Failure, "{line:?}");
        assert_eq!(scene.operator(&["get", "tenant_config_0"]).await, Exit::NotFound);
    }
    scene.stage.close().await.unwrap();
}
