//! A setting as a type of the program: parsed once per change, read for next to
//! nothing, and never worse than the last good value.
//!
//! In one terminal: `confhub demo`. It stays up and prints the two lines that set
//! `CONFHUB_ENDPOINT` and `CONFHUB_TOKEN`. In another one, these, and then:
//!
//! ```text
//! cargo run -p confhub-client --example typed
//! ```
//!
//! In a third one, the same two lines, then a good value, one that does not
//! parse, and none:
//!
//! ```text
//! confhub put tenant_config_order_limits '{"max_items": 5, "max_total": 20000}'
//! confhub put tenant_config_order_limits '{"max_items": "many"}'
//! confhub delete tenant_config_order_limits
//! ```

use confhub_client::Client;
use serde::Deserialize;
use std::env;
use std::error::Error;

#[derive(Debug, Deserialize)]
struct Limits {
    max_items: u32,
    max_total: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let token = env::var("CONFHUB_TOKEN").map_err(|_| "set CONFHUB_TOKEN: `confhub token` makes one")?;
    let client = Client::builder().endpoint(endpoint).token(token).connect().await?;

    let key = "tenant_config_order_limits";
    let limits = client.typed_or(key, Limits { max_items: 10, max_total: 50_000 });
    let mut watch = client.watch(key);
    loop {
        // This is all that a request handler would do.
        let now = limits.load();
        println!("at most {} items and {} cents", now.max_items, now.max_total);
        if let Some(error) = limits.error() {
            println!("  the last good value, since {error}");
        }
        tokio::select! {
            changed = watch.changed() => drop(changed?),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}
