//! flagd's testbed: every scenario about evaluation, for each hash version that it knows.

use crate::gherkin::{Scenario, Step, parse};
use crate::packages::{krate, testbed};
use confhub_flags::{
    Change, Context, Details, Document, ErrorCode, FlagSet, FlagValue, HashVersion, Metadata,
};
use serde_json::Value;
use std::sync::Arc;

const VERSIONS: [(HashVersion, &str); 3] = [
    (HashVersion::Percent, "fractional-v1"),
    (HashVersion::Text, "fractional-v2"),
    (HashVersion::Cbor, "fractional-v3"),
];

/// A flag that is asked for, and by whom.
#[derive(Default)]
struct World {
    kind: String,
    key: String,
    default: String,
    context: Context,
    selector: Option<String>,
    details: Option<Details<FlagValue>>,
}

/// Features of a whole provider, which is not what is tested here, and why.
const OTHER_FEATURES: [(&str, &str); 6] = [
    ("gherkin/config.feature", "settings of providers, from code and from variables"),
    ("gherkin/connection.feature", "how a provider connects to flagd"),
    ("gherkin/contextEnrichment.feature", "context that flagd adds to a provider's, over its stream"),
    ("gherkin/events.feature", "events of a provider as connections come and go"),
    ("gherkin/rpc-caching.feature", "a cache of providers that have flagd evaluate for them"),
    ("gherkin/sync-payload.feature", "context that flagd adds to a provider's, over its stream"),
];

/// The files that the testbed's flagd serves as one, `allFlags.json`.
const ALL_FLAGS: [&str; 8] = [
    "testing-flags",
    "zero-flags",
    "custom-ops",
    "edge-case-flags",
    "evaluator-refs",
    "metadata-flags",
    "changing-flag",
    "disabled-flags",
];

/// The flags of some files.
fn flags_of(files: &[String], hash: HashVersion) -> FlagSet {
    let mut flags = FlagSet::new(hash);
    for file in files {
        let document = Document::parse(testbed(file).as_bytes()).unwrap();
        let entries: Vec<_> = document.split().collect();
        flags.apply(entries.iter().map(|(slot, text)| (slot.key(), Change::Value(text.as_bytes()))));
    }
    flags
}

/// The flags that a selector means.
fn selected(selector: &str, hash: HashVersion) -> FlagSet {
    let files = match selector {
        "flags/allFlags.json" => ALL_FLAGS.iter().map(|name| format!("flags/{name}.json")).collect(),
        other => vec![other.replace("rawflags/", "flags/")],
    };
    flags_of(&files, hash)
}

/// The texts in quotation marks.
fn quoted(text: &str) -> Vec<String> {
    // An object or an array has marks of its own, some of them with nothing in front.
    if let Some((before, value)) =
        text.split_once("and with value \"").filter(|(_, it)| it.starts_with(['{', '[']))
    {
        let mut parts = quoted(before);
        parts.push(value.trim_end_matches('"').replace("\\\"", "\""));
        return parts;
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('"') {
        // An object has marks of its own, each after a backslash.
        let end = after.char_indices().find(|(at, c)| *c == '"' && !after[..*at].ends_with('\\'));
        let (end, _) = end.unwrap_or_else(|| panic!("an open quotation: {text}"));
        parts.push(after[..end].replace("\\\"", "\""));
        rest = &after[end + 1..];
    }
    parts
}

fn typed(kind: &str, text: &str) -> Value {
    match kind {
        "Boolean" => Value::from(text.parse::<bool>().unwrap()),
        "Integer" => Value::from(text.parse::<i64>().unwrap()),
        "Float" => Value::from(text.parse::<f64>().unwrap()),
        "Object" => serde_json::from_str(text).unwrap(),
        "String" => Value::from(text),
        other => panic!("no type {other}"),
    }
}

impl World {
    /// `Err`: this is no step about evaluation.
    fn run(&mut self, step: &Step, flags: &FlagSet) -> Result<(), String> {
        let text = step.text.as_str();
        let words = quoted(text);
        match (text, words.as_slice()) {
            ("an evaluator" | "a stable flagd provider" | "a metadata flagd provider", _) => {}
            (_, [option, ..]) if text.starts_with("an option ") && option == "cache" => {}
            (_, [option, _, value]) if text.starts_with("an option ") && option == "selector" => {
                self.selector = Some(value.clone());
            }
            (_, [key, default]) if text.contains("-flag with key ") => {
                let (_, kind) = text.split_once("a ").unwrap();
                self.kind = kind.split('-').next().unwrap().to_owned();
                (self.key, self.default) = (key.clone(), default.clone());
            }
            (_, [key]) if text.starts_with("a context containing a targeting key ") => {
                self.context.set("targetingKey", key.as_str());
            }
            (_, [outer, inner, value]) if text.starts_with("a context containing a nested property ") => {
                self.context.set(outer.clone(), serde_json::json!({ inner.as_str(): value }));
            }
            (_, [name, kind, value]) if text.starts_with("a context containing a key ") => {
                self.context.set(name.clone(), typed(kind, value));
            }
            ("the flag was evaluated with details", _) => {
                let own = self.selector.as_deref().map(|selector| selected(selector, flags.hash_version()));
                self.details = Some(self.evaluate(own.as_ref().unwrap_or(flags)));
            }
            _ => return self.then(step, &words),
        }
        Ok(())
    }

    fn evaluate(&self, flags: &FlagSet) -> Details<FlagValue> {
        let (key, context, default) = (self.key.as_str(), &self.context, typed(&self.kind, &self.default));
        // What the testbed's time-based flags are about is that there is a time.
        let now = || 1_750_000_000;
        match self.kind.as_str() {
            "Boolean" => {
                any(flags.details(key, default.as_bool().unwrap(), context, &now), FlagValue::Boolean)
            }
            "Integer" => {
                any(flags.details(key, default.as_i64().unwrap(), context, &now), FlagValue::Integer)
            }
            "Float" => any(flags.details(key, default.as_f64().unwrap(), context, &now), FlagValue::Float),
            "String" => any(flags.details(key, default.as_str().unwrap(), context, &now), FlagValue::String),
            _ => any(flags.details(key, Arc::new(default), context, &now), FlagValue::Object),
        }
    }

    fn then(&self, step: &Step, words: &[String]) -> Result<(), String> {
        let text = step.text.as_str();
        let Some(details) = &self.details else { return Err(text.to_owned()) };
        match words {
            [value] if text.starts_with("the resolved details value should be ") => {
                let (wanted, is) = (typed(&self.kind, value), details.value.to_json());
                assert!(
                    wanted == is || wanted.as_f64().is_some() && wanted.as_f64() == is.as_f64(),
                    "{is}, not {wanted}: {details:?}"
                );
            }
            [reason] if text.starts_with("the reason should be ") => {
                assert_eq!(details.reason.as_str(), reason, "{details:?}");
            }
            [code] if text.starts_with("the error-code should be ") => {
                let is = details.error.as_ref().map_or("", |error| ErrorCode::as_str(error.code));
                assert_eq!(is, code, "{details:?}");
            }
            [] if text == "the resolved metadata is empty" => assert_eq!(*details.metadata, Metadata::new()),
            [] if text == "the resolved metadata should contain" => {
                for row in &step.table {
                    assert_eq!(details.metadata[&row["key"]], typed(&row["metadata_type"], &row["value"]));
                }
            }
            _ => return Err(text.to_owned()),
        }
        Ok(())
    }
}

fn any<T>(details: Details<T>, wrap: fn(T) -> FlagValue) -> Details<FlagValue> {
    details.map(wrap)
}

/// Why a scenario is left out with this hash version; `None`: it is run.
fn left_out(scenario: &Scenario, tag: &str) -> Option<&'static str> {
    let has = |tag: &str| scenario.tags.contains(tag);
    let of_versions = scenario.tags.iter().any(|tag| tag.starts_with("fractional-v"));
    match () {
        () if of_versions && !has(tag) => Some("of another hash version"),
        () if has("fractional-nested") && tag == "fractional-v1" => {
            Some("its users are placed as by the later hash versions, though it is not marked as theirs")
        }
        () if has("deprecated") => Some("deprecated by the testbed for the one with `@no-default-variant`"),
        () => None,
    }
}

