//! What is written arrives: at every subscriber, whole, in order, and soon.

use crate::support::Hub;

#[tokio::test]
async fn a_write_arrives_at_every_subscriber() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_before", "1").await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(writer.subscribe("checkout", b"").await.unwrap());
    }
    writer.put("tenant_config_after", "2").await.unwrap();
    writer.put("param_config_after", "3").await.unwrap();
    for stream in &mut streams {
        stream.until("all three are there", |state| state.len() == 3).await;
        assert_eq!(stream.text("tenant_config_before").as_deref(), Some("1"));
        assert_eq!(stream.text("param_config_after").as_deref(), Some("3"));
    }
}
