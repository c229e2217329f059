//! Flags that are entries are evaluated in the service's memory, and a bad one is nobody
//! else's trouble.

use crate::support::{Caller, Hub, client, has, secret, text, until_state};
use confhub_client::Client;
use confhub_client::flags::{Context, ErrorCode, FlagName, Reason};
use confhub_flags::{FLAG_TYPE, SET_KEY, SET_TYPE};
use confhub_proto::wire;

fn key(name: &str) -> String {
    FlagName::new(name).unwrap().key().to_string()
}

/// Writes a definition, and waits until a client has it.
async fn set(writer: &Caller, client: &Client, key: &str, content_type: &str, value: &str) {
    let content = wire::Content { content_type: content_type.to_owned(), ..text(value) };
    let version = writer.put_content(key, content).await.unwrap();
    until_state(client, "the flag", |state| state.get(key).is_some_and(|entry| entry.version() >= version))
        .await;
}

const OFF: &str = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}"#;
const ON: &str = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}"#;

#[tokio::test]
async fn a_flag_is_what_was_written_last() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let client = client(&hub, "acme").connect().await.unwrap();
    let (flags, context) = (client.flags(), Context::of("user-1"));
    let details = flags.boolean_details("ad/failure", true, &context);
    assert_eq!((details.value, details.reason), (true, Reason::Error));
    assert_eq!(details.error.map(|error| error.code), Some(ErrorCode::FlagNotFound));

    set(&writer, &client, &key("ad/failure"), FLAG_TYPE, ON).await;
    assert!(flags.boolean("ad/failure", false, &context));
    set(&writer, &client, &key("ad/failure"), FLAG_TYPE, OFF).await;
    let details = flags.boolean_details("ad/failure", true, &context);
    assert_eq!((details.value, details.variant.as_deref()), (false, Some("off")));
    assert_eq!(details.reason, Reason::Static);

    writer.delete_for("", &key("ad/failure")).await.unwrap();
    until_state(&client, "no flag", |state| state.is_empty()).await;
    assert!(flags.boolean("ad/failure", true, &context));
}

/// As somebody writes who knows nothing of flags.
fn json(value: &str) -> wire::Content {
    wire::Content { content_type: "application/json".to_owned(), ..text(value) }
}

#[tokio::test]
async fn a_flag_that_is_stored_badly_stays_what_it_was_and_all_others_go_on() {
    let mut hub = Hub::start().await;
    let client = client(&hub, "acme").connect().await.unwrap();
    let (flags, context) = (client.flags(), Context::new());
    set(&hub.caller("acme").await, &client, &key("a"), FLAG_TYPE, ON).await;
    set(&hub.caller("acme").await, &client, &key("b"), FLAG_TYPE, OFF).await;
    for (at, bad) in ["{", "[]", r#"{"state":"ENABLED","variants":{"on":true},"targeting":{"likes":[1]}}"#]
        .into_iter()
        .enumerate()
    {
        hub = hub.written_behind("acme", vec![(&key("a"), json(bad)), (&key("c"), json(bad))]).await;
        until_state(&client, "what is bad", |state| has(state, &key("a"), bad) && has(state, &key("c"), bad))
            .await;
        let writer = hub.caller("acme").await;
        set(&writer, &client, &key("b"), FLAG_TYPE, if at % 2 == 0 { ON } else { OFF }).await;
        assert!(flags.boolean("a", false, &context), "{bad}");
        assert_eq!(flags.boolean("b", at % 2 != 0, &context), at % 2 == 0);
        let details = flags.boolean_details("c", true, &context);
        assert_eq!(details.error.map(|error| error.code), Some(ErrorCode::ParseError), "{bad}");
        let errors: Vec<_> = flags.errors().iter().map(|error| error.to_string()).collect();
        assert!(errors.len() == 2 && errors[0].starts_with("flag `a`: "), "{errors:?}");
    }
    set(&hub.caller("acme").await, &client, &key("a"), FLAG_TYPE, OFF).await;
    assert!(!flags.boolean("a", true, &context));
    assert_eq!(flags.errors().len(), 1);
    let _hub = hub.written_behind("acme", vec![(&key("b"), secret("hidden"))]).await;
    until_state(&client, "a secret", |state| state.get(&key("b")).is_some_and(|entry| entry.is_secret()))
        .await;
    assert!(flags.boolean("b", false, &context));
    assert!(flags.errors().iter().any(|error| error.to_string().contains("cannot be a secret")));
}

#[tokio::test]
async fn a_change_of_what_flags_share_is_a_change_of_those_that_use_it() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let rule = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off",
        "targeting":{"if":[{"$ref":"staff"},"on",null]}}"#;
    let client = client(&hub, "acme").connect().await.unwrap();
    let (flags, context) = (client.flags(), Context::of("1").with("email", "a@acme.example"));
    let staff = |end: &str| {
        format!(
            r#"{{"$evaluators":{{"staff":{{"ends_with":[{{"var":"email"}},"{end}"]}}}},"metadata":{{"team":"ads"}}}}"#
        )
    };
    set(&writer, &client, SET_KEY, SET_TYPE, &staff("@acme.example")).await;
    set(&writer, &client, &key("a"), FLAG_TYPE, rule).await;
    let details = flags.boolean_details("a", false, &context);
    assert_eq!((details.value, details.reason), (true, Reason::TargetingMatch));
    assert_eq!(details.metadata["team"], "ads");
    assert!(flags.errors().is_empty());
    set(&writer, &client, SET_KEY, SET_TYPE, &staff("@other.example")).await;
    assert_eq!(flags.boolean_details("a", true, &context).reason, Reason::Default);
}
