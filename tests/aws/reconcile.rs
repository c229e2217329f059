//! What no event tells is found by the sweep, within its bound and its budget.

use crate::support::{Aws, Hub};
use std::time::Duration;

/// Stops every rule, so that no event arrives any more.
async fn lose_events(aws: &Aws) {
    let events = aws.events();
    for bus in events.list_event_buses().send().await.unwrap().event_buses() {
        let bus = bus.name().unwrap();
        let rules = events.list_rules().event_bus_name(bus).send().await.unwrap();
        for rule in rules.rules() {
            events.disable_rule().event_bus_name(bus).name(rule.name().unwrap()).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_change_whose_event_is_lost_is_found_within_the_time_of_a_sweep() {
    let aws = Aws::new().await;
    aws.put_row("acme", None, "tenant_config_gone", "1").await;
    let hub = Hub::start_on_aws(&aws, |settings| settings.times.reconcile = Duration::from_millis(500)).await;
    hub.until_source_is_up().await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    lose_events(&aws).await;
    aws.put_row("acme", None, "tenant_config_a", "1").await;
    aws.put_parameter("acme", "shared", "param_config_a", "1").await;
    let delete = aws.dynamodb().delete_item().table_name(aws.table());
    let key = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(name.to_owned());
    let delete = delete.key("pk", key("TENANT#acme")).key("sk", key("CONFIG#tenant_config_gone"));
    delete.send().await.unwrap();
    let found = |state: &confhub_proto::State| state.len() == 2 && state.get("tenant_config_gone").is_none();
    stream.until("the sweep to find all three", found).await;
    for (backend, change) in [("dynamodb", "created"), ("dynamodb", "deleted"), ("ssm", "created")] {
        let labels =
            [&format!("backend=\"{backend}\""), &format!("change=\"{change}\""), "cause=\"hint-lost\""]
                .map(|label| label.to_owned());
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        let drift = hub.metrics("confhub_drift_entries_total", &labels).await;
        assert!((drift - 1.0).abs() < 0.5, "{backend} {change}: {drift}");
    }
}

#[tokio::test]
async fn an_operator_can_ask_for_a_comparison_now() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    lose_events(&aws).await;
    aws.put_row("acme", None, "tenant_config_a", "1").await;
    aws.put_parameter("acme", "shared", "param_config_a", "1").await;
    let found = caller.reconcile().await.unwrap();
    let shown: Vec<_> =
        found.iter().map(|sweep| (sweep.backend.as_str(), sweep.entries, sweep.created)).collect();
    assert_eq!(shown, [("dynamodb", 1, 1), ("ssm", 1, 1), ("secretsmanager", 0, 0)]);
    assert!(found.iter().all(|sweep| sweep.error.is_empty() && sweep.deleted + sweep.updated == 0));
    stream.until("both", |state| state.len() == 2).await;
    let again = caller.reconcile().await.unwrap();
    assert!(again.iter().all(|sweep| sweep.created == 0), "{again:?}");
}

#[tokio::test]
async fn sweeps_stay_within_the_budget_and_callers_go_first() {
    let aws = Aws::new().await;
    for tenant in ["a", "b", "c"] {
        for n in 0..30 {
            aws.put_parameter(tenant, "shared", &format!("param_config_{n}"), "1").await;
        }
    }
    let hub = Hub::start_on_aws(&aws, |settings| {
        settings.backends.retain(|(_, name)| name == "ssm");
        settings.aws.parameter_reads = 20;
        settings.times.reconcile = Duration::from_millis(200);
    });
    let hub = hub.await;
    hub.until_source_is_up().await;
    let mut streams = Vec::new();
    for tenant in ["a", "b", "c"] {
        streams.push(hub.caller(tenant).await.subscribe("", b"").await.unwrap());
    }
    let began = tokio::time::Instant::now();
    let before = aws.proxy.calls("AmazonSSM");
    // All the while, sweeps are due at three times the rate that they may have.
    for n in 0..10 {
        let value = n.to_string();
        aws.put_parameter("a", "shared", "param_config_0", &value).await;
        let arrived = |state: &confhub_proto::State| {
            state.get("param_config_0").is_some_and(|entry| entry.value() == value.as_bytes())
        };
        streams[0].until("the change", arrived).await;
    }
    hub.until_metrics("confhub_backend_reads_total", &["purpose=\"sweep\""], |sweeps| sweeps >= 3.0).await;
    let reads = aws.proxy.calls("AmazonSSM") - before;
    let most = 20.0 * (began.elapsed().as_secs_f64() + 1.0);
    assert!(reads as f64 <= most + 1.0, "{reads} reads; at most {most} are allowed");
}
