//! What a provider has to live through: a start, changes, restarts of the hub, the end of
//! its token, and flags that are bad.

use super::packages;
use super::process::Provider;
use crate::support::{
    Agent, Caller, Certificates, Hub, Syncer, flag_key, put_past_the_hub, soon, toggle, until_state,
};
use confhub::auth::Role;
use confhub_client::flags::{Context, Details, HashVersion};
use confhub_client::{Client, flags::FromFlag};
use confhub_flags::Document;
use confhub_proto::wire;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Flags whose evaluation is more than a look-up.
fn rules() -> Value {
    json!({
        "metadata": {"team": "checkout"},
        "$evaluators": {
            "staff": {"ends_with": [{"var": "email"}, "@acme.example"]},
            "länder": {"in": [{"var": "land"}, ["Österreich", "C:\\n", "\"quoted\""]]}
        },
        "flags": {
            "staff-only": {
                "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
                "targeting": {"if": [{"$ref": "staff"}, "on", null]}, "description": "for people"
            },
            "by-land": {
                "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
                "targeting": {"if": [{"$ref": "länder"}, "on", "off"]}
            },
            "tenth": {
                "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
                "targeting": {"fractional": [["on", 10], ["off", 90]]}
            },
            "thirds": {
                "state": "ENABLED", "variants": {"a": "A", "b": "B", "c": "C"}, "defaultVariant": "a",
                "targeting": {"fractional": [{"var": "email"}, ["a", 1], ["b", 1], ["c", 1]]}
            },
            "modern": {
                "state": "ENABLED", "variants": {"yes": 1.5, "no": 0.5}, "defaultVariant": "no",
                "targeting": {"if": [{"sem_ver": [{"var": "version"}, ">=", "2.1.0"]}, "yes", null]}
            },
            "off": {"state": "DISABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}
        }
    })
}

/// Users of all sorts.
fn users() -> Vec<Value> {
    let user = |n: u32| {
        let domain = if n.is_multiple_of(3) { "acme.example" } else { "other.example" };
        let land = ["Österreich", "C:\\n", "\"quoted\"", "Belgien"][n as usize % 4];
        json!({
            "targetingKey": format!("user-{n}"), "email": format!("user-{n}@{domain}"), "land": land,
            "version": format!("{}.{}.0", n % 4, n % 7)
        })
    };
    (0..300).map(user).collect()
}

const KINDS: [(&str, &str); 6] = [
    ("staff-only", "boolean"),
    ("by-land", "boolean"),
    ("tenth", "boolean"),
    ("thirds", "string"),
    ("modern", "float"),
    ("off", "boolean"),
];

async fn import(writer: &Caller, file: &Value) {
    let document = Document::parse(file.to_string().as_bytes()).unwrap();
    for (slot, value) in document.split() {
        let content = wire::Content {
            value: value.into(),
            content_type: slot.content_type().to_owned(),
            secret: false,
        };
        writer.put_content(slot.key(), content).await.unwrap();
    }
}

/// What this provider and our SDK say of all flags and users must be the same.
pub async fn agrees(provider: &mut Provider, client: &Client, float: &str) {
    fn pair<T: FromFlag + Into<Value>>(details: Details<T>) -> Value {
        json!([details.value.into(), details.variant.as_deref()])
    }
    until_state(client, "all flags", |state| state.get(&flag_key("thirds")).is_some()).await;
    let flags = client.flags();
    let (mut asked, mut ours) = (Vec::new(), Vec::new());
    for user in users() {
        let mut context = Context::of(user["targetingKey"].as_str().unwrap());
        for name in ["email", "land", "version"] {
            context = context.with(name, user[name].as_str().unwrap());
        }
        for (flag, kind) in KINDS {
            let (kind, default) = match kind {
                "boolean" => (kind, json!(true)),
                "string" => (kind, json!("code")),
                _ => (float, json!(7.5)),
            };
            asked.push(json!([kind, flag, default, user]));
            ours.push(match kind {
                "boolean" => pair(flags.boolean_details(flag, true, &context)),
                "string" => {
                    let details = flags.string_details(flag, "code", &context);
                    json!([&*details.value, details.variant.as_deref()])
                }
                _ => pair(flags.float_details(flag, 7.5, &context)),
            });
        }
    }
    let theirs = provider.evaluate(&asked).await;
    for ((asked, ours), theirs) in asked.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "{asked}");
    }
    // A comparison of nothing but defaults would be none.
    for flag in ["tenth", "by-land", "staff-only"] {
        let on = asked.iter().zip(&ours).filter(|(asked, ours)| asked[1] == flag && ours[0] == true);
        assert!((1..250).contains(&on.count()), "{flag}");
    }
}

