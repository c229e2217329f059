//! What writers are held to.
//!
//! These are the rules of the published JSON Schema, and beyond it all that an
//! evaluator would answer with an error, or silently pass over, when a user asks for
//! the flag: then it is late to learn of it.

mod results;
mod rule;

use crate::definition::{at, object};
use crate::error::{Fault, Faults};
use crate::limits::VARIANTS;
use crate::name::shown;
use crate::{Common, Definition, Document, FlagName, Slot, logic};
use serde_json::{Map, Value};

/// Checks one flag's definition, with the evaluators that its `$ref`s mean.
///
/// # Errors
/// All that is wrong with it, as far as
/// [`limits::FAULTS`](crate::limits::FAULTS) goes.
pub fn check_flag(name: &FlagName, text: &[u8], common: &Common) -> Result<Definition, Faults> {
    let slot = Slot::Flag(name.clone());
    let members = object(&slot, text)?;
    let mut faults = Faults::new(Some(slot));
    let definition = Definition::of_members(name, &members, &mut faults);
    check_forms(&members, &mut faults);
    check_variants(&definition, &mut faults);
    if let Some(targeting) = &definition.targeting {
        check_rule(targeting, "/targeting", common, &mut faults);
        // What it may come to is only asked of a rule that works.
        if faults.faults.is_empty() {
            results::check(targeting, "/targeting", &definition, common, &mut faults);
        }
    }
    faults.into_result(definition)
}

/// Checks what the flags of a file have in common. Whether every flag still finds the
/// evaluators that it refers to, [`check_document`] says.
///
/// # Errors
/// All that is wrong with it.
pub fn check_common(text: &[u8]) -> Result<Common, Faults> {
    let common = Common::parse(text)?;
    let mut faults = Faults::new(Some(Slot::Set));
    for (name, rule) in &common.evaluators {
        let pointer = at("/$evaluators", name);
        if name.is_empty() {
            faults.add(Fault::new(&pointer, None, "an evaluator's name must not be empty"));
        }
        check_rule(rule, &pointer, &common, &mut faults);
    }
    faults.into_result(common)
}

/// Checks a whole file.
///
/// # Errors
/// All that is wrong, for each entry that it would be kept as.
pub fn check_document(document: &Document) -> Result<(), Vec<Faults>> {
    let common = match document.set().map(|text| check_common(text.as_bytes())).transpose() {
        Ok(common) => common.unwrap_or_default(),
        // Faults of flags would follow from these.
        Err(faults) => return Err(vec![faults]),
    };
    let bad = |(name, text): (&FlagName, &str)| check_flag(name, text.as_bytes(), &common).err();
    let all: Vec<_> = document.flags().filter_map(bad).collect();
    if all.is_empty() { Ok(()) } else { Err(all) }
}

fn check_rule(rule: &Value, pointer: &str, common: &Common, faults: &mut Faults) {
    let before = faults.faults.len();
    rule::check(rule, pointer, faults);
    // What it refers to, and how large it is then.
    if faults.faults.len() == before {
        logic::compile(rule, pointer, &common.evaluators, faults);
    }
}

/// What evaluators take in more forms than one, and the schema in one.
fn check_forms(members: &Map<String, Value>, faults: &mut Faults) {
    match members.get("defaultVariant") {
        Some(value) if value.is_boolean() || value == "" => {
            let reason = "write the name of a variant as a text, or null for the default of the code";
            faults.add(Fault::new("/defaultVariant", Some(value), reason));
        }
        _ => {}
    }
    if let Some(value @ Value::Null) = members.get("targeting") {
        faults.add(Fault::new("/targeting", Some(value), "write {} for no rule, or leave it out"));
    }
}

fn check_variants(definition: &Definition, faults: &mut Faults) {
    let variants = &definition.variants;
    if variants.len() > VARIANTS {
        let reason = format!("there are {} variants; at most {VARIANTS} are allowed", variants.len());
        faults.add(Fault::new("/variants", None, reason));
    }
    let Some((first, kind)) = variants.iter().next().map(|(name, value)| (name, kind(value))) else { return };
    for (name, value) in variants {
        let pointer = at("/variants", name);
        if name.is_empty() {
            faults.add(Fault::new(&pointer, Some(value), "a variant's name must not be empty"));
        }
        if !matches!(value, Value::Bool(_) | Value::String(_) | Value::Number(_) | Value::Object(_)) {
            let reason = "a variant must be true or false, a text, a number or an object";
            faults.add(Fault::new(&pointer, Some(value), reason));
        } else if self::kind(value) != kind {
            let reason = format!("all variants must be of one type, and `{}` is {kind}", shown(first));
            faults.add(Fault::new(&pointer, Some(value), reason));
        } else if value.as_f64().is_some_and(|number| number.abs() > SAFE) {
            let reason = "a number must be within ±9007199254740991: beyond it, some languages read another";
            faults.add(Fault::new(&pointer, Some(value), reason));
        }
    }
    if let Some(default) = &definition.default_variant
        && !variants.contains_key(default)
    {
        let value = Value::from(default.as_str());
        let reason = format!("{}, or null for the default of the code", unknown_variant(definition));
        faults.add(Fault::new("/defaultVariant", Some(&value), reason));
    }
}

/// The largest whole number that every language has.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// What is wrong with the name of a variant that is not there.
fn unknown_variant(definition: &Definition) -> String {
    /// More names help nobody.
    const SHOWN: usize = 8;
    let mut names: Vec<_> =
        definition.variants.keys().take(SHOWN).map(|name| format!("`{}`", shown(name))).collect();
    if definition.variants.len() > SHOWN {
        names.push("…".to_owned());
    }
    format!("there is no such variant: use {}", names.join(", "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
