//! What our checks say, against the published JSON Schema: of its own corpora, and of
//! definitions that were damaged at random.
//!
//! Whatever the schema refuses is refused, but for [`ADMITTED`]; what is refused beyond
//! it is of a kind in [`BEYOND`].

use crate::packages::{here, krate, output, python, read};
use crate::random::{self, Dialect};
use confhub_flags::{Document, Fault, Faults, Slot, check_document};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many definitions are damaged.
const DAMAGED: usize = 2_000;

/// Where what we take is more than the schema does, and why. Each is a step that takes
/// it away from a document ([`plain`]): the schema must admit what is left.
const ADMITTED: [(&str, &str); 3] = [
    ("a variant of `fractional` that is a rule", "those of Python (0.5.2 and later) and JavaScript take it"),
    ("a weight that is a rule", "the same"),
    ("a `fractional` with one bucket", "a percentage that grows to all users ends there"),
];

/// What is refused though the schema admits it: a part of what is said, and why.
const BEYOND: [(&str, &str); 15] = [
    ("there is no such variant", "who is led there gets an error"),
    ("there is no such evaluator", "evaluators refuse the flag, or the whole file"),
    ("refers to itself", "it has no end"),
    ("this must be a version", "to the schema {} is a variable"),
    ("a rule must be an object with one operator", "of two, evaluators take one or none, each its own"),
    ("a path must be a text", "evaluators read another path each"),
    ("it takes a path, and a default", "what follows means nothing"),
    ("a default must be", "the schema looks only into some of the forms of `var`"),
    ("of `$flagd` there are", "the same"),
    ("a weight must be", "evaluators round or refuse it"),
    ("all weights are 0", "nobody is in a bucket, and older evaluators divide by it"),
    ("the weights add up to", "evaluators count in 32 bits"),
    ("a number must be within", "some languages read another"),
    ("write the name of a variant", "an empty text is no variant, and evaluators differ about it"),
    ("is an array, which only flagd itself reads", "no provider does"),
];

/// What is refused where the schema does not look, and evaluators do.
const UNSEEN: (&str, &str) = ("(out of its sight)", "arrays that are arguments, and a `var` that is no text");

/// One document, and where it comes from.
struct Case {
    origin: String,
    document: Value,
}

fn schemas() -> PathBuf {
    krate("open-feature-flagd").join("schemas/json")
}

/// What the schema says of documents.
fn published<'a>(documents: impl Iterator<Item = &'a Value>) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<_> = documents.map(Value::to_string).collect();
    let file = folder.path().join("documents");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut validator = Command::new(python("cbor"));
    let said = output(validator.arg(here().join("python/schema.py")).arg(schemas()).arg(&file));
    let said: Vec<_> = said.lines().map(|line| line == "true").collect();
    assert_eq!(said.len(), lines.len());
    said
}

/// What we say: all that is wrong, and whether the schema does not look there.
fn ours(document: &Value) -> Result<(), Vec<(String, bool)>> {
    let reasons = |faults: &Faults| {
        let whole = match &faults.slot {
            Some(Slot::Flag(name)) => &document["flags"][name.as_str()],
            _ => document,
        };
        let told = |fault: &Fault| (fault.reason.clone(), is_unseen(whole, &fault.pointer));
        faults.faults.iter().map(told).collect::<Vec<_>>()
    };
    let split = Document::parse(document.to_string().as_bytes()).map_err(|faults| reasons(&faults))?;
    check_document(&split).map_err(|all| all.iter().flat_map(reasons).collect())
}

/// Whether the schema does not look at a place: in an array that is an argument (one in
/// those of arguments that is no bucket, or what `!` takes, which may stand bare), or in
/// the rule of a `var`.
fn is_unseen(whole: &Value, pointer: &str) -> bool {
    let (mut value, mut last) = (whole, String::new());
    for step in pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")) {
        let next = match value {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
            Value::Object(members) => members.get(&step),
            _ => None,
        };
        let Some(next) = next else { return false };
        let bucket = value.is_array() && last == "fractional";
        if next.is_array() && (value.is_array() && !bucket || step.starts_with('!')) {
            return true;
        }
        if next.is_object() && step == "var" {
            return true;
        }
        (value, last) = (next, step);
    }
    false
}

