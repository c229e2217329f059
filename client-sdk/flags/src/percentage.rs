//! A flag for a share of users, which can grow without anybody losing it.
//!
//! A user's place is a number between 0 and 1 that follows from the flag's name and the
//! targeting key alone. Who is below the share has the flag, so whoever had it at a
//! smaller share has it at a larger one.

use crate::definition::at;
use crate::error::{Fault, Faults};
use crate::{DefinitionText, FlagName, Slot};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// A share of users, in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentage(u32);

/// What is no percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no percentage: write a number from 0 to 100 with at most three decimals, such as 12.5")]
pub struct PercentageError(String);

const WHOLE: u32 = 100_000;

impl Percentage {
    /// Weights of those who have it and of those who have not.
    fn weights(self) -> (u32, u32) {
        let scale = [1_000, 100, 10].into_iter().find(|scale| self.0.is_multiple_of(*scale)).unwrap_or(1);
        (self.0 / scale, (WHOLE - self.0) / scale)
    }
}

impl FromStr for Percentage {
    type Err = PercentageError;

    fn from_str(text: &str) -> Result<Self, PercentageError> {
        let error = || PercentageError(crate::name::shown(text));
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 3 || whole.len() > 3 {
            return Err(error());
        }
        let thousandths: u32 = format!("{whole}{decimals:0<3}").parse().map_err(|_| error())?;
        if thousandths > WHOLE { Err(error()) } else { Ok(Self(thousandths)) }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1_000, self.0 % 1_000);
        let decimals = format!("{thousandths:03}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole} %"),
            decimals => write!(f, "{whole}.{decimals} %"),
        }
    }
}

/// Gives the variant `on` to a share of users, and `off` to all others, in the
/// definition of a flag.
///
/// A rule that is there already stays: the share is that of the `fractional` with these
/// two variants that it ends in. Where there is no rule, or it ends in null, there is one
/// then.
///
/// # Errors
/// If there are no such variants, or the rule ends otherwise: then it is somebody's own.
pub fn set_percentage(
    name: &FlagName,
    definition: &mut Map<String, Value>,
    share: Percentage,
    on: &str,
    off: &str,
) -> Result<(), Faults> {
    let slot = Slot::Flag(name.clone());
    let wrong = |pointer: &str, value: Option<&Value>, reason: String| {
        Err(Faults::of(Some(&slot), Fault::new(pointer, value, reason)))
    };
    for variant in [on, off] {
        if definition.get("variants").and_then(|variants| variants.get(variant)).is_none() {
            let reason = format!("there is no variant `{variant}`: name those that are meant");
            return wrong("/variants", None, reason);
        }
    }
    let targeting = definition.entry("targeting").or_insert_with(|| json!({}));
    if targeting.is_null() || targeting == &json!({}) {
        *targeting = none(on, off);
    }
    let mut pointer = "/targeting".to_owned();
    match split(targeting, &mut pointer, on, off) {
        Some((first, second, on_is_first)) => {
            let (with, without) = share.weights();
            let weights = if on_is_first { (with, without) } else { (without, with) };
            (*first, *second) = (json!(weights.0), json!(weights.1));
            Ok(())
        }
        None => {
            let reason = format!(
                "the rule does not end in a `fractional` of `{on}` and `{off}`, so it is somebody's own: \
                 change it by hand, or remove it first"
            );
            wrong(&pointer, None, reason)
        }
    }
}

/// Nobody has it yet.
fn none(on: &str, off: &str) -> Value {
    json!({"fractional": [[on, 0], [off, 1]]})
}

/// The same in the text of a definition, of which only the rule is written anew, and only
/// if it changes.
///
/// # Errors
/// Those of [`set_percentage`].
pub fn set_percentage_of_text(
    name: &FlagName,
    text: &mut DefinitionText,
    share: Percentage,
    on: &str,
    off: &str,
) -> Result<(), Faults> {
    let members = ["variants", "targeting"].map(|member| (member.to_owned(), text.value(member)));
    let mut members = members.into_iter().filter(|(_, value)| *value != Value::Null).collect();
    set_percentage(name, &mut members, share, on, off)?;
    let rule = members.remove("targeting").unwrap_or_default();
    if rule != text.value("targeting") {
        text.set("targeting", rule.to_string());
    }
    Ok(())
}

