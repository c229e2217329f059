//! What watches a hub speaks of what the hub says.

use crate::support::{Caller, Hub, http_get};

#[tokio::test]
async fn every_metric_that_an_alert_names_exists_and_has_its_help() {
    let rules = include_str!("../infra/alerts.yaml");
    let hub = Hub::start().await;
    // Reasons of refusals are known when there is one.
    let stranger = Caller::connect(&hub.endpoint(), "no token").await;
    assert!(stranger.get("", "tenant_config_a").await.is_err());
    let (status, metrics) = http_get(hub.addresses.http, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    let no_name = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let named: Vec<_> = rules.split(no_name).filter(|word| word.starts_with("confhub_")).collect();
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        let family = name.trim_end_matches("_total").trim_end_matches("_bucket");
        for kind in ["HELP", "TYPE"] {
            assert!(metrics.contains(&format!("# {kind} {family} ")), "no {kind} of {name} in:\n{metrics}");
        }
    }
}
