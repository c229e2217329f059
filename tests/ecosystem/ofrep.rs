//! Published clients of OFREP against a hub: a server's, which asks for one flag at a time,
//! and a page's, which asks for all and again, with the tag of what it has.

use super::packages;
use crate::support::{Caller, Hub, soon, text};
use confhub_client::flags::FlagName;
use confhub_flags::FLAG_TYPE;
use confhub_proto::wire;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

fn script(name: &str) -> PathBuf {
    packages::here().join("ofrep").join(name)
}

async fn write(writer: &Caller, name: &str, flag: &Value) {
    let content = wire::Content { content_type: FLAG_TYPE.to_owned(), ..text(&flag.to_string()) };
    writer.put_content(FlagName::new(name).unwrap().key().as_str(), content).await.unwrap();
}

fn toggle(on: bool) -> Value {
    let default = if on { "on" } else { "off" };
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": default})
}

/// A client in a process of its own, which says what it sees in lines of JSON.
struct Client {
    _child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(command: std::process::Command, hub: &Hub, token: &str) -> Self {
        let mut command = Command::from(command);
        command.arg(format!("http://{}", hub.addresses.http)).env("CONFHUB_TOKEN", token);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, says }
    }

    async fn line(&mut self) -> Value {
        let line = soon("a line of the client", self.says.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("the client goes on")).unwrap()
    }
}

#[tokio::test]
async fn pythons_client_gets_values_defaults_and_errors_as_they_are_meant() {
    let python = tokio::task::spawn_blocking(|| packages::python("ofrep")).await.unwrap();
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let mut german = toggle(false);
    german["targeting"] = json!({"if": [{"==": [{"var": "country"}, "de"]}, "on"]});
    write(&writer, "a/b", &german).await;
    write(&writer, "disabled", &json!({"state": "DISABLED", "variants": {"a": true}})).await;
    let limits = json!({"state": "ENABLED", "variants": {"a": {"max": 5}}, "defaultVariant": "a",
        "metadata": {"owner": "ads"}});
    write(&writer, "limits", &limits).await;
    let number = json!({"state": "ENABLED", "variants": {"a": 2.5}, "defaultVariant": "a"});
    write(&writer, "number", &number).await;

    let mut command = std::process::Command::new(&python);
    command.arg(script("client.py"));
    let mut client = Client::start(command, &hub, &hub.token("acme"));
    // In the order in which the script asks.
    for wanted in [
        json!(["a/b", true, "on", "TARGETING_MATCH", null]),
        json!(["a/b", false, "off", "DEFAULT", null]),
        json!(["disabled", true, "", "DISABLED", null]),
        json!(["limits", {"max": 5}, "a", "STATIC", null]),
        json!(["number", 2.5, "a", "STATIC", null]),
        json!(["number", "code", null, "ERROR", "TYPE_MISMATCH"]),
        json!(["nothing", true, null, "ERROR", "FLAG_NOT_FOUND"]),
    ] {
        assert_eq!(client.line().await, wanted);
    }

    let mut command = std::process::Command::new(&python);
    command.arg(script("client.py"));
    let mut client = Client::start(command, &hub, "no.such.token");
    let told = client.line().await;
    assert_eq!((&told[1], &told[3], &told[4]), (&json!(false), &json!("ERROR"), &json!("GENERAL")), "{told}");
}

#[tokio::test]
async fn a_pages_client_sees_a_change_and_is_sent_nothing_while_there_is_none() {
    let mut node = tokio::task::spawn_blocking(|| packages::node_with("ofrep")).await.unwrap();
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    write(&writer, "a", &toggle(false)).await;
    write(&writer, "b", &toggle(true)).await;
    node.arg(script("page.cjs"));
    let mut page = Client::start(node, &hub, &hub.token("acme"));
    assert_eq!(page.line().await, json!({"ready": {"a": false, "b": true}}));
    // It asks every 50 ms, and is told three times that it has all there is.
    assert_eq!(page.line().await, json!({"unchanged": 3}));
    write(&writer, "a", &toggle(true)).await;
    assert_eq!(page.line().await, json!({"changed": ["a"], "now": {"a": true, "b": true}}));
}