/// A hub with TLS, which is there again at the same address after a restart.
struct Rig {
    certificates: Certificates,
    hub: Option<Hub>,
    port: u16,
    folder: Arc<TempDir>,
}

impl Rig {
    async fn start() -> Self {
        let certificates = Certificates::new();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let hub = Self::hub(&certificates, Arc::clone(&folder), 0).await;
        let port = hub.addresses.grpc.port();
        Self { certificates, hub: Some(hub), port, folder }
    }

    async fn hub(certificates: &Certificates, folder: Arc<TempDir>, port: u16) -> Hub {
        let files = (certificates.path("server.pem"), certificates.path("server.key"));
        Hub::start_on(folder, move |settings| {
            (settings.tls.certificate, settings.tls.key) = (Some(files.0), Some(files.1));
            settings.listen.set_port(port);
        })
        .await
    }

    fn running(&self) -> &Hub {
        self.hub.as_ref().unwrap()
    }

    async fn stop(&mut self) {
        self.hub.take().unwrap().stop().await;
    }

    async fn again(&mut self) {
        self.hub = Some(Self::hub(&self.certificates, Arc::clone(&self.folder), self.port).await);
    }

    fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn client(&self) -> confhub_client::Builder {
        let token = self.running().token("acme");
        Client::builder().endpoint(self.endpoint()).ca_file(self.certificates.path("ca.pem")).token(token)
    }

    async fn writer(&self) -> Caller {
        let token = self.running().token("acme");
        let builder = self.client();
        Caller::through(builder.channel().await.unwrap(), &token)
    }
}

