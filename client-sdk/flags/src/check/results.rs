//! What a rule may come to: literals that can be its result must be variants.

use super::unknown_variant;
use crate::definition::at;
use crate::error::{Fault, Faults};
use crate::logic::Val;
use crate::{Common, Definition};
use serde_json::Value;

/// Checks the results of a rule whose form is good and whose references all lead
/// somewhere.
pub(super) fn check(
    rule: &Value,
    pointer: &str,
    definition: &Definition,
    common: &Common,
    faults: &mut Faults,
) {
    let members = match rule {
        Value::Object(members) if members.len() == 1 => members,
        Value::Object(_) | Value::Null => return,
        literal => return check_literal(literal, pointer, definition, faults),
    };
    let Some((name, args)) = members.iter().next() else { return };
    let pointer = at(pointer, name);
    let items = args.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut of = |step: &str, result: &Value| {
        check(result, &format!("{pointer}/{step}"), definition, common, faults);
    };
    match name.as_str() {
        "if" => {
            for (at, result) in items.iter().enumerate() {
                if at % 2 == 1 || at + 1 == items.len() {
                    of(&at.to_string(), result);
                }
            }
        }
        "fractional" => {
            for (at, bucket) in items.iter().enumerate() {
                if let Some(variant) = bucket.get(0) {
                    of(&format!("{at}/0"), variant);
                }
            }
        }
        // Any of them may be it, and texts that are none are a mistake; what is true or
        // false there is mostly meant as a condition.
        "or" | "and" => {
            for (at, result) in items.iter().enumerate() {
                let counts = result.is_object() && at + 1 == items.len();
                if counts
                    || result
                        .as_str()
                        .is_some_and(|text| !text.is_empty() && (name == "or" || at + 1 == items.len()))
                {
                    of(&at.to_string(), result);
                }
            }
        }
        "$ref" => {
            if let Some(rule) = args.as_str().and_then(|name| common.evaluators.get(name)) {
                check(rule, &pointer, definition, common, faults);
            }
        }
        _ => {}
    }
}

fn check_literal(literal: &Value, pointer: &str, definition: &Definition, faults: &mut Faults) {
    let name = Val::from(literal).text();
    if !definition.variants.contains_key(&*name) {
        let mut reason = unknown_variant(definition);
        if !literal.is_string() {
            reason = format!("{reason} (this is read as \"{name}\")");
        }
        faults.add(Fault::new(pointer, Some(literal), format!("{reason}, or null for the default variant")));
    }
}
