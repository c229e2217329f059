//! From nothing to a value in memory.
//!
//! In one terminal: `confhub demo`. It stays up and prints the two lines that set
//! `CONFHUB_ENDPOINT` and `CONFHUB_TOKEN`. In another one, these, and then:
//!
//! ```text
//! cargo run -p confhub-client --example quickstart
//! cargo run -p confhub-client --example quickstart -- tenant_config_kafka_addr
//! ```
//!
//! Without a key it lists all there are.

use confhub_client::{Client, Entry};
use std::env;
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let token = env::var("CONFHUB_TOKEN").map_err(|_| "set CONFHUB_TOKEN: `confhub token` makes one")?;
    let client = Client::builder().endpoint(endpoint).token(token).service("checkout").connect().await?;

    match env::args().nth(1) {
        Some(key) => match client.get(&key) {
            Some(entry) => show(&entry),
            None => println!("there is no entry `{key}`"),
        },
        None => {
            let snapshot = client.snapshot();
            let mut entries: Vec<_> = snapshot.iter().collect();
            entries.sort_by_key(|entry| entry.key());
            entries.into_iter().for_each(|entry| show(entry));
        }
    }
    Ok(())
}

fn show(entry: &Entry) {
    let value = if entry.is_secret() { "(secret)".into() } else { String::from_utf8_lossy(entry.value()) };
    println!("{} = {value}  (version {})", entry.key(), entry.version());
}
