//! A hub on all three stores, with one subscriber who must notice no fault.

use super::Aws;
use crate::support::{Caller, Hub, Stream, soon, view_of};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use confhub::config::Settings;
use std::time::Duration;
use tokio::time::interval;

pub const ROW: &str = "tenant_config_a";
pub const PARAMETER: &str = "param_config_a";
pub const SECRET: &str = "secret_config_a";

/// What the settings call each store, and how its calls begin.
pub const STORES: [(&str, &str); 3] =
    [("dynamodb", "DynamoDB_20120810."), ("ssm", "AmazonSSM."), ("secretsmanager", "secretsmanager.")];

/// An account with an entry in each store, a hub, and a stream that is current.
/// The stream checks that versions never go back, and every wait for it that it
/// has not ended.
pub struct Scene {
    pub aws: Aws,
    pub hub: Hub,
    pub caller: Caller,
    pub stream: Stream,
}

impl Scene {
    pub async fn set(aws: Aws, change: impl FnOnce(&mut Settings)) -> Self {
        write(&aws, "0").await;
        let hub = Hub::start_on_aws(&aws, change).await;
        hub.until_source_is_up().await;
        let caller = hub.caller("acme").await;
        let mut stream = caller.subscribe("cart", b"").await.unwrap().counting_anew();
        stream.until("all three", |state| state.len() == 3).await;
        let scene = Self { aws, hub, caller, stream };
        scene.until_ready("ok\n").await;
        scene
    }

    /// Somebody else writes to every store.
    pub async fn write(&self, value: &str) {
        write(&self.aws, value).await;
    }

    /// Follows until the subscriber has what the stores have.
    pub async fn until_converged(&mut self, value: &str) {
        let stream = &mut self.stream;
        stream
            .until("what was written", |state| {
                [ROW, PARAMETER]
                    .iter()
                    .all(|key| state.get(key).is_some_and(|entry| entry.value() == value.as_bytes()))
            })
            .await;
        let truth = view_of(&self.caller.list().await, "cart", &[]);
        stream.until("what the stores have", |state| state.digest() == truth.digest()).await;
    }

    /// Waits until everything that tells how the hub is says that all is well.
    pub async fn until_well(&self) {
        self.until_ready("ok\n").await;
        for (store, _) in STORES {
            let labels = [&*format!("backend=\"{store}\"")];
            self.hub.until_metrics("confhub_backend_up", &labels, |up| up > 0.0).await;
        }
        self.hub.until_source_is_up().await;
        let status = self.caller.status().await.unwrap();
        assert!(status.backends.iter().all(|backend| backend.error.is_empty()), "{status:?}");
        let source = status.change_source.unwrap();
        assert_eq!((source.kind.as_str(), source.error.as_str()), ("sqs", ""));
    }

    /// Waits until `/readyz` says this with status 200, as it must all the while.
    pub async fn until_ready(&self, wanted: &str) {
        let reached = async {
            let mut looks = interval(Duration::from_millis(20));
            loop {
                looks.tick().await;
                let (status, said) = self.hub.readyz().await;
                assert_eq!(status, 200, "{said}");
                assert!(said == "ok\n" || said.starts_with("ok, but degraded: "), "{said}");
                if said.contains(wanted) {
                    return;
                }
            }
        };
        soon(wanted, reached).await;
    }

    /// Waits until everything that tells how the hub is says that a store fails,
    /// and why.
    pub async fn until_failing(&self, store: &str, cause: &str) {
        let labels = [&*format!("backend=\"{store}\""), &*format!("cause=\"{cause}\"")];
        self.hub.until_metrics("confhub_backend_failures_total", &labels, |count| count > 0.0).await;
        let labels = [&*format!("backend=\"{store}\"")];
        let up = self.hub.metrics("confhub_backend_up", &labels).await;
        assert!(up < 1.0, "the last read of {store} has failed");
        self.until_ready(&format!("the {store} backend is unavailable")).await;
        let status = self.caller.status().await.unwrap();
        let said = status.backends.iter().find(|backend| backend.backend == store).unwrap();
        assert!(said.error.contains("unavailable"), "{said:?}");
    }

    /// Whoever comes meanwhile gets what is in memory.
    pub async fn newcomer_is_served(&self) {
        let mut newcomer = self.caller.subscribe("cart", b"").await.unwrap();
        newcomer.until_current().await;
        assert_eq!(newcomer.state.digest(), self.stream.state.digest());
    }
}

async fn write(aws: &Aws, value: &str) {
    aws.put_row("acme", None, ROW, value).await;
    aws.put_parameter("acme", "cart", PARAMETER, value).await;
    let name = aws.path("acme", "shared", SECRET);
    let secrets = aws.secrets();
    if secrets.put_secret_value().secret_id(&name).secret_string(value).send().await.is_err() {
        secrets.create_secret().name(&name).secret_string(value).send().await.unwrap();
    }
}

impl Aws {
    /// Makes the table again that the test has deleted, with nothing in it.
    pub async fn make_table(&self) {
        let mut make = self.dynamodb().create_table().table_name(self.table());
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
            make = make.attribute_definitions(attribute).key_schema(key);
        }
        make.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }

    pub async fn delete_table(&self) {
        self.dynamodb().delete_table().table_name(self.table()).send().await.unwrap();
    }
}
