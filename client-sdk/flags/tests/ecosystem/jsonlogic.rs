//! JSONLogic's own test suite.

use crate::packages::{krate, read};
use confhub_flags::{Change, Context, FlagSet, HashVersion};
use serde_json::{Value, json};

/// What a rule comes to with some data, which need not be an object: it is the one item
/// of an array, which the rule is applied to.
fn evaluate(rule: &Value, data: &Value) -> Value {
    let flag = json!({
        "state": "ENABLED", "variants": {"none": true},
        "targeting": {"map": [{"var": "items"}, rule]},
    });
    let text = flag.to_string();
    let mut flags = FlagSet::new(HashVersion::Cbor);
    let applied = flags.apply([("tenant_config_flag.f", Change::Value(text.as_bytes()))]);
    assert_eq!(applied.bad, [], "{rule}");
    let context = Context::new().with("items", json!([data]));
    let steps = flags.explain("f", &context, &|| 0).steps;
    steps[0].value[0].clone()
}

/// Whether two are the same, however their numbers are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn all_of_jsonlogics_own_tests_pass() {
    let suite = read(&krate("datalogic-rs").join("tests/suites/compatible.json"));
    let suite: Vec<Value> = serde_json::from_str(&suite).unwrap();
    let cases: Vec<_> = suite.iter().filter(|case| case.is_object()).collect();
    assert!(cases.len() > 270, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (rule, data) = (&case["rule"], case.get("data").unwrap_or(&Value::Null));
        let result = evaluate(rule, data);
        if !same(&result, &case["result"]) {
            wrong.push(format!("{rule} with {data}: {result}, not {}", case["result"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
