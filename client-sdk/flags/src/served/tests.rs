use super::*;
use crate::{FLAG_TYPE, SET_KEY, SET_TYPE};
use confhub_proto::{Content, Key};
use proptest::prelude::*;
use serde_json::json;
use std::time::SystemTime;

const ALL: usize = usize::MAX;

fn put(state: &mut State, key: &str, value: &str, secret: bool) {
    let media_type = if key == SET_KEY { SET_TYPE } else { FLAG_TYPE };
    let content = Content::new(value.to_owned().into(), media_type, secret, ALL).unwrap();
    let version = state.get(key).map_or(1, |entry| entry.version() + 1);
    let key = Key::new(key).unwrap();
    state.put(Arc::new(Entry::new(key, None, content, version, SystemTime::UNIX_EPOCH)));
}

fn flag(state: &mut State, name: &str, value: &Value) {
    put(state, FlagName::new(name).unwrap().key().as_str(), &value.to_string(), false);
}

fn on(default: &str) -> Value {
    json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": default})
}

fn read(served: &Served) -> Value {
    serde_json::from_str(&served.document(ALL).unwrap()).unwrap()
}

#[test]
fn flags_are_served_in_the_plainest_form() {
    let (mut state, mut served) = (State::default(), Served::new(""));
    assert_eq!(served.document(ALL).unwrap(), r#"{"flags":{}}"#);
    let text =
        r#"{ "variants": {"a": 1.50}, "description":"x", "state":"ENABLED", "defaultVariant" : null }"#;
    put(&mut state, "tenant_config_flag.n", text, false);
    put(&mut state, SET_KEY, r#"{"$schema":"s","metadata":{"v":"1"},"other":[]}"#, false);
    put(&mut state, "tenant_config_flagrant", "{", false);
    let news = served.update(&state);
    assert!(news.changed && news.bad.is_empty());
    assert_eq!(
        served.document(ALL).unwrap(),
        r#"{"metadata":{"v":"1"},"flags":{"n":{"state":"ENABLED","variants":{"a": 1.50},"defaultVariant":null}}}"#
    );
}

#[test]
fn what_means_nothing_to_evaluation_changes_nothing() {
    let (mut state, mut served) = (State::default(), Served::new(""));
    flag(&mut state, "a", &on("on"));
    assert!(served.update(&state).changed);
    let mut described = on("on");
    described["description"] = "words".into();
    flag(&mut state, "a", &described);
    put(&mut state, "tenant_config_other", "1", false);
    assert!(!served.update(&state).changed);
    state.remove("tenant_config_flag.a");
    assert!(served.update(&state).changed);
    assert_eq!(read(&served), json!({"flags": {}}));
}

#[test]
fn a_bad_flag_stays_what_it_was_and_one_that_never_was_good_is_left_out() {
    let (mut state, mut served) = (State::default(), Served::new(""));
    flag(&mut state, "a", &on("on"));
    flag(&mut state, "b", &on("on"));
    served.update(&state);
    flag(&mut state, "a", &json!({"state": "ENABLED"}));
    flag(&mut state, "b", &on("off"));
    flag(&mut state, "c", &on("none"));
    put(&mut state, "tenant_config_flag.d", &on("on").to_string(), true);
    let news = served.update(&state);
    assert_eq!((news.bad.len(), served.bad()), (3, 3));
    assert_eq!(read(&served), json!({"flags": {"a": on("on"), "b": on("off")}}));
    for good in ["a", "c", "d"] {
        state.remove(&format!("tenant_config_flag.{good}"));
    }
    flag(&mut state, "a", &on("off"));
    served.update(&state);
    assert_eq!(served.bad(), 0);
    assert_eq!(read(&served), json!({"flags": {"a": on("off"), "b": on("off")}}));
}

#[test]
fn evaluators_are_put_in_and_what_they_break_is_left_out() {
    let (mut state, mut served) = (State::default(), Served::new(""));
    let rule = |name: &str| json!({"if": [{"$ref": name}, "on", "off"]});
    let mut with = on("off");
    with["targeting"] = rule("outer");
    flag(&mut state, "a", &with);
    let news = served.update(&state);
    assert_eq!((news.bad.len(), read(&served)), (1, json!({"flags": {}})));
    let inner = json!({"in": ["é\"\\", {"var": "email"}]});
    let evaluators = json!({"$evaluators": {"outer": {"!": [{"$ref": "inner"}]}, "inner": inner}});
    put(&mut state, SET_KEY, &evaluators.to_string(), false);
    assert!(served.update(&state).changed);
    assert_eq!(served.bad(), 0);
    assert_eq!(read(&served)["flags"]["a"]["targeting"], json!({"if": [{"!": [inner]}, "on", "off"]}));
    // Bad evaluators are as if nobody had written them; good ones without it are not.
    put(&mut state, SET_KEY, r#"{"$evaluators": 1}"#, false);
    let news = served.update(&state);
    assert!(!news.changed && news.bad.len() == 1);
    put(&mut state, SET_KEY, "{}", false);
    assert!(served.update(&state).changed);
    assert_eq!((served.bad(), read(&served)), (1, json!({"flags": {}})));
}

#[test]
fn names_and_size_are_bounds() {
    let (mut state, mut served) = (State::default(), Served::new("pay."));
    for name in ["pay.a", "pay", "other"] {
        flag(&mut state, name, &on("on"));
    }
    served.update(&state);
    assert_eq!(read(&served), json!({"flags": {"pay.a": on("on")}}));
    let bytes = served.document(ALL).unwrap().len();
    assert!(served.document(bytes).is_ok());
    let refused = served.document(bytes - 1).unwrap_err();
    assert_eq!(refused, TooLarge { bytes, most: bytes - 1 });
}

proptest! {
    #[test]
    fn a_name_that_begins_so_has_a_key_that_begins_so(
        names in "[ab./\u{e9}]{0,4}", rest in "[ab./\u{e9}]{0,4}",
    ) {
        let name = format!("{names}{rest}");
        if let Ok(name) = FlagName::new(&name) {
            let [flags, set] = Served::prefixes(&names).unwrap();
            prop_assert!(name.key().as_str().starts_with(&flags), "{}", name.key());
            prop_assert!(SET_KEY.starts_with(&set));
        }
    }
}
