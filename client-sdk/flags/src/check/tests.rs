use super::*;
use serde_json::json;

fn refused(text: &str) -> String {
    let name = FlagName::new("f").unwrap();
    check_flag(&name, text.as_bytes(), &Common::default()).unwrap_err().to_string()
}

/// What is wrong with a rule of a flag with the variants `on` and `off`.
fn rule(rule: &Value, evaluators: Value) -> Result<(), String> {
    let common = Common { evaluators: serde_json::from_value(evaluators).unwrap(), ..Common::default() };
    let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "targeting": rule});
    let checked = check_flag(&FlagName::new("f").unwrap(), flag.to_string().as_bytes(), &common);
    checked.map(drop).map_err(|faults| faults.to_string().trim_start_matches("flag `f`: ").to_owned())
}

#[test]
fn variants_are_of_one_type_and_the_default_is_one_of_them() {
    let mixed = refused(r#"{"state":"ENABLED","variants":{"a":1,"b":"x"}}"#);
    assert_eq!(
        mixed,
        "flag `f`: `/variants/b` = \"x\": all variants must be of one type, and `a` is a number"
    );
    let unknown = refused(r#"{"state":"ENABLED","variants":{"a":1},"defaultVariant":"b"}"#);
    assert!(unknown.contains("`/defaultVariant` = \"b\": there is no such variant: use `a`"), "{unknown}");
    assert!(refused(r#"{"state":"ENABLED","variants":{"a":[]}}"#).contains("`/variants/a` = []"));
    assert!(refused(r#"{"state":"ENABLED","variants":{"":1}}"#).contains("must not be empty"));
    assert!(
        refused(r#"{"state":"ENABLED","variants":{"a":9007199254740992}}"#).contains("±9007199254740991")
    );
    assert!(refused(r#"{"state":"ENABLED","variants":{"a":1},"defaultVariant":true}"#).contains("as a text"));
    assert!(refused(r#"{"state":"ENABLED","variants":{"a":1},"targeting":null}"#).contains("write {}"));
}

#[test]
fn the_demonstrations_file_is_good() {
    let text = include_str!("../../../../hub/demo/otel-demo.flagd.json");
    assert_eq!(check_document(&Document::parse(text.as_bytes()).unwrap()), Ok(()));
}

#[test]
fn good_rules_pass() {
    for good in [
        json!({}),
        json!({"if": [{"==": [{"var": "a.b"}, 1]}, "on", "off"]}),
        json!({"if": [{"in": ["@x", {"var": ["email", ""]}]}, "on"]}),
        json!({"if": [{"!": {"var": "a"}}, null, {"and": [true, "on"]}]}),
        json!({"fractional": [["on", 5], ["off", 95]]}),
        json!({"fractional": [["on"], ["off", {"-": [{"var": "$flagd.timestamp"}, 5]}]]}),
        json!({"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["on", 1]]}),
        json!({"if": [{"sem_ver": [{"var": "version"}, "^", "1.0.0-rc.1"]}, "on"]}),
        json!({"if": [{"starts_with": [{"var": "email"}, "a"]}, "on"]}),
        json!({"if": [{"some": [{"var": "groups"}, {"==": [{"var": ""}, "beta"]}]}, "on"]}),
        json!({"if": [{"missing_some": [1, ["a", "b"]]}, "on"]}),
    ] {
        assert_eq!(rule(&good, json!({})), Ok(()), "{good}");
    }
    let evaluators = json!({"beta": {"in": [{"var": "email"}, ["a@b"]]}});
    assert_eq!(rule(&json!({"if": [{"$ref": "beta"}, "on"]}), evaluators), Ok(()));
}

#[test]
fn bad_rules_are_refused_with_place_value_and_advice() {
    for (bad, told) in [
        (
            json!({"if": [true, "onn"]}),
            "`/targeting/if/1` = \"onn\": there is no such variant: use `off`, `on`, or null",
        ),
        (
            json!({"if": [true, true]}),
            "`/targeting/if/1` = true: there is no such variant: use `off`, `on` (this is read as \"true\")",
        ),
        (
            json!({"fractional": [["on", 5], ["of", 95]]}),
            "`/targeting/fractional/1/0` = \"of\": there is no such variant",
        ),
        (
            json!({"if": [true, {"fractional": [["on", 1], ["off", 2], ["on", -3]]}]}),
            "`/targeting/if/1/fractional/2/1` = -3: a weight must be 0 or more",
        ),
        (
            json!({"fractional": [["on", 0.5], ["off", 99.5]]}),
            "`/targeting/fractional/0/1` = 0.5: a weight must be a whole number",
        ),
        (
            json!({"fractional": [["on", 0], ["off", 0]]}),
            "`/targeting/fractional` = [[\"on\",0],[\"off\",0]]: all weights are 0",
        ),
        (
            json!({"fractional": [["on", 2_147_483_647], ["off", 1]]}),
            "add up to 2147483648; at most 2147483647",
        ),
        (json!({"fractional": [{"var": "email"}]}), "there is no bucket"),
        (
            json!({"fractional": ["email", ["on", 1]]}),
            "`/targeting/fractional/0` = \"email\": what users are told apart by must be a rule",
        ),
        (json!({"if": [{"=": [1, 1]}, "on"]}), "`=` is no operator"),
        (json!({"if": [{"==": [1]}, "on"]}), "`/targeting/if/0/==` = [1]: there are 1 arguments; it takes 2"),
        (json!({"if": [{"==": 1}, "on"]}), "the arguments must be an array"),
        (json!({"if": [{"var": "$flagd.key"}, "on"]}), "of `$flagd` there are"),
        (
            json!({"if": [{"sem_ver": [{"var": "v"}, "==", "1.0.0"]}, "on"]}),
            "`/targeting/if/0/sem_ver/1` = \"==\": a relation of versions is one of",
        ),
        (json!({"if": [{"sem_ver": [{"var": "v"}, "=", "1.0"]}, "on"]}), "a version must be three numbers"),
        (
            json!({"if": [{"starts_with": [{"var": "v"}, 1]}, "on"]}),
            "`/targeting/if/0/starts_with/1` = 1: this must be a text",
        ),
        (json!({"if": [{"a": 1, "b": 2}, "on"]}), "a rule must be an object with one operator"),
        (json!({"$ref": "x"}), "a reference can only be an argument"),
        (json!({"if": [{"$ref": "x"}, "on"]}), "`/targeting/if/0/$ref` = \"x\": there is no such evaluator"),
    ] {
        let refused = rule(&bad, json!({})).unwrap_err();
        assert!(refused.contains(told), "{bad}\n{refused}");
    }
}

#[test]
fn results_are_followed_into_evaluators() {
    let evaluators = json!({"which": {"if": [{"var": "a"}, "on", "neither"]}});
    let refused = rule(&json!({"if": [true, {"$ref": "which"}]}), evaluators).unwrap_err();
    assert!(refused.contains("`/targeting/if/1/$ref/if/2` = \"neither\""), "{refused}");
}

#[test]
fn evaluators_are_checked_by_themselves() {
    let refused = |text: &str| check_common(text.as_bytes()).unwrap_err().to_string();
    let told = refused(r#"{"$evaluators":{"a":{"==":[1]}}}"#);
    assert!(told.starts_with("the flag set: `/$evaluators/a/==` = [1]: "), "{told}");
    let told = refused(r#"{"$evaluators":{"a":{"!":[{"$ref":"b"}]},"b":{"!":[{"$ref":"a"}]}}}"#);
    assert!(told.contains("refers to itself"), "{told}");
    assert!(refused(r#"{"$evaluators":{"a":{"!":[{"$ref":"c"}]}}}"#).contains("no such evaluator"));
}

#[test]
fn a_flag_that_lacks_its_evaluator_makes_a_file_bad() {
    let file = br#"{"flags":{"a":{"state":"ENABLED","variants":{"on":true},
        "targeting":{"if":[{"$ref":"x"},"on"]}},"b":{"state":"ENABLED","variants":{"on":true}}}}"#;
    let bad = check_document(&Document::parse(file).unwrap()).unwrap_err();
    assert_eq!(bad.len(), 1);
    assert!(bad[0].to_string().starts_with("flag `a`: `/targeting/if/0/$ref`"), "{}", bad[0]);
}
