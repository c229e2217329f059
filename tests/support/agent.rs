//! The agent as a process: what stands beside programs that cannot show a token.

use super::{PATIENCE, Syncer, command, soon};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A running `confhub agent`, which dies with this.
pub struct Agent {
    /// Where it listens, in its own words.
    pub place: String,
    child: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    /// Starts one on a free port, unless `more` says otherwise, and waits until it listens.
    pub async fn start(endpoint: &str, token: &Path, more: &[&str]) -> Self {
        let mut command = command();
        command.args(["agent", "--endpoint", endpoint, "--log-filter", "error", "--token-file"]).arg(token);
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut command = tokio::process::Command::from(command);
        let mut child = command
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("the agent to listen", said.next_line()).await.unwrap().expect("it goes on");
        let place = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(json) => json["listen"].as_str().unwrap().to_owned(),
            Err(_) => line.strip_prefix("Listening on ").unwrap_or_else(|| panic!("{line}")).to_owned(),
        };
        Self { place, child, _said: said }
    }

    /// A connection to it.
    pub async fn channel(&self) -> Channel {
        let Some(path) = self.place.strip_prefix("unix:") else {
            return Endpoint::from_shared(format!("http://{}", self.place)).unwrap().connect().await.unwrap();
        };
        let path = PathBuf::from(path);
        let dial = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://agent").connect_with_connector(dial).await.unwrap()
    }

    /// A provider without a token.
    pub async fn syncer(&self) -> Syncer {
        Syncer::new(self.channel().await, None)
    }

    /// Waits until its health is this.
    pub async fn until_health(&self, wanted: ServingStatus) {
        let mut client = HealthClient::new(self.channel().await);
        let reached = async {
            let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
            loop {
                let asked = HealthCheckRequest { service: "flagd.sync.v1.FlagSyncService".to_owned() };
                match client.check(Request::new(asked)).await {
                    Ok(answer) if answer.get_ref().status() == wanted => return,
                    Err(status) if status.code() != Code::Unavailable => panic!("{status}"),
                    _ => looks.tick().await,
                };
            }
        };
        soon("the agent's health", reached).await;
    }

    /// Has it end as a supervisor would, and says how it did.
    pub async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the agent ends").unwrap()
    }
}
