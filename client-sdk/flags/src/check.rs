//! What writers are held to.
//!
//! These are the rules of the published JSON Schema, and beyond it all that an
//! evaluator would answer with an error, or silently pass over, when a user asks for
//! the flag: then it is late to learn of it.

use crate::definition::at;
use crate::error::{Fault, Faults};
use crate::limits::VARIANTS;
use crate::{Common, Definition, Document, FlagName, Slot};
use serde_json::Value;

/// Checks one flag's definition, with the evaluators that its `$ref`s mean.
///
/// # Errors
/// All that is wrong with it, as far as
/// [`limits::FAULTS`](crate::limits::FAULTS) goes.
pub fn check_flag(name: &FlagName, text: &[u8], common: &Common) -> Result<Definition, Faults> {
    let definition = Definition::parse(name, text)?;
    let mut faults = Faults::new(Some(Slot::Flag(name.clone())));
    check_variants(&definition, &mut faults);
    let _ = common;
    faults.into_result(definition)
}

/// Checks what the flags of a file have in common. Whether every flag still finds the
/// evaluators that it refers to, [`check_document`] says.
///
/// # Errors
/// All that is wrong with it.
pub fn check_common(text: &[u8]) -> Result<Common, Faults> {
    Common::parse(text)
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
            let reason = format!("all variants must be of one type, and `{first}` is {kind}");
            faults.add(Fault::new(&pointer, Some(value), reason));
        }
    }
    if let Some(default) = &definition.default_variant
        && !variants.contains_key(default)
    {
        let value = Value::from(default.as_str());
        faults.add(Fault::new("/defaultVariant", Some(&value), unknown_variant(definition)));
    }
}

/// What is wrong with the name of a variant that is not there.
fn unknown_variant(definition: &Definition) -> String {
    /// More names help nobody.
    const SHOWN: usize = 8;
    let mut names: Vec<_> = definition.variants.keys().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if definition.variants.len() > SHOWN {
        names.push("…".to_owned());
    }
    format!("there is no such variant: use {}, or null for the default", names.join(", "))
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
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let name = FlagName::new("f").unwrap();
        check_flag(&name, text.as_bytes(), &Common::default()).unwrap_err().to_string()
    }

    #[test]
    fn variants_are_of_one_type_and_the_default_is_one_of_them() {
        let mixed = refused(r#"{"state":"ENABLED","variants":{"a":1,"b":"x"}}"#);
        assert_eq!(
            mixed,
            "flag `f`: `/variants/b` = \"x\": all variants must be of one type, and `a` is a number"
        );
        let unknown = refused(r#"{"state":"ENABLED","variants":{"a":1},"defaultVariant":"b"}"#);
        assert!(
            unknown.contains("`/defaultVariant` = \"b\": there is no such variant: use `a`"),
            "{unknown}"
        );
        assert!(refused(r#"{"state":"ENABLED","variants":{"a":[]}}"#).contains("`/variants/a` = []"));
        assert!(refused(r#"{"state":"ENABLED","variants":{"":1}}"#).contains("must not be empty"));
    }

    #[test]
    fn the_demonstrations_file_is_good() {
        let text = include_str!("../../../hub/demo/otel-demo.flagd.json");
        assert_eq!(check_document(&Document::parse(text.as_bytes()).unwrap()), Ok(()));
    }
}
