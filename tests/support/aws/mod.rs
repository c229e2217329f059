//! An AWS account for each test, in one emulator for all of them, with the stack
//! of `infra/stack.yaml` in it.
//!
//! The emulator is started by the first test that needs it, and ends with the
//! test process. `CONFHUB_TEST_AWS_ENDPOINT` names another one that runs already.
//! Tests that stop the emulator start one of their own.

mod credentials;
mod emulator;
mod fault;
mod policy;
mod queue;
pub mod scene;

pub use credentials::CredentialServer;
pub use emulator::{Emulator, python};
pub use fault::{Does, FaultProxy};
pub use queue::FixedQueue;

use super::soon;
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use confhub::aws::Account;
use confhub::config::{Profile, Settings};
use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;

/// An account with the stack in it, behind a proxy that can fail.
pub struct Aws {
    /// Twelve digits, which are its access key id too.
    pub id: String,
    /// What stands between the hub and the emulator.
    pub proxy: FaultProxy,
    /// What the stack says of itself: the hub's settings, by their variables.
    pub outputs: HashMap<String, String>,
    emulator: String,
    account: Account,
}

impl Aws {
    /// An account of the test's own in the emulator that all tests share.
    pub async fn new() -> Self {
        static SHARED: OnceCell<Emulator> = OnceCell::const_new();
        let emulator = SHARED.get_or_init(Emulator::start).await;
        Self::on(emulator).await
    }

    /// An account in an emulator of the test's own.
    pub async fn on(emulator: &Emulator) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = u64::from(std::process::id()) * 10_000 + NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:012}", number % 1_000_000_000_000);
        let outputs = deploy(&emulator.endpoint, &id).await;
        let proxy = FaultProxy::to(&emulator.endpoint).await;
        let mut settings = Settings::default();
        settings.aws.endpoint = Some(emulator.endpoint.clone());
        settings.aws.region = outputs.get("CONFHUB_AWS_REGION").cloned();
        let account = Account::open_as(&settings.aws, Some(credentials(&id))).await.unwrap();
        Self { id, proxy, outputs, emulator: emulator.endpoint.clone(), account }
    }

    /// Makes the settings those of a hub in this account, with its calls through
    /// the proxy.
    pub fn configure(&self, settings: &mut Settings) {
        let output = |name: &str| self.outputs[&format!("CONFHUB_AWS_{name}")].clone();
        settings.profile = Profile::Aws;
        settings.backends = Profile::Aws.backends();
        settings.aws.endpoint = Some(self.proxy.endpoint.clone());
        settings.aws.region = Some(output("REGION"));
        settings.aws.table = output("TABLE");
        settings.aws.root = output("ROOT");
        settings.aws.topic = Some(output("TOPIC"));
        settings.aws.dead_letter_queue = Some(output("DEAD_LETTER_QUEUE"));
        settings.aws.queue_prefix = output("QUEUE_PREFIX");
        // The emulator has no quota, and tests no time.
        settings.aws.parameter_reads = 10_000;
        settings.times.heartbeat = Duration::from_millis(200);
    }

    /// The same as variables, for a hub that is a process.
    pub fn variables(&self) -> HashMap<String, String> {
        let mut variables = self.outputs.clone();
        variables.retain(|name, _| !name.starts_with("CONFHUB_AUTH_"));
        variables.insert("CONFHUB_AWS_ENDPOINT".to_owned(), self.proxy.endpoint.clone());
        variables.insert("CONFHUB_AWS_PARAMETER_READS".to_owned(), "10000".to_owned());
        variables.insert("CONFHUB_TIMES_HEARTBEAT".to_owned(), "200ms".to_owned());
        variables
    }

    pub fn credentials(&self) -> SharedCredentialsProvider {
        credentials(&self.id)
    }

    /// Where the emulator itself is.
    pub fn emulator(&self) -> &str {
        &self.emulator
    }

    pub fn table(&self) -> &str {
        &self.outputs["CONFHUB_AWS_TABLE"]
    }

    /// Path of a parameter or a secret.
    pub fn path(&self, tenant: &str, service: &str, key: &str) -> String {
        format!("/{}/{tenant}/{service}/{key}", self.outputs["CONFHUB_AWS_ROOT"])
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(self.account.config())
    }

    pub fn ssm(&self) -> aws_sdk_ssm::Client {
        aws_sdk_ssm::Client::new(self.account.config())
    }

    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(self.account.config())
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(self.account.config())
    }

    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(self.account.config())
    }

    pub fn events(&self) -> aws_sdk_eventbridge::Client {
        aws_sdk_eventbridge::Client::new(self.account.config())
    }

    /// Writes a parameter as somebody else would.
    pub async fn put_parameter(&self, tenant: &str, service: &str, key: &str, value: &str) -> i64 {
        let put = self.ssm().put_parameter().name(self.path(tenant, service, key)).value(value);
        let put = put.r#type(aws_sdk_ssm::types::ParameterType::String).overwrite(true);
        put.send().await.unwrap().version()
    }

    /// Writes a row as somebody else would: with no attribute but a text.
    pub async fn put_row(&self, tenant: &str, service: Option<&str>, key: &str, value: &str) {
        use aws_sdk_dynamodb::types::AttributeValue::S;
        let pk = service.map_or(format!("TENANT#{tenant}"), |of| format!("TENANT#{tenant}|SERVICE#{of}"));
        let put = self.dynamodb().put_item().table_name(self.table());
        let put =
            put.item("pk", S(pk)).item("sk", S(format!("CONFIG#{key}"))).item("value", S(value.to_owned()));
        put.send().await.unwrap();
    }
}

fn credentials(id: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(id, "emulator", None, None, "test"))
}

/// Puts the stack into an account, and returns what it says of itself.
async fn deploy(endpoint: &str, id: &str) -> HashMap<String, String> {
    let mut deploy = Command::new(python());
    let script = emulator::infra().join("local/stack.py");
    deploy.arg(script).args(["--endpoint", endpoint, "--account", id]);
    let ran = soon("the stack", tokio::task::spawn_blocking(move || deploy.output())).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "the stack cannot be deployed: {said}");
    serde_json::from_slice(&ran.stdout).unwrap()
}
