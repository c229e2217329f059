//! A program that knows OpenFeature's API, and flags that are in its memory.
//!
//! In one terminal: `confhub demo`. It stays up and prints the two lines that set
//! `CONFHUB_ENDPOINT` and `CONFHUB_TOKEN`. In another one, these, and then:
//!
//! ```text
//! cargo run -p confhub-client --features openfeature --example openfeature -- adFailure
//! ```

use confhub_client::Client;
use confhub_client::flags::FlagEvent;
use confhub_client::openfeature::Provider;
use open_feature::{EvaluationContext, OpenFeature};
use std::env;
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let flag = env::args().nth(1).unwrap_or_else(|| "adFailure".to_owned());
    let endpoint = env::var("CONFHUB_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7600".to_owned());
    let token = env::var("CONFHUB_TOKEN").map_err(|_| "set CONFHUB_TOKEN: `confhub token` makes one")?;
    let client = Client::builder().endpoint(endpoint).token(token).connect().await?;

    // Once, where the program starts.
    OpenFeature::singleton_mut().await.set_provider(Provider::new(&client)).await;

    // Wherever a flag is asked for.
    let flags = OpenFeature::singleton().await.create_client();
    let user = EvaluationContext::default().with_targeting_key("user-42").with_custom_field("country", "de");
    match flags.get_bool_details(&flag, Some(&user), None).await {
        Ok(told) => println!("`{flag}` is {}, variant {:?}, {:?}", told.value, told.variant, told.reason),
        Err(error) => println!("`{flag}` is the code's default: {error:?}"),
    }

    // That crate has no events yet; the client has.
    let mut events = client.flags().events();
    println!("waiting for changes; Ctrl-C ends");
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(FlagEvent::ConfigurationChanged { flags: changed, .. }) => {
                    println!("changed: {changed:?}");
                    let value = flags.get_bool_value(&flag, Some(&user), None).await.unwrap_or(false);
                    println!("`{flag}` is {value}");
                }
                Some(event) => println!("{event:?}"),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}
