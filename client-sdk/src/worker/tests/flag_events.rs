//! What programs hear of their flags.

use super::*;
use crate::FailureKind;
use crate::flags::{Context, FlagEvent, FlagName, Flags};
use confhub_flags::{FLAG_TYPE, SET_KEY, SET_TYPE};
use std::collections::BTreeSet;

const ON: &str = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}"#;
const OFF: &str = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}"#;
const REFERRING: &str = r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off",
    "targeting":{"if":[{"$ref":"beta"},"on"]}}"#;

/// A state of these flags, by name, version and definition.
fn flags(all: &[(&str, u64, &str)]) -> State {
    let entries = all.iter().map(|(name, version, text)| match *name {
        SET_KEY => entry(SET_KEY, *version, text, SET_TYPE),
        name => entry(FlagName::new(name).unwrap().key().as_str(), *version, text, FLAG_TYPE),
    });
    entries.collect()
}

fn changed(names: &[&str]) -> Option<FlagEvent> {
    let flags: BTreeSet<_> = names.iter().map(|name| FlagName::new(name).unwrap()).collect();
    Some(FlagEvent::ConfigurationChanged { flags })
}

/// Waits until a flag has this value: then all of its update is there.
async fn until(flags: &Flags, changes: &mut crate::ChangeStream, name: &str, value: bool) {
    while flags.boolean(name, !value, &Context::new()) != value {
        changes.next().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_ready_changed_bad_stale_and_ready_again_in_their_order() {
    let mut hub = FakeHub::new();
    let first = flags(&[("a", 1, OFF), ("b", 1, OFF)]);
    let (client, call) = hub.connected(hub.builder(), &first).await;
    let mut events = client.flags().events();
    assert_eq!(events.next().await, Some(FlagEvent::Ready));

    // Of what changed together both names, and of what is no flag nothing.
    let mut second = flags(&[("a", 2, ON), ("c", 1, ON)]);
    second.put(entry("tenant_config_other", 1, "1", Content::JSON));
    call.update(&between(&first, &second)).await;
    assert_eq!(events.next().await, changed(&["a", "b", "c"]));

    // One that is bad stays what it was, and another in the same update goes on.
    let third = flags(&[("a", 3, "[]"), ("c", 2, OFF)]);
    call.update(&between(&second, &third)).await;
    assert_eq!(events.next().await, changed(&["c"]));
    let Some(FlagEvent::Error { faults }) = events.next().await else { panic!("no error") };
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().starts_with("flag `a`: "), "{}", faults[0]);
    assert!(client.flags().boolean("a", false, &Context::new()));

    call.end(tonic::Status::unavailable("restart")).await;
    let Some(FlagEvent::Stale { reason, .. }) = events.next().await else { panic!("not stale") };
    assert!(reason.contains("restart"), "{reason}");
    let call = hub.call().await;
    call.welcome("acme").await;
    let fourth = flags(&[("a", 4, OFF), ("c", 2, OFF)]);
    call.update(&between(&third, &fourth)).await;
    // What came with the first words of the new stream is told before it is ready.
    assert_eq!(events.next().await, changed(&["a"]));
    assert_eq!(events.next().await, Some(FlagEvent::Ready));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_what_flags_share_names_those_that_use_it() {
    let mut hub = FakeHub::new();
    let set = |rule: &str| format!(r#"{{"$evaluators":{{"beta":{rule}}}}}"#);
    let (yes, no) = (set(r#"{"==":[1,1]}"#), set(r#"{"==":[1,2]}"#));
    let first = flags(&[("a", 1, REFERRING), ("b", 1, OFF), (SET_KEY, 1, &no)]);
    let (client, call) = hub.connected(hub.builder(), &first).await;
    let mut events = client.flags().events();
    assert_eq!(events.next().await, Some(FlagEvent::Ready));
    let second = flags(&[("a", 1, REFERRING), ("b", 1, OFF), (SET_KEY, 2, &yes)]);
    call.update(&between(&first, &second)).await;
    assert_eq!(events.next().await, changed(&["a"]));
    assert!(client.flags().boolean("a", false, &Context::new()));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_gets_many_changes_as_one() {
    let mut hub = FakeHub::new();
    let mut at = flags(&[("a", 1, OFF), ("b", 1, OFF)]);
    let (client, call) = hub.connected(hub.builder(), &at).await;
    let (reader, mut changes) = (client.flags(), client.changes());
    let mut events = reader.events();
    assert_eq!(events.next().await, Some(FlagEvent::Ready));
    for version in 2..102 {
        let text = if version % 2 == 0 { ON } else { OFF };
        let next = flags(&[("a", version, text), ("b", 1, OFF)]);
        call.update(&between(&at, &next)).await;
        at = next;
    }
    let last = flags(&[("a", 102, OFF), ("b", 2, ON)]);
    call.update(&between(&at, &last)).await;
    until(&reader, &mut changes, "b", true).await;
    assert_eq!(events.next().await, changed(&["a", "b"]));
    // And no more.
    let nothing = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_with_its_reason_and_the_last_flags_stay() {
    let mut hub = FakeHub::new();
    let state = flags(&[("a", 1, ON)]);
    let (client, call) = hub.connected(hub.builder(), &state).await;
    let mut events = client.flags().events();
    assert_eq!(events.next().await, Some(FlagEvent::Ready));
    call.end(refusal("revoked")).await;
    let told = loop {
        match events.next().await {
            // The end of the stream may be seen before its reason is known.
            Some(FlagEvent::Stale { .. }) => {}
            other => break other,
        }
    };
    assert!(matches!(told, Some(FlagEvent::Fatal { .. })), "{told:?}");
    assert_eq!(events.next().await, None);
    assert!(client.flags().boolean("a", false, &Context::new()));
}

#[tokio::test(start_paused = true)]
async fn who_closes_the_client_is_told_nothing_but_the_end() {
    let mut hub = FakeHub::new();
    let (client, _call) = hub.connected(hub.builder(), &flags(&[])).await;
    let mut events = client.flags().events();
    assert_eq!(events.next().await, Some(FlagEvent::Ready));
    client.close().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_is_told_how_things_stand() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &flags(&[("a", 1, ON)])).await;
    call.end(tonic::Status::unavailable("restart")).await;
    client.watch_status().wait_for(Status::is_stale).await.unwrap();
    let mut events = client.flags().events();
    let told = events.next().await;
    assert!(
        matches!(told, Some(FlagEvent::Stale { kind: FailureKind::Limited | FailureKind::Other, .. })),
        "{told:?}"
    );
}

#[cfg(feature = "openfeature")]
#[tokio::test(start_paused = true)]
async fn programs_that_know_openfeature_evaluate_in_memory() {
    use crate::openfeature::Provider;
    use open_feature::provider::{FeatureProvider as _, ProviderStatus};
    use open_feature::{EvaluationContext, EvaluationErrorCode, EvaluationReason, OpenFeature};

    let mut hub = FakeHub::new();
    let german = r#"{"state":"ENABLED","variants":{"de":"hallo","en":"hello"},"defaultVariant":"en",
        "targeting":{"if":[{"==":[{"var":"country"},"de"]},"de"]}}"#;
    let first = flags(&[("a", 1, ON), ("greeting", 1, german)]);
    let (client, call) = hub.connected(hub.builder(), &first).await;
    let mut api = OpenFeature::default();
    api.set_provider(Provider::new(&client)).await;
    let theirs = api.create_client();
    assert!(theirs.get_bool_value("a", None, None).await.unwrap());
    let user = EvaluationContext::default().with_targeting_key("u").with_custom_field("country", "de");
    let told = theirs.get_string_details("greeting", Some(&user), None).await.unwrap();
    assert_eq!((told.value.as_str(), told.variant.as_deref()), ("hallo", Some("de")));
    assert_eq!(told.reason, Some(EvaluationReason::TargetingMatch));
    let code = theirs.get_int_value("greeting", Some(&user), None).await.unwrap_err().code;
    assert_eq!(code, EvaluationErrorCode::TypeMismatch);
    let code = theirs.get_bool_value("nothing", None, None).await.unwrap_err().code;
    assert_eq!(code, EvaluationErrorCode::FlagNotFound);

    let mut events = client.flags().events();
    call.update(&between(&first, &flags(&[("a", 2, OFF), ("greeting", 1, german)]))).await;
    while events.next().await != changed(&["a"]) {}
    assert!(!theirs.get_bool_value("a", None, None).await.unwrap());

    let provider = Provider::new(&client);
    assert_eq!((provider.status(), provider.metadata().name.as_str()), (ProviderStatus::Ready, "confhub"));
    call.end(tonic::Status::unavailable("restart")).await;
    client.watch_status().wait_for(Status::is_stale).await.unwrap();
    assert_eq!(provider.status(), ProviderStatus::STALE);
    assert!(!theirs.get_bool_value("a", None, None).await.unwrap());
}