/// Runs all scenarios of a file, and gives how many there were. Those left out are
/// printed with the reason.
fn run(feature: &str, flags: &FlagSet, tag: &str) -> usize {
    let (mut ran, mut wrong) = (0, Vec::new());
    for scenario in parse(&testbed(feature)) {
        if let Some(reason) = left_out(&scenario, tag) {
            println!("{feature} {tag}: left out, since {reason}: {}", scenario.name);
            continue;
        }
        let result = std::panic::catch_unwind(|| {
            let mut world = World::default();
            scenario.steps.iter().try_for_each(|step| world.run(step, flags))
        });
        match result {
            Ok(Ok(())) => ran += 1,
            Ok(Err(step)) => wrong.push(format!("{}: no step `{step}`", scenario.name)),
            Err(panic) => {
                let told = panic.downcast_ref::<String>().map_or("", String::as_str);
                wrong.push(format!("{} {:?}: {told}", scenario.name, scenario.tags));
            }
        }
    }
    assert!(wrong.is_empty(), "{feature} as {tag}: {ran} ran, wrong are\n{}", wrong.join("\n"));
    ran
}

/// The features in a folder of the testbed, but for those that are listed as others.
fn features(folder: &str) -> Vec<String> {
    let path = krate("open-feature-flagd").join("flagd-testbed").join(folder);
    let names = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let features = names.filter(|name| name.ends_with(".feature")).map(|name| format!("{folder}/{name}"));
    let is_other = |feature: &String| OTHER_FEATURES.iter().any(|(other, _)| other == feature);
    features.filter(|feature| !is_other(feature)).collect()
}

#[test]
fn all_evaluator_scenarios_pass() {
    for (hash, tag) in VERSIONS {
        let flags = flags_of(&["evaluator/flags/testkit-flags.json".to_owned()], hash);
        let ran: usize = features("evaluator/gherkin").iter().map(|feature| run(feature, &flags, tag)).sum();
        println!("{ran} evaluator scenarios as {tag}");
        assert!(ran >= 100, "only {ran} scenarios as {tag}");
    }
}

#[test]
fn all_in_process_scenarios_about_evaluation_pass() {
    for (hash, tag) in VERSIONS {
        let flags = selected("flags/allFlags.json", hash);
        let ran: usize = features("gherkin").iter().map(|feature| run(feature, &flags, tag)).sum();
        println!("{ran} in-process scenarios as {tag}");
        assert!(ran >= 110, "only {ran} scenarios as {tag}");
    }
    for (feature, reason) in OTHER_FEATURES {
        println!("{feature}: left out, since it is about {reason}");
    }
}
