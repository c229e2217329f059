//! Changes as they arrive: of one key, of all keys, and of the connection.
//!
//! In one terminal: `confhub demo`. It stays up and prints the two lines that set
//! `CONFHUB_ENDPOINT` and `CONFHUB_TOKEN`. In another one, these, and then:
//!
//! ```text
//! cargo run -p confhub-client --example watch -- tenant_config_kafka_addr
//! ```
//!
//! In a third one, the same two lines, and a change:
//!
//! ```text
//! confhub put tenant_config_kafka_addr kafka-eu:9092
//! ```

use confhub_client::Client;
use std::env;
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let key = env::args().nth(1).unwrap_or_else(|| "tenant_config_kafka_addr".to_owned());
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let token = env::var("CONFHUB_TOKEN").map_err(|_| "set CONFHUB_TOKEN: `confhub token` makes one")?;
    let client = Client::builder().endpoint(endpoint).token(token).connect().await?;

    let mut watch = client.watch(&key);
    let mut changes = client.changes();
    let mut status = client.watch_status();
    println!("{}; watching `{key}`; Ctrl-C ends", client.status());
    loop {
        tokio::select! {
            entry = watch.changed() => match entry? {
                Some(entry) => println!("{key} = {}", String::from_utf8_lossy(entry.value())),
                None => println!("{key} is gone"),
            },
            Some(changes) = changes.next() => {
                println!("{} keys changed, now at {}", changes.keys.len(), changes.cursor);
            }
            Some(status) = status.next() => println!("{status}"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}
