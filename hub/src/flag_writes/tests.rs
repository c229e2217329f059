use super::*;
use confhub_flags::{FLAG_TYPE, SET_TYPE};

const A: &str = "tenant_config_flag.a";

fn service(name: &str) -> Place {
    (!name.is_empty()).then(|| ServiceName::new(name).unwrap())
}

fn flag(evaluator: &str) -> String {
    let rule = match evaluator {
        "" => String::new(),
        name => format!(r#","targeting":{{"if":[{{"$ref":"{name}"}},"on",null]}}"#),
    };
    format!(r#"{{"state":"ENABLED","variants":{{"on":true,"off":false}},"defaultVariant":"off"{rule}}}"#)
}

fn set(evaluators: &[&str]) -> String {
    let rules: Vec<_> =
        evaluators.iter().map(|name| format!(r#""{name}":{{"==":[{{"var":"a"}},1]}}"#)).collect();
    format!(r#"{{"$evaluators":{{{}}}}}"#, rules.join(","))
}

/// A store, and changes of it: service, key, value (empty: deleted).
fn check(stored: &[(&str, &str, &str)], written: &[(&str, &str, &str)]) -> Result<(), String> {
    let mut writes = FlagWrites::default();
    for (owner, key, value) in written {
        let content_type = if *key == SET_KEY { SET_TYPE } else { FLAG_TYPE };
        match *value {
            "" => writes.delete(service(owner).as_ref(), key),
            value => {
                let value = Bytes::from(value.to_owned());
                writes.put(service(owner).as_ref(), key, content_type, false, &value);
            }
        }
    }
    let stored = stored.iter().map(|(owner, key, value)| Stored {
        service: service(owner),
        key: (*key).to_owned(),
        value: Bytes::from((*value).to_owned()),
    });
    writes.check(stored, || true).map_err(|refused| refused.to_string())
}

#[test]
fn a_flag_finds_its_evaluator_where_its_readers_look() {
    let (x, y) = (set(&["x"]), set(&["y"]));
    let (uses_x, uses_y) = (flag("x"), flag("y"));
    let shared = [("", SET_KEY, x.as_str())];
    assert_eq!(check(&shared, &[("", A, &uses_x)]), Ok(()));
    assert_eq!(check(&shared, &[("cart", A, &uses_x)]), Ok(()));
    let refused = check(&shared, &[("cart", A, &uses_y)]).unwrap_err();
    assert!(refused.starts_with("of service `cart`, flag `a`: `/targeting/if/0/$ref` = \"y\""), "{refused}");
    let both = [("", SET_KEY, x.as_str()), ("cart", SET_KEY, y.as_str())];
    assert_eq!(check(&both, &[("cart", A, &uses_y)]), Ok(()));
    assert!(check(&both, &[("cart", A, &uses_x)]).is_err());
    let refused = check(&both, &[("", A, &uses_x)]).unwrap_err();
    assert!(refused.contains("as service `cart` would see it") && refused.contains("flag `a`"), "{refused}");
    // What is written together counts together.
    assert_eq!(check(&[], &[("", A, &uses_x), ("", SET_KEY, &x)]), Ok(()));
    assert!(check(&shared, &[("", A, &uses_x), ("", SET_KEY, "")]).is_err());
}

#[test]
fn an_evaluator_in_use_cannot_be_taken_away() {
    let (x, y, xy) = (set(&["x"]), set(&["y"]), set(&["x", "y"]));
    let (uses_x, uses_y) = (flag("x"), flag("y"));
    let stored = [("", SET_KEY, x.as_str()), ("", A, uses_x.as_str())];
    for gone in [("", SET_KEY, ""), ("", SET_KEY, y.as_str()), ("cart", SET_KEY, y.as_str())] {
        let refused = check(&stored, &[gone]).unwrap_err();
        assert!(refused.contains("would leave a flag bad") && refused.contains("flag `a`: "), "{refused}");
    }
    assert_eq!(check(&stored, &[("", SET_KEY, &xy)]), Ok(()));
    assert_eq!(check(&stored, &[("cart", SET_KEY, &xy)]), Ok(()));
    // With the flag, or after it.
    assert_eq!(check(&stored, &[("", SET_KEY, ""), ("", A, "")]), Ok(()));
    assert_eq!(check(&stored, &[("", SET_KEY, &y), ("", A, &uses_y)]), Ok(()));
    // A service's own flags fall back to the shared entry.
    let own = [("", SET_KEY, x.as_str()), ("cart", SET_KEY, y.as_str()), ("cart", A, uses_y.as_str())];
    assert!(check(&own, &[("cart", SET_KEY, "")]).unwrap_err().contains("of service `cart`, flag `a`"));
    assert_eq!(check(&own, &[("", SET_KEY, "")]), Ok(()));
}

#[test]
fn what_was_bad_already_stops_nobody() {
    let bad = [("", SET_KEY, "{"), ("", A, "{\"$ref"), ("", "tenant_config_flag.b", &flag("gone"))];
    assert_eq!(check(&bad, &[("", SET_KEY, &set(&["x"]))]), Ok(()));
    assert_eq!(check(&bad, &[("", A, &flag(""))]), Ok(()));
    assert_eq!(check(&bad, &[("", A, "")]), Ok(()));
    assert_eq!(check(&bad, &[("", "tenant_config_flag.a..b", "")]), Ok(()), "it can be tidied up");
}

#[test]
fn several_mistakes_are_told_at_once_and_an_answer_is_bounded() {
    let refused =
        check(&[], &[("", A, "[]"), ("", "tenant_config_flag.b", &flag("x")), ("", "tenant_config_x", "1")]);
    let refused = refused.unwrap_err();
    for said in
        ["do not belong together", "flag `a`: this must be", "flag `b`: `/targeting/if/0/$ref` = \"x\""]
    {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    let many: Vec<_> = (0..40).map(|n| format!("tenant_config_flag.{n}-{}", "x".repeat(150))).collect();
    let many: Vec<_> = many.iter().map(|key| ("", key.as_str(), "[]")).collect();
    let refused = check(&[], &many[..]).unwrap_err();
    assert!(refused.ends_with("and 24 more") && refused.len() <= ANSWER_BYTES + 3, "{refused}");
    let long = format!(r#"{{"state":"ENABLED","variants":{{"{}":null}}}}"#, "é".repeat(5_000));
    let refused = check(&[], &[("", A, &long)]).unwrap_err();
    assert!(refused.len() <= ANSWER_BYTES + 3 && refused.ends_with('…'), "{refused}");
}

#[test]
fn only_what_is_needed_is_read() {
    let needs = |written: &[(&str, &str)]| {
        let mut writes = FlagWrites::default();
        for (owner, text) in written {
            writes.put(service(owner).as_ref(), A, FLAG_TYPE, false, &Bytes::from((*text).to_owned()));
        }
        writes.needs()
    };
    let cart = ServiceName::new("cart").unwrap();
    assert_eq!(needs(&[("", &flag("")), ("cart", &flag(""))]), Needs::Nothing);
    assert_eq!(needs(&[("cart", &flag("x"))]), Needs::Of(vec![cart.clone()]));
    assert_eq!(needs(&[("cart", r#"{"\u0024ref":1}"#)]), Needs::Of(vec![cart]));
    assert_eq!(needs(&[("cart", &flag("x")), ("", &flag("x"))]), Needs::Sets);
    let mut writes = FlagWrites::default();
    writes.delete(None, SET_KEY);
    assert_eq!(writes.needs(), Needs::Flags);
}

#[test]
fn a_check_that_takes_too_long_is_given_up() {
    let check = |steps: usize| {
        let mut writes = FlagWrites::default();
        for n in 0..10 {
            let key = format!("tenant_config_flag.{n}");
            writes.put(None, &key, FLAG_TYPE, false, &Bytes::from(flag("x")));
        }
        let own = |n| Stored {
            service: service(&format!("s{n}")),
            key: SET_KEY.to_owned(),
            value: set(&["x"]).into(),
        };
        let shared = Stored { service: None, ..own(0) };
        let mut left = steps;
        writes.check((0..9).map(own).chain([shared]), || {
            left = left.saturating_sub(1);
            left > 0
        })
    };
    // Each of ten flags, as all and as nine services see it.
    assert_eq!(check(101), Ok(()));
    assert_eq!(check(100), Err(CheckError::TooLong));
}
