//! Whoever can put a message on the queue can have the hub read the truth again,
//! and nothing else.

use crate::support::aws::FixedQueue;
use crate::support::{Aws, Hub, Stream};
use confhub::auth::HUB_TENANT;
use serde_json::{Value, json};

const ROW: &str = "tenant_config_a";
const FORGED: &str = "Zm9yZ2Vk"; // `forged`

/// A row's record, which says that it has changed to what a forger would like.
fn record(pk: &str, sk: &str) -> Value {
    let image = json!({"pk": {"S": pk}, "sk": {"S": sk}, "value": {"B": FORGED}, "version": {"N": "999"}});
    json!({"eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb", "tenant": "acme",
        "dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "NewImage": image}})
}

fn bridge(source: &str, kind: &str, detail: &Value) -> Value {
    json!({"version": "0", "id": "1", "account": "999999999999", "source": source, "detail-type": kind, "detail": detail})
}

fn parameter(name: &str) -> Value {
    let detail = json!({"operation": "Update", "name": name, "type": "String", "value": "forged"});
    bridge("aws.ssm", "Parameter Store Change", &detail)
}

/// A tenant that has a stream, another that nobody listens to, and a queue to
/// which the test alone sends.
struct Bench {
    aws: Aws,
    queue: FixedQueue,
    hub: Hub,
    stream: Stream,
}

impl Bench {
    async fn new() -> Self {
        let aws = Aws::new().await;
        for tenant in ["acme", "globex"] {
            aws.put_row(tenant, None, ROW, &format!("of {tenant}")).await;
        }
        let queue = FixedQueue::make(&aws).await;
        let hub = queue.hub(&aws, |_| {}).await;
        let mut stream = hub.caller("acme").await.subscribe("cart", b"").await.unwrap().counting_anew();
        stream.until_current().await;
        Self { aws, queue, hub, stream }
    }

    /// Sends what was forged, and then tells of a true change, which comes as it
    /// is and as the only one.
    async fn unmoved(mut self, forged: &[Value]) {
        let updates = self.stream.updates;
        for event in forged {
            self.queue.send(&event.to_string()).await;
            self.queue.send(&json!({"Type": "Notification", "Message": event.to_string()}).to_string()).await;
            self.queue.send(&bridge("confhub.table", "DynamoDB Stream Record", event).to_string()).await;
        }
        self.queue.until_empty().await;
        self.aws.put_row("acme", None, ROW, "the truth").await;
        self.queue.send(&record("TENANT#acme", &format!("CONFIG#{ROW}")).to_string()).await;
        let changed = |state: &confhub_proto::State| state.get(ROW).is_some_and(|e| e.value() == "the truth");
        self.stream.until("the truth", changed).await;
        assert_eq!((self.stream.updates, self.stream.state.len()), (updates + 1, 1));
        let globex = self.hub.caller("globex").await;
        assert_eq!(globex.get("", ROW).await.unwrap().value, "of globex");
    }
}

#[tokio::test]
async fn a_forged_event_with_values_causes_a_read_and_nothing_else() {
    let bench = Bench::new().await;
    let forged = [
        // What is there, with another value; what is not there; and another's.
        record("TENANT#acme", &format!("CONFIG#{ROW}")),
        record("TENANT#acme", "CONFIG#tenant_config_never"),
        record("TENANT#acme|SERVICE#cart", &format!("CONFIG#{ROW}")),
        record("TENANT#globex", &format!("CONFIG#{ROW}")),
        record("TENANT#nobody", &format!("CONFIG#{ROW}")),
        parameter(&bench.aws.path("acme", "shared", "param_config_never")),
        parameter(&bench.aws.path("globex", "shared", "param_config_never")),
    ];
    bench.unmoved(&forged).await;
}

#[tokio::test]
async fn an_event_whose_names_reach_elsewhere_is_passed_over() {
    let bench = Bench::new().await;
    let forged = [
        record("TENANT#acme#TENANT#globex", &format!("CONFIG#{ROW}")),
        record("TENANT#../globex", &format!("CONFIG#{ROW}")),
        record("TENANT#acme|SERVICE#cart|SERVICE#order", &format!("CONFIG#{ROW}")),
        record("TENANT#acme", "CONFIG#../../globex"),
        record("TENANT#\u{430}cme", &format!("CONFIG#{ROW}")),
        parameter("/confhub/acme/../globex/shared/param_config_a"),
        parameter("/elsewhere/acme/shared/param_config_a"),
    ];
    bench.unmoved(&forged).await;
}

#[tokio::test]
async fn an_event_of_the_hubs_own_records_makes_none() {
    let bench = Bench::new().await;
    let own = format!("TENANT#{HUB_TENANT}");
    let forged = [
        record(&own, &format!("CONFIG#{ROW}")),
        record(&own, "CONFIG#tenant_config_acme"),
        record(&format!("{own}|SERVICE#acme"), &format!("CONFIG#{ROW}")),
        parameter(&bench.aws.path(HUB_TENANT, "shared", "param_config_acme")),
    ];
    bench.unmoved(&forged).await;
}
