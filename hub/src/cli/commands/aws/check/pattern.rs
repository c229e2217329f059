//! Whether a rule of EventBridge lets an event through.
//!
//! A pattern has the shape of an event, with a list of what may be in the place of
//! each value. What is here are the matchers that rules for configuration have;
//! of a pattern with others it is not said what it lets through.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>

use serde_json::{Map, Value};

/// What a pattern makes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    No,
    /// It has matchers that are not known here.
    Unknown,
    Yes,
}

/// What a pattern makes of an event.
pub(super) fn matches(pattern: &Value, event: &Value) -> Match {
    match pattern {
        Value::Object(pattern) => object(pattern, Some(event)),
        _ => Match::Unknown,
    }
}

/// All fields have to match.
fn object(pattern: &Map<String, Value>, event: Option<&Value>) -> Match {
    let field = |(name, wanted): (&String, &Value)| match (name.as_str(), wanted) {
        ("$or", Value::Array(ways)) => {
            let way = |way: &Value| way.as_object().map_or(Match::Unknown, |way| object(way, event));
            ways.iter().map(way).max().unwrap_or(Match::No)
        }
        (name, wanted) => {
            let found = event.and_then(|event| event.get(name));
            match wanted {
                Value::Object(inner) => object(inner, found),
                Value::Array(ways) => ways.iter().map(|way| value(way, found)).max().unwrap_or(Match::No),
                _ => Match::Unknown,
            }
        }
    };
    pattern.iter().map(field).min().unwrap_or(Match::Yes)
}

/// One of the ways in which a value may match.
fn value(way: &Value, found: Option<&Value>) -> Match {
    let Value::Object(matcher) = way else { return known(found == Some(way)) };
    let text = found.and_then(Value::as_str);
    let (Some((name, argument)), 1) = (matcher.iter().next(), matcher.len()) else { return Match::Unknown };
    match (name.as_str(), argument) {
        ("exists", Value::Bool(wanted)) => known(found.is_some() == *wanted),
        ("prefix", Value::String(prefix)) => known(text.is_some_and(|text| text.starts_with(prefix))),
        ("suffix", Value::String(suffix)) => known(text.is_some_and(|text| text.ends_with(suffix))),
        ("equals-ignore-case", Value::String(wanted)) => {
            known(text.is_some_and(|text| text.eq_ignore_ascii_case(wanted)))
        }
        ("anything-but", Value::String(_)) => known(found.is_some_and(|found| found != argument)),
        ("anything-but", Value::Array(others)) if others.iter().all(Value::is_string) => {
            known(found.is_some_and(|found| !others.contains(found)))
        }
        _ => Match::Unknown,
    }
}

fn known(matches: bool) -> Match {
    if matches { Match::Yes } else { Match::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_say_what_they_let_through() {
        let event =
            json!({"source": "aws.ssm", "detail": {"name": "/confhub/acme/x", "operation": "Update"}});
        for (pattern, expected) in [
            (json!({}), Match::Yes),
            (json!({"source": ["aws.ssm"]}), Match::Yes),
            (json!({"source": ["aws.s3", {"prefix": "aws."}]}), Match::Yes),
            (json!({"source": ["aws.s3"]}), Match::No),
            (json!({"source": []}), Match::No),
            (json!({"source": ["aws.ssm"], "detail": {"name": [{"prefix": "/confhub/"}]}}), Match::Yes),
            (json!({"source": ["aws.ssm"], "detail": {"name": [{"prefix": "/other/"}]}}), Match::No),
            (json!({"detail": {"errorCode": [{"exists": false}]}}), Match::Yes),
            (json!({"detail": {"errorCode": [{"exists": true}]}}), Match::No),
            (json!({"none": {"of": ["these"]}}), Match::No),
            (json!({"none": {"of": [{"exists": false}]}}), Match::Yes),
            (json!({"detail": {"operation": [{"anything-but": ["Delete"]}]}}), Match::Yes),
            (json!({"detail": {"operation": [{"anything-but": "Update"}]}}), Match::No),
            (json!({"detail": {"$or": [{"a": ["b"]}, {"operation": ["Update"]}]}}), Match::Yes),
            (json!({"detail": {"$or": [{"a": ["b"]}]}}), Match::No),
            (json!({"detail": {"name": [{"wildcard": "/confhub/*"}]}}), Match::Unknown),
            (json!({"source": ["aws.s3"], "detail": {"name": [{"wildcard": "/confhub/*"}]}}), Match::No),
            (json!({"source": "aws.ssm"}), Match::Unknown),
            (json!("source"), Match::Unknown),
            (json!(null), Match::Unknown),
        ] {
            assert_eq!(matches(&pattern, &event), expected, "{pattern}");
        }
    }
}
