//! Definitions of flags: what writers may write evaluators take; what is evaluated is
//! one of the flag's variants, the same each time, however it is asked for; and what is
//! wrong is told in bounded words.
//!
//! The input is three lines: a definition, what flags have in common, and a context.

use confhub_flags::{
    Change, Common, Context, Document, Faults, FlagName, FlagSet, FlagValue, HashVersion, SET_KEY, Slot,
    check_common, check_flag, limits,
};
use serde_json::Value;
use std::sync::Arc;

const NOW: i64 = 1_750_000_000;

pub fn check(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (text, common, context) = (line(), line(), line());
    let name = FlagName::new("a/b").unwrap();
    let good_common = check_common(common).inspect_err(check_faults);
    let shared = Common::parse(common).inspect_err(check_faults).unwrap_or_default();
    let good = check_flag(&name, text, &shared).inspect_err(check_faults);
    check_document(&name, text, common);

    let context: Value = serde_json::from_slice(context).unwrap_or_default();
    let context = Context::from_json(context).unwrap_or_default();
    for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
        let mut flags = FlagSet::new(hash);
        let key = name.key();
        let changes = [(SET_KEY, Change::Value(common)), (key.as_str(), Change::Value(text))];
        let bad = flags.apply(changes).bad;
        bad.iter().for_each(|faults| check_faults(faults));
        if good.is_ok() && good_common.is_ok() {
            assert_eq!(bad, [], "writers may write it, and it is not taken");
        }
        check_evaluation(&flags, &name, &context);
    }
}

/// What stands in a file comes out of it as it went in.
fn check_document(name: &FlagName, text: &[u8], common: &[u8]) {
    let mut document = Document::default();
    let flag = document.put(&Slot::Flag(name.clone()), text);
    let set = document.put(&Slot::Set, common);
    [&flag, &set].into_iter().filter_map(|put| put.as_ref().err()).for_each(check_faults);
    let again = Document::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(again, document);
    assert_eq!(again.flags().count(), usize::from(flag.is_ok()));
}

fn check_evaluation(flags: &FlagSet, name: &FlagName, context: &Context) {
    let clock = || NOW;
    let details = flags.details::<Option<FlagValue>>(name.as_str(), None, context, &clock);
    let Some(flag) = flags.get(name.as_str()) else {
        let code = details.error.unwrap().code.as_str();
        assert!(["PARSE_ERROR", "FLAG_NOT_FOUND"].contains(&code), "{code}");
        return;
    };
    assert_eq!(flags.details(name.as_str(), None, context, &clock), details, "another time");
    assert_eq!(details.value.is_some(), details.variant.is_some());
    if let (Some(value), Some(variant)) = (&details.value, &details.variant) {
        let written = &flag.definition().variants[&**variant];
        let same = match value {
            FlagValue::Integer(_) | FlagValue::Float(_) => value.to_json().as_f64() == written.as_f64(),
            other => other.to_json() == *written,
        };
        assert!(same, "{value:?} of {written}");
        assert!(details.error.is_none());
    }
    // By type: the value, or the default.
    let truth = match details.value {
        Some(FlagValue::Boolean(value)) => value,
        _ => true,
    };
    assert_eq!(flags.value::<bool>(name.as_str(), true, context, &clock), truth);
    let text = flags.details::<Arc<str>>(name.as_str(), "default", context, &clock);
    let is_text = matches!(details.value, Some(FlagValue::String(_)));
    assert_eq!(text.variant.is_some(), is_text, "{text:?}");

    let explained = flags.explain(name.as_str(), context, &clock);
    assert_eq!(explained.details, details);
    assert!(explained.steps.len() <= limits::STEPS);
}

fn check_faults(faults: &Faults) {
    assert!((1..=limits::FAULTS).contains(&faults.faults.len()));
    for fault in &faults.faults {
        let told = fault.to_string();
        assert!(!told.contains(char::is_control), "{told:?}");
        assert!(!fault.reason.is_empty() && fault.reason.len() < 1_200, "{}", fault.reason);
    }
    assert!(!faults.without_values().contains(char::is_control));
}
