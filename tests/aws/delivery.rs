//! What anybody writes into the stores arrives in the stream.

use crate::support::aws::Does;
use crate::support::{Aws, Hub};

#[tokio::test]
async fn a_parameter_that_somebody_else_writes_arrives() {
    let aws = Aws::new().await;
    aws.put_parameter("acme", "shared", "param_config_a", "1").await;
    let hub =
        Hub::start_on_aws(&aws, |settings| settings.backends.retain(|(_, name)| name != "dynamodb")).await;
    let caller = hub.caller("acme").await;
    let mut stream = caller.subscribe("cart", b"").await.unwrap();
    stream.until("the first state", |state| state.len() == 1).await;
    aws.proxy.fail("x", Does::Hang);
    aws.put_parameter("acme", "cart", "param_config_b", "2").await;
    caller.reconcile().await.unwrap();
    stream.until("the change", |state| state.len() == 2).await;
}
