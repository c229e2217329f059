//! A hub that goes says so first, and goes in time.

use crate::support::{Event, Hub};
use confhub_proto::wire::goodbye::Reason;
use tonic::Code;

#[tokio::test]
async fn streams_get_a_goodbye_and_then_unavailable() {
    let hub = Hub::start().await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    let stopping = tokio::spawn(hub.stop());
    match stream.event().await {
        Event::Goodbye(goodbye) => {
            assert_eq!(goodbye.reason(), Reason::Drain);
            assert!(goodbye.retry_after.is_some());
        }
        other => panic!("{other:?} instead of a goodbye"),
    }
    assert_eq!(stream.until_end().await.code(), Code::Unavailable);
    drop((stream, caller));
    stopping.await.unwrap();
}
