//! A flag as flagd defines it, and what the flags of a file have in common.
//!
//! Reading is as tolerant as the ecosystem's evaluators are: what they refuse is
//! refused, and what they merely answer with an error when it is asked for is
//! read. [`check_flag`](crate::check_flag) is stricter, and is what writers are held to.

use crate::error::{Fault, Faults};
use crate::{FlagName, Slot, json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Whether a flag works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagState {
    /// It is evaluated.
    Enabled,
    /// Whoever asks gets the default of the code, with the reason DISABLED.
    Disabled,
}

/// One flag's definition. What it has beside these members, such as a
/// description, means nothing to evaluation and is not here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Definition {
    /// Its name.
    pub name: FlagName,
    /// Whether it works.
    pub state: FlagState,
    /// Its values by their names; at least one.
    pub variants: BTreeMap<String, Value>,
    /// The variant if no rule says otherwise; `None`: the default of the code.
    pub default_variant: Option<String>,
    /// The rule, an object; `None`: there is none.
    pub targeting: Option<Value>,
    /// What it says of itself: texts, numbers and truth values.
    pub metadata: Map<String, Value>,
}

/// What the flags of a file have in common.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Common {
    /// Rules that those of flags refer to, by `$ref`.
    pub evaluators: BTreeMap<String, Value>,
    /// Metadata of every flag that does not say otherwise.
    pub metadata: Map<String, Value>,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// If it is no JSON object, or no evaluator of flagd's could make sense of it.
    pub fn parse(name: &FlagName, text: &[u8]) -> Result<Self, Faults> {
        let slot = Slot::Flag(name.clone());
        let members = object(&slot, text)?;
        let mut faults = Faults::new(Some(slot));
        let definition = Self::of_members(name, &members, &mut faults);
        faults.into_result(definition)
    }

    pub(crate) fn of_members(name: &FlagName, members: &Map<String, Value>, faults: &mut Faults) -> Self {
        Self {
            name: name.clone(),
            state: state(members, faults),
            variants: variants(members, faults),
            default_variant: default_variant(members, faults),
            targeting: targeting(members, faults),
            metadata: metadata(members, faults),
        }
    }
}

impl Common {
    /// Reads what stands beside the flags.
    ///
    /// # Errors
    /// If it is no JSON object, or evaluators or metadata are not what they have to be.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        let members = object(&Slot::Set, text)?;
        let mut faults = Faults::new(Some(Slot::Set));
        if let Some(flags) = members.get("flags") {
            let reason = "flags have entries of their own: take them out of this one";
            faults.add(Fault::new("/flags", Some(flags), reason));
        }
        let common =
            Self { evaluators: evaluators(&members, &mut faults), metadata: metadata(&members, &mut faults) };
        faults.into_result(common)
    }
}

pub(crate) fn object(slot: &Slot, text: &[u8]) -> Result<Map<String, Value>, Faults> {
    match json::parse("", text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(Faults::of(Some(slot), Fault::new("", Some(&other), "this must be a JSON object"))),
        Err(fault) => Err(Faults::of(Some(slot), fault)),
    }
}

fn state(members: &Map<String, Value>, faults: &mut Faults) -> FlagState {
    let state = members.get("state");
    match state.and_then(Value::as_str) {
        Some("ENABLED") => return FlagState::Enabled,
        Some("DISABLED") => return FlagState::Disabled,
        _ => {}
    }
    let reason = "the state must be \"ENABLED\" or \"DISABLED\"";
    faults.add(Fault::new("/state", state, reason));
    FlagState::Disabled
}

