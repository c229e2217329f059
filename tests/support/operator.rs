//! An operator at a prompt.

use super::{Hub, command, ended};
use serde_json::Value;
use std::io::{Seek as _, Write as _};
use std::process::{Command, Output};

/// Runs the program against a hub, as one identity.
pub struct Operator {
    endpoint: String,
    token: String,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Operator {
    pub fn of(hub: &Hub, tenant: &str) -> Self {
        Self::at(&hub.endpoint(), &hub.token(tenant))
    }

    pub fn at(endpoint: &str, token: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), token: token.to_owned() }
    }

    /// A command line that knows the hub and the token from its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command();
        command.args(args).env("CONFHUB_ENDPOINT", &self.endpoint).env("CONFHUB_TOKEN", &self.token);
        command
    }

    pub async fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args)).await
    }

    /// The same with `input` on standard input.
    pub async fn feed(&self, args: &[&str], input: &str) -> Ran {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.rewind().unwrap();
        let mut command = self.command(args);
        command.stdin(file);
        run(command).await
    }

    /// Runs a command that has to succeed, and returns what it printed.
    pub async fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args).await;
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.out
    }

    /// The same with its output as JSON.
    pub async fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--output", "json"]].concat()).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }
}

/// Runs a command to its end.
pub async fn run(command: Command) -> Ran {
    let Output { status, stdout, stderr } = ended(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}