/// Waits until a token has ended.
async fn ended(late: &Syncer) {
    let refused = async {
        while late.sync("").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the end of the token", refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pythons_provider_follows_a_hub_through_restarts_bad_flags_and_the_end_of_its_token() {
    let mut rig = Rig::start().await;
    let writer = rig.writer().await;
    import(&writer, &rules()).await;
    writer.put_flag("moves", &toggle("off")).await;
    let token = rig.certificates.path("token");
    std::fs::write(&token, rig.running().token("acme")).unwrap();
    let mut python = Command::new(packages::python("cbor"));
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ecosystem/provider.py"));
    python.args(["localhost", &rig.port.to_string()]).arg(rig.certificates.path("ca.pem")).arg(&token);
    let mut provider = Provider::start(python).await;

    // From the first: what our own SDK says.
    let client = rig.client().flag_hash(HashVersion::Cbor).connect().await.unwrap();
    agrees(&mut provider, &client, "float").await;
    drop(client);
    writer.put_flag("moves", &toggle("on")).await;
    provider.until("moves", "on").await;

    // Its token ends, and so does its stream; with a new one in the file it is back.
    let short = rig.running().token_of("acme", None, &[Role::Reader], Duration::from_secs(8));
    std::fs::write(&token, &short).unwrap();
    rig.stop().await;
    assert_eq!(provider.variant("moves").await, "on", "it goes on without a hub");
    rig.again().await;
    let writer = rig.writer().await;
    writer.put_flag("moves", &toggle("off")).await;
    provider.until("moves", "off").await;
    let late = Syncer::new(rig.client().channel().await.unwrap(), Some(&short));
    ended(&late).await;
    writer.put_flag("moves", &toggle("on")).await;
    assert_eq!(provider.variant("moves").await, "off", "nothing is sent to those without a token");
    std::fs::write(&token, rig.running().token("acme")).unwrap();
    provider.until("moves", "on").await;

    // A flag that somebody has stored past the hub is nobody else's trouble.
    rig.stop().await;
    put_past_the_hub(rig.folder.path(), "acme", &flag_key("bad"), r#"{"state":1}"#).await;
    rig.again().await;
    rig.writer().await.put_flag("moves", &toggle("off")).await;
    provider.until("moves", "off").await;
    assert_eq!(provider.variant("bad").await, Value::Null);
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascripts_provider_follows_an_agent_through_restarts_of_both_and_a_new_token() {
    let mut rig = Rig::start().await;
    let writer = rig.writer().await;
    import(&writer, &rules()).await;
    writer.put_flag("moves", &toggle("off")).await;
    let token = rig.certificates.path("token");
    let life = Duration::from_secs(8);
    let short = |rig: &Rig| rig.running().token_of("acme", None, &[Role::Reader], life);
    std::fs::write(&token, short(&rig)).unwrap();
    let ca = rig.certificates.arg("ca.pem");
    let agent = Agent::start(&rig.endpoint(), &token, &["--ca-file", &ca]).await;
    let place = agent.place.clone();
    let (host, port) = place.split_once(':').unwrap();
    let mut node = packages::node();
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ecosystem/provider.cjs")).args([host, port]);
    let mut provider = Provider::start(node).await;

    // From the first: what our own SDK says.
    let client = rig.client().flag_hash(HashVersion::Text).connect().await.unwrap();
    agrees(&mut provider, &client, "number").await;
    drop(client);
    writer.put_flag("moves", &toggle("on")).await;
    provider.until("moves", "on").await;

    // The hub restarts, and the agent's first token ends: with the next one it goes on.
    rig.stop().await;
    assert_eq!(provider.variant("moves").await, "on", "it goes on without a hub");
    rig.again().await;
    let late =
        Syncer::new(rig.client().channel().await.unwrap(), Some(&std::fs::read_to_string(&token).unwrap()));
    ended(&late).await;
    let writer = rig.writer().await;
    writer.put_flag("moves", &toggle("off")).await;
    std::fs::write(&token, rig.running().token("acme")).unwrap();
    provider.until("moves", "off").await;

    // Through a socket it is the same.
    let listen = format!("unix:{}", rig.certificates.path("flags.sock").display());
    let beside = Agent::start(&rig.endpoint(), &token, &["--ca-file", &ca, "--listen", &listen]).await;
    let mut node = packages::node();
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ecosystem/provider.cjs"));
    node.args(["unix:", listen.strip_prefix("unix:").unwrap()]);
    let mut other = Provider::start(node).await;
    other.until("moves", "off").await;
    other.stop().await;
    assert!(beside.terminate().await.success());

    // The agent restarts at the same place.
    assert!(agent.terminate().await.success());
    assert_eq!(provider.variant("moves").await, "off", "it goes on without an agent");
    let _agent = Agent::start(&rig.endpoint(), &token, &["--ca-file", &ca, "--listen", &place]).await;
    writer.put_flag("moves", &toggle("on")).await;
    provider.until("moves", "on").await;

    // A flag that somebody has stored past the hub is nobody else's trouble.
    rig.stop().await;
    put_past_the_hub(rig.folder.path(), "acme", &flag_key("bad"), r#"{"state":1}"#).await;
    rig.again().await;
    rig.writer().await.put_flag("moves", &toggle("off")).await;
    provider.until("moves", "off").await;
    assert_eq!(provider.variant("bad").await, Value::Null);
    provider.stop().await;
}