/// A document without what we take and the schema does not, and which of [`ADMITTED`]
/// there was.
fn plain(value: &Value, had: &mut [bool; ADMITTED.len()]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| plain(item, had)).collect(),
        Value::Object(members) => {
            let mut members: Map<_, _> =
                members.iter().map(|(name, value)| (name.clone(), plain(value, had))).collect();
            if let Some(Value::Array(items)) = members.get_mut("fractional") {
                plain_fractional(items, had);
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn plain_fractional(items: &mut Vec<Value>, had: &mut [bool; ADMITTED.len()]) {
    let mut buckets = 0;
    for bucket in items.iter_mut().filter_map(Value::as_array_mut) {
        buckets += 1;
        if let Some(variant) = bucket.get_mut(0).filter(|variant| !variant.is_string()) {
            (*variant, had[0]) = (json!("a"), true);
        }
        if let Some(weight) = bucket.get_mut(1).filter(|weight| weight.is_object()) {
            (*weight, had[1]) = (json!(1), true);
        }
    }
    if buckets == 1
        && let Some(bucket) = items.last().cloned()
    {
        had[2] = true;
        items.push(bucket);
    }
}

/// Compares what is said of each, and prints what differs, by kind and how often.
fn compare(cases: &[Case]) {
    let published = published(cases.iter().map(|case| &case.document));
    let (mut beyond, mut more, mut wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    let (mut both_good, mut both_bad) = (0, 0);
    for (case, good) in cases.iter().zip(published) {
        let told = |what: &str| format!("{}: {what}: {}", case.origin, case.document);
        match (good, ours(&case.document)) {
            (true, Ok(())) => both_good += 1,
            (false, Err(_)) => both_bad += 1,
            (false, Ok(())) => more.push(case),
            (true, Err(reasons)) => {
                for (reason, unseen) in reasons {
                    let known = BEYOND.iter().find(|(part, _)| reason.contains(part));
                    match known.or(unseen.then_some(&UNSEEN)) {
                        Some((part, why)) => *beyond.entry((*part, *why)).or_insert(0) += 1,
                        None => wrong.push(told(&format!("of no kind: {reason}"))),
                    }
                }
            }
        }
    }
    let mut admitted = BTreeMap::new();
    let mut plainer = Vec::new();
    for case in &more {
        let mut had = [false; ADMITTED.len()];
        plainer.push(plain(&case.document, &mut had));
        for ((kind, why), _) in ADMITTED.iter().zip(had).filter(|(_, had)| *had) {
            *admitted.entry((*kind, *why)).or_insert(0) += 1;
        }
    }
    for ((case, plainer), good) in more.iter().zip(&plainer).zip(self::published(plainer.iter())) {
        if !good {
            wrong.push(format!("{}: taken, and not even this is admitted: {plainer}", case.origin));
        }
    }
    println!("{both_good} good and {both_bad} bad by both");
    println!("{} taken beyond the schema: {admitted:#?}", more.len());
    println!("refused beyond the schema: {beyond:#?}");
    let shown = wrong.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} are wrong:\n{shown}", wrong.len());
}

/// All JSON files below a folder of the package.
fn files(folder: &Path, found: &mut Vec<(String, Value)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let value = serde_json::from_str(&read(&path)).unwrap();
            found.push((path.display().to_string(), value));
        }
    }
}

/// A rule as that of a flag.
fn flag_of(rule: &Value) -> Value {
    json!({"flags": {"f": {"state": "ENABLED", "variants": {"a": true, "b": false}, "targeting": rule}}})
}

/// The package's corpora, and the files of the testbed: rules by themselves as those of
/// a flag.
fn corpora() -> Vec<Case> {
    let mut found = Vec::new();
    for folder in ["test", "examples"] {
        files(&schemas().join(folder), &mut found);
    }
    for folder in ["flags", "evaluator/flags"] {
        files(&krate("open-feature-flagd").join("flagd-testbed").join(folder), &mut found);
    }
    let case = |(origin, value): (String, Value)| {
        let document = if origin.contains("/targeting/") { flag_of(&value) } else { value };
        Case { origin, document }
    };
    found.into_iter().map(case).collect()
}