fn variants(members: &Map<String, Value>, faults: &mut Faults) -> BTreeMap<String, Value> {
    match members.get("variants") {
        Some(Value::Object(variants)) if !variants.is_empty() => {
            variants.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        other => {
            let reason =
                "the variants must be an object with at least one, such as {\"on\":true,\"off\":false}";
            faults.add(Fault::new("/variants", other, reason));
            BTreeMap::new()
        }
    }
}

fn default_variant(members: &Map<String, Value>, faults: &mut Faults) -> Option<String> {
    match members.get("defaultVariant") {
        None | Some(Value::Null) => None,
        // As evaluators take it.
        Some(Value::String(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        Some(Value::Bool(name)) => Some(name.to_string()),
        Some(other) => {
            let reason =
                "the default variant must be the name of a variant, or null for the default of the code";
            faults.add(Fault::new("/defaultVariant", Some(other), reason));
            None
        }
    }
}

fn targeting(members: &Map<String, Value>, faults: &mut Faults) -> Option<Value> {
    match members.get("targeting") {
        None | Some(Value::Null) => None,
        Some(rule @ Value::Object(members)) => (!members.is_empty()).then(|| rule.clone()),
        Some(other) => {
            let reason = "the targeting must be a rule, which is an object, or {} for none";
            faults.add(Fault::new("/targeting", Some(other), reason));
            None
        }
    }
}

fn metadata(members: &Map<String, Value>, faults: &mut Faults) -> Map<String, Value> {
    let pointer = "/metadata";
    let metadata = match members.get("metadata") {
        None => return Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            faults.add(Fault::new(pointer, Some(other), "metadata must be an object"));
            return Map::new();
        }
    };
    for (name, value) in metadata {
        if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            let reason = "metadata must be texts, numbers, true or false";
            faults.add(Fault::new(&at(pointer, name), Some(value), reason));
        }
    }
    metadata.clone()
}

fn evaluators(members: &Map<String, Value>, faults: &mut Faults) -> BTreeMap<String, Value> {
    let pointer = "/$evaluators";
    match members.get("$evaluators") {
        None => BTreeMap::new(),
        Some(Value::Object(rules)) => rules
            .iter()
            .inspect(|(name, rule)| {
                if !rule.is_object() {
                    let reason = "an evaluator must be a rule, which is an object";
                    faults.add(Fault::new(&at(pointer, name), Some(rule), reason));
                }
            })
            .map(|(name, rule)| (name.clone(), rule.clone()))
            .collect(),
        Some(other) => {
            faults.add(Fault::new(pointer, Some(other), "evaluators must be an object of rules by name"));
            BTreeMap::new()
        }
    }
}

/// The pointer one step further.
pub(crate) fn at(pointer: &str, step: &str) -> String {
    let mut further = pointer.to_owned();
    json::push(&mut further, step);
    further
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Definition, Faults> {
        Definition::parse(&FlagName::new("f").unwrap(), text.as_bytes())
    }

    #[test]
    fn a_definition_is_read_whole() {
        let read = parse(
            r#"{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off",
                "targeting":{"if":[true,"on"]},"metadata":{"owner":"ads"},"description":"…"}"#,
        )
        .unwrap();
        assert_eq!(read.state, FlagState::Enabled);
        assert_eq!(read.variants.keys().collect::<Vec<_>>(), ["off", "on"]);
        assert_eq!(read.default_variant.as_deref(), Some("off"));
        assert!(read.targeting.is_some() && read.metadata["owner"] == "ads");
    }

    #[test]
    fn no_default_and_no_targeting_are_told_apart_from_bad_ones() {
        let with = |more: &str| parse(&format!(r#"{{"state":"DISABLED","variants":{{"a":1}}{more}}}"#));
        for none in ["", r#","defaultVariant":null"#, r#","defaultVariant":"""#, r#","targeting":{}"#] {
            let read = with(none).unwrap();
            assert_eq!((read.default_variant, read.targeting), (None, None), "{none}");
        }
        for (bad, pointer) in [
            (r#","defaultVariant":1"#, "`/defaultVariant` = 1: "),
            (r#","targeting":"on""#, "`/targeting` = \"on\": "),
            (r#","metadata":[]"#, "`/metadata` = []: "),
            (r#","metadata":{"a/b":{}}"#, "`/metadata/a~1b` = {}: "),
        ] {
            let refused = with(bad).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("flag `f`: {pointer}")), "{refused}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_bounded() {
        let refused = parse(r#"{"state":"ON","variants":{}}"#).unwrap_err();
        assert_eq!(refused.faults.len(), 2, "{refused}");
        let many: Vec<_> = (0..40).map(|n| format!("\"{n}\":null")).collect();
        let refused = parse(&format!(
            r#"{{"state":"ENABLED","variants":{{"a":1}},"metadata":{{{}}}}}"#,
            many.join(",")
        ));
        let refused = refused.unwrap_err();
        assert_eq!((refused.faults.len(), refused.more), (16, 24));
        assert!(refused.to_string().ends_with("and 24 more"), "{refused}");
        assert!(!refused.without_values().contains("null"));
    }

    #[test]
    fn what_flags_have_in_common_is_read() {
        let common = Common::parse(br#"{"$evaluators":{"a":{"==":[1,1]}},"metadata":{"v":1},"$schema":"x"}"#);
        let common = common.unwrap();
        assert!(common.evaluators.contains_key("a") && common.metadata["v"] == 1);
        let refused =
            Common::parse(br#"{"$evaluators":{"a":1},"metadata":{"v":[]},"flags":{}}"#).unwrap_err();
        assert_eq!(refused.faults.len(), 3, "{refused}");
    }
}
