//! A provider in a process of its own.

use crate::support::soon;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A provider that was started: see `provider.py` for what it is asked and answers.
pub struct Provider {
    child: Child,
    asks: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// Starts one, and waits until it has flags.
    pub async fn start(command: std::process::Command) -> Self {
        let mut command = Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let asks = child.stdin.take().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut provider = Self { child, asks, says };
        while provider.line().await["event"] != "STARTED" {}
        provider
    }

    async fn line(&mut self) -> Value {
        let line = soon("a line of the provider", self.says.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("the provider goes on")).unwrap()
    }

    /// Asks for flags: kind, name, default and context of each. Answers are values and
    /// variants.
    pub async fn evaluate(&mut self, asked: &[Value]) -> Vec<Value> {
        let line = format!("{}\n", Value::from(asked));
        self.asks.write_all(line.as_bytes()).await.unwrap();
        loop {
            if let Value::Array(answers) = self.line().await {
                return answers;
            }
        }
    }

    /// The variant of a boolean flag.
    pub async fn variant(&mut self, flag: &str) -> Value {
        let asked = serde_json::json!(["boolean", flag, false, {"targetingKey": "user-1"}]);
        self.evaluate(&[asked]).await[0][1].clone()
    }

    /// Waits until the variant of a boolean flag is this one.
    pub async fn until(&mut self, flag: &str, wanted: &str) {
        let reached = async {
            // A change is told as an event or not at all: that is the provider's affair.
            while self.variant(flag).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{flag} to be {wanted}"), reached).await;
    }

    /// Ends it.
    pub async fn stop(mut self) {
        drop(self.asks);
        let _ = soon("the provider to end", self.child.wait()).await;
    }
}