#[test]
fn the_published_corpora_are_judged_as_the_schema_does() {
    let cases = corpora();
    assert!(cases.len() >= 30, "only {} files", cases.len());
    // A schema that admits or refuses all would pass for one that agrees.
    let told = |part: &str| {
        let cases = cases.iter().filter(|case| case.origin.contains(part));
        published(cases.map(|case| &case.document))
    };
    assert!(told("/targeting/positive/").into_iter().all(|good| good));
    assert!(told("/negative/").into_iter().all(|good| !good));
    compare(&cases);
}

/// Flags of the corpora one by one, so that each damage is looked at by itself.
fn seeds(random: &mut Rng) -> Vec<Value> {
    let mut seeds = Vec::new();
    for case in corpora() {
        let Some(flags) = case.document["flags"].as_object() else { continue };
        for (name, flag) in flags {
            let mut document = case.document.clone();
            document["flags"] = json!({ name: flag });
            seeds.push(document);
        }
    }
    let dialect = Dialect { nested: true, any_key: true, loose_versions: false, unicode: true };
    seeds.extend(random::flags(random, 40, dialect).iter().map(
        |(name, _, flag)| json!({"flags": {name: flag}, "$evaluators": {"e": {"==": [{"var": "a"}, 1]}}}),
    ));
    seeds
}

/// All places in a document, as JSON pointers.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    let mut further = |step: &str, value: &Value| {
        places(value, &format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1")), found);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| further(&at.to_string(), item)),
        Value::Object(members) => members.iter().for_each(|(name, value)| further(name, value)),
        _ => {}
    }
}

/// Names that mean something somewhere.
const NAMES: [&str; 22] = [
    "if",
    "==",
    "and",
    "!",
    "var",
    "missing",
    "missing_some",
    "sem_ver",
    "fractional",
    "starts_with",
    "$ref",
    "reduce",
    "substr",
    "*",
    "cat",
    "unknown",
    "",
    "variants",
    "targeting",
    "metadata",
    "$evaluators",
    "state",
];

fn any_value(random: &mut Rng, document: &Value) -> Value {
    let mut found = Vec::new();
    match random.u8(..24) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(1.5),
        5 => json!(9_007_199_254_740_993_u64),
        6 => json!(""),
        7 => json!("a"),
        8 => json!("$flagd.other"),
        9 => json!("1.2"),
        10 => json!("01.2.3"),
        11 => json!([]),
        12 => json!({}),
        13 => json!({"$ref": "e"}),
        14 => json!({"var": "a"}),
        15 => json!({"var": ["a", 1, 2]}),
        16 => json!({"==": [1, 1], ">": [1, 1]}),
        17 => json!(["a", 1]),
        _ => {
            places(document, "", &mut found);
            document.pointer(&found[random.usize(..found.len())]).unwrap().clone()
        }
    }
}

/// Does one thing to a document at a place below its top.
fn damage(random: &mut Rng, document: &mut Value) {
    let mut found = Vec::new();
    places(document, "", &mut found);
    let place = found[random.usize(..found.len())].clone();
    let value = any_value(random, document);
    let name = NAMES[random.usize(..NAMES.len())];
    let Some(target) = document.pointer_mut(&place) else { return };
    match (random.u8(..6), target) {
        (0, target) => *target = json!([target.take()]),
        (1, Value::Array(items)) if !items.is_empty() => drop(items.remove(random.usize(..items.len()))),
        (1 | 2, Value::Array(items)) => items.insert(random.usize(..=items.len()), value),
        (1, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(random.usize(..members.len())).cloned().unwrap();
            members.remove(&name);
        }
        (2, Value::Object(members)) => drop(members.insert(name.to_owned(), value)),
        (3, Value::Object(members)) if !members.is_empty() => {
            let old = members.keys().nth(random.usize(..members.len())).cloned().unwrap();
            let value = members.remove(&old).unwrap();
            members.insert(name.to_owned(), value);
        }
        (_, target) => *target = value,
    }
}

#[test]
fn whatever_the_schema_refuses_of_damaged_definitions_is_refused() {
    let mut random = Rng::with_seed(random::seed());
    let seeds = seeds(&mut random);
    let cases: Vec<_> = (0..DAMAGED)
        .map(|at| {
            let mut document = seeds[random.usize(..seeds.len())].clone();
            for _ in 0..random.usize(1..3) {
                damage(&mut random, &mut document);
            }
            Case { origin: format!("damaged {at}"), document }
        })
        .collect();
    compare(&cases);
}