/// Whether a definition gives the variant `on` to more users than this share already.
///
/// A rule that is somebody's own gives nothing that could be compared.
#[must_use]
pub fn has_more_than(text: &DefinitionText, share: Percentage, on: &str, off: &str) -> bool {
    let mut targeting = text.value("targeting");
    let Some((first, second, on_is_first)) = split(&mut targeting, &mut String::new(), on, off) else {
        return false;
    };
    let (Some(first), Some(second)) = (first.as_u64(), second.as_u64()) else { return false };
    let (with, without) = if on_is_first { (first, second) } else { (second, first) };
    let (more, less) = share.weights();
    // With more than this share, its weights are the greater ones: no division, no rounding.
    u128::from(with) * u128::from(less) > u128::from(without) * u128::from(more)
}

/// The two weights of the `fractional` that a rule ends in, and whether the first of them
/// is that of `on`.
fn split<'r>(
    rule: &'r mut Value,
    pointer: &mut String,
    on: &str,
    off: &str,
) -> Option<(&'r mut Value, &'r mut Value, bool)> {
    let Value::Object(members) = rule else { return None };
    if members.len() != 1 {
        return None;
    }
    let (operator, args) = members.iter_mut().next()?;
    let items = args.as_array_mut()?;
    *pointer = at(pointer, operator);
    match operator.as_str() {
        "if" if items.len() % 2 == 1 => {
            *pointer = at(pointer, &(items.len() - 1).to_string());
            let last = items.last_mut()?;
            if last.is_null() {
                *last = none(on, off);
            }
            split(last, pointer, on, off)
        }
        "fractional" => {
            let has_key = usize::from(items.first().is_some_and(|first| !first.is_array()));
            let buckets = items.get_mut(has_key..)?;
            let [first, second] = buckets else { return None };
            let on_is_first = match (first.get(0)?.as_str()?, second.get(0)?.as_str()?) {
                (a, b) if (a, b) == (on, off) => true,
                (a, b) if (a, b) == (off, on) => false,
                _ => return None,
            };
            Some((weight(first)?, weight(second)?, on_is_first))
        }
        _ => None,
    }
}

