//! Single reads: routed by prefix, from memory where that is current.

use crate::support::{Aws, Hub};

#[tokio::test]
async fn reads_are_routed_by_prefix_and_come_from_memory_once_the_tenant_is_loaded() {
    let aws = Aws::new().await;
    aws.put_row("acme", Some("cart"), "tenant_config_a", "of the table").await;
    aws.put_parameter("acme", "shared", "param_config_a", "of the parameters").await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let caller = hub.caller("acme").await;
    let reads = || {
        let names = ["DynamoDB_20120810.BatchGetItem", "DynamoDB_20120810.GetItem", "AmazonSSM.GetParameter"];
        names.iter().map(|name| aws.proxy.calls(name)).sum::<u64>()
    };
    let found =
        caller.batch_get("cart", &["tenant_config_a", "param_config_a", "param_config_b"]).await.unwrap();
    let values: Vec<_> = found.entries.iter().map(|entry| entry.value.as_ref()).collect();
    assert_eq!(values, [&b"of the table"[..], b"of the parameters"]);
    assert_eq!(found.missing, ["param_config_b"]);
    assert!(reads() > 0, "the tenant is not in memory");

    let mut stream = caller.subscribe("cart", b"").await.unwrap();
    stream.until_current().await;
    let before = reads();
    for _ in 0..20 {
        assert_eq!(caller.get("cart", "tenant_config_a").await.unwrap().value, "of the table");
        assert_eq!(caller.get("cart", "param_config_a").await.unwrap().value, "of the parameters");
    }
    assert_eq!(reads(), before);
    // Who writes here, reads here what it wrote.
    for n in 0..20 {
        let value = n.to_string();
        caller.put("tenant_config_b", &value).await.unwrap();
        caller.put("param_config_b", &value).await.unwrap();
        assert_eq!(caller.get("", "tenant_config_b").await.unwrap().value, value);
        assert_eq!(caller.get("", "param_config_b").await.unwrap().value, value);
    }
}
