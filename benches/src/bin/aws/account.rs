//! The emulator, and an account of it with the stack in it.

use crate::args::Place;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider, StalledStreamProtectionConfig};
use confhub::config::Settings;
use confhub_benches::{Error, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The first account's number, which is its access key id too: twelve digits.
const FIRST_ACCOUNT: u64 = 100_000_000_001;

/// A running emulator; dropping it ends the process.
pub(crate) struct Emulator {
    child: Child,
    endpoint: String,
    python: PathBuf,
    accounts: u64,
}

/// An account of its own, with the stack in it.
pub(crate) struct Account {
    /// What the stack says of itself: the hub's settings, by their variables.
    outputs: HashMap<String, String>,
    sdk: confhub::aws::Account,
    python: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    endpoint: String,
}

impl Emulator {
    /// Starts it and waits until it answers.
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let python = place.python.clone().map_or_else(prepare, Ok)?;
        let child = Command::new(&python)
            .arg(infra("emulator.py"))
            // It ends when its input does, and that is when this process ends.
            .args(["--port", "0", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let child = child
            .map_err(|error| -> Error { format!("cannot start {}: {error}", python.display()).into() })?;
        let mut emulator = Self { child, endpoint: String::new(), python, accounts: 0 };
        let mut line = String::new();
        let output = emulator.child.stdout.take().ok_or("the emulator has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line).map_err(|_| {
            let path = emulator.python.display();
            format!("the emulator does not start: {path} lacks ministack or boto3 (see --python)")
        })?;
        emulator.endpoint = ready.endpoint;
        Ok(emulator)
    }

    /// Puts the stack into an account that nobody has used.
    pub(crate) async fn account(&mut self) -> Result<Account> {
        let id = format!("{:012}", FIRST_ACCOUNT + self.accounts);
        self.accounts += 1;
        let ran = Command::new(&self.python)
            .arg(infra("stack.py"))
            .args(["--endpoint", &self.endpoint, "--account", &id])
            .output()?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            return Err(format!("the stack cannot be deployed: {said}").into());
        }
        let mut outputs: HashMap<String, String> = serde_json::from_slice(&ran.stdout)?;
        // Tokens are the development issuer's.
        outputs.retain(|name, _| !name.starts_with("CONFHUB_AUTH_"));
        let mut settings = Settings::default();
        settings.aws.endpoint = Some(self.endpoint.clone());
        settings.aws.region = outputs.get("CONFHUB_AWS_REGION").cloned();
        let credentials =
            SharedCredentialsProvider::new(Credentials::new(&id, "emulator", None, None, "bench"));
        let sdk = confhub::aws::Account::open_as(&settings.aws, Some(credentials)).await?;
        Ok(Account { outputs, sdk, python: self.python.clone() })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Account {
    /// One of the stack's settings, as in `TABLE`.
    pub(crate) fn setting(&self, name: &str) -> Result<&str> {
        let found = self.outputs.get(&format!("CONFHUB_AWS_{name}"));
        Ok(found.ok_or_else(|| format!("the stack has no output for CONFHUB_AWS_{name}"))?)
    }

    /// What a process needs to be told of the account.
    pub(crate) fn variables(&self) -> &HashMap<String, String> {
        &self.outputs
    }

    /// The Python that has AWS's SDK.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(self.sdk.config())
    }

    pub(crate) fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(self.sdk.config())
    }

    pub(crate) fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(self.sdk.config())
    }

    /// A client whose receives may wait.
    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        let patient = aws_sdk_sqs::config::Builder::from(self.sdk.config())
            .timeout_config(TimeoutConfig::disabled())
            // Silence is what a long poll is made of.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        aws_sdk_sqs::Client::from_conf(patient.build())
    }
}

/// A script beside the stack.
fn infra(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local").join(script)
}

/// Makes a Python with the emulator, or finds the one that was made before.
fn prepare() -> Result<PathBuf> {
    let ran = Command::new(std::env::current_exe()?)
        .args(["aws", "local", "--prepare"])
        .stderr(Stdio::inherit())
        .output()?;
    if !ran.status.success() {
        return Err("no Python with the emulator can be made: name one with --python".into());
    }
    Ok(String::from_utf8(ran.stdout)?.trim().into())
}