/// The weight of a bucket, which is written if it was not.
fn weight(bucket: &mut Value) -> Option<&mut Value> {
    let items = bucket.as_array_mut()?;
    if items.len() == 1 {
        items.push(json!(1));
    }
    match items.as_mut_slice() {
        [_, weight] if weight.is_number() => Some(weight),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Context, FlagSet, HashVersion, check_flag};

    fn percent(text: &str) -> Percentage {
        text.parse().unwrap()
    }

    fn flag(targeting: Value) -> Map<String, Value> {
        let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
                          "targeting": targeting});
        serde_json::from_value(flag).unwrap()
    }

    fn set(definition: &mut Map<String, Value>, share: &str) -> Result<(), String> {
        let name = FlagName::new("checkout").unwrap();
        set_percentage(&name, definition, percent(share), "on", "off").map_err(|error| error.to_string())?;
        let text = serde_json::to_string(definition).unwrap();
        check_flag(&name, text.as_bytes(), &crate::Common::default())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn who_has_it(definition: &Map<String, Value>, hash: HashVersion, users: usize) -> Vec<bool> {
        let text = serde_json::to_string(definition).unwrap();
        let mut flags = FlagSet::new(hash);
        flags.apply([("tenant_config_flag.checkout", Change::Value(text.as_bytes()))]);
        let has = |user| {
            let context = Context::of(format!("user-{user}")).with("company", format!("c{}", user % 999));
            flags.value("checkout", false, &context, &|| 0)
        };
        (0..users).map(has).collect()
    }

    #[test]
    fn a_share_that_is_there_already_is_compared_exactly() {
        let name = FlagName::new("f").unwrap();
        let text = |share: &str| {
            let mut text = DefinitionText::parse(br#"{"variants": {"on": true, "off": false}}"#).unwrap();
            set_percentage_of_text(&name, &mut text, share.parse().unwrap(), "on", "off").unwrap();
            text
        };
        for (present, share, more) in [
            ("0", "0", false),
            ("10", "10", false),
            ("10", "9.999", true),
            ("10", "10.001", false),
            ("100", "99.999", true),
            ("100", "100", false),
        ] {
            assert_eq!(
                has_more_than(&text(present), share.parse().unwrap(), "on", "off"),
                more,
                "{present} {share}"
            );
        }
        let own = DefinitionText::parse(br#"{"targeting": {"if": [true, "on", "off"]}}"#).unwrap();
        assert!(!has_more_than(&own, "1".parse().unwrap(), "on", "off"));
    }

    #[test]
    fn percentages_are_written_as_people_write_them() {
        for (text, shown) in
            [("5", "5 %"), ("12.5%", "12.5 %"), ("0.001", "0.001 %"), ("100", "100 %"), ("007", "7 %")]
        {
            assert_eq!(percent(text).to_string(), shown);
        }
        for bad in ["", "101", "-1", "1.2345", "1e1", "5,5", ".5", "5.", "100.001", "∞"] {
            assert!(bad.parse::<Percentage>().is_err(), "{bad}");
        }
        assert_eq!(percent("5").weights(), (5, 95));
        assert_eq!(percent("12.5").weights(), (125, 875));
        assert_eq!(percent("0.001").weights(), (1, 99_999));
        assert_eq!(percent("100").weights(), (100, 0));
    }

    /// Each step is of its own scale, and the order and the key are the rule's.
    #[test]
    fn nobody_who_had_a_flag_at_a_smaller_share_loses_it_at_a_larger_one() {
        const USERS: usize = 20_000;
        let steps = ["0", "0.123", "1", "5", "5.5", "20", "33.333", "50", "99.999", "100"];
        let rules = [
            json!({}),
            json!({"fractional": [["off", 1], ["on"]]}),
            json!({"fractional": [{"var": "company"}, ["on", 1], ["off", 9]]}),
            json!({"if": [{"==": [{"var": "company"}, "c1"]}, "on", {"fractional": [["on", 1], ["off", 9]]}]}),
            json!({"if": [{"==": [{"var": "company"}, "c1"]}, "on", null]}),
        ];
        for rule in rules {
            for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
                let mut definition = flag(rule.clone());
                let mut before = vec![false; USERS];
                for step in steps {
                    set(&mut definition, step).unwrap();
                    let after = who_has_it(&definition, hash, USERS);
                    let lost =
                        before.iter().zip(&after).filter(|(before, after)| **before && !**after).count();
                    assert_eq!(lost, 0, "{rule} {hash:?} at {step}");
                    before = after;
                }
                assert!(before.iter().all(|has| *has), "{rule} {hash:?}: everybody has it at 100 %");
            }
        }
    }

    #[test]
    fn the_share_is_about_that_of_the_users() {
        let mut definition = flag(json!({}));
        set(&mut definition, "5").unwrap();
        for hash in [HashVersion::Cbor, HashVersion::Text, HashVersion::Percent] {
            let has = who_has_it(&definition, hash, 20_000).into_iter().filter(|has| *has).count();
            // 1,000 are to be expected; this is six standard deviations.
            assert!((815..=1_185).contains(&has), "{hash:?}: {has}");
        }
    }

    #[test]
    fn a_rule_of_somebodys_own_is_left_alone() {
        for own in [
            json!({"if": [{"var": "a"}, "on", "off"]}),
            json!({"fractional": [["on", 1], ["off", 1], ["on", 1]]}),
            json!({"fractional": [["on", {"var": "weight"}], ["off", 1]]}),
            json!({"if": [{"var": "a"}, {"fractional": [["on", 1], ["off", 1]]}]}),
        ] {
            let mut definition = flag(own.clone());
            let refused = set(&mut definition, "5").unwrap_err();
            assert!(refused.contains("somebody's own"), "{refused}");
        }
        let name = FlagName::new("f").unwrap();
        let refused = set_percentage(&name, &mut flag(json!({})), percent("5"), "yes", "off").unwrap_err();
        assert!(refused.to_string().contains("no variant `yes`"), "{refused}");
    }
}
