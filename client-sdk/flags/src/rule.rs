//! A flag's rule with a switch in front of it.
//!
//! A switch is the rule `{"if": [true, VARIANT, REST]}`: everybody gets the variant, and
//! what stands behind is kept, byte for byte, for when the switch is taken out. Every
//! evaluator understands it, and the code's own defaults, which differ from service to
//! service, play no part.

use crate::DefinitionText;
use crate::document::{members, quoted};
use serde_json::value::RawValue;

/// Where a definition has its rule.
const TARGETING: &str = "targeting";

/// A rule, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The variant that everybody gets, whatever the rest says; `None`: there is no switch.
    pub switch: Option<String>,
    /// The rule behind the switch, as it is written; `None`: there is none, and the
    /// default variant is what everybody would get.
    pub rest: Option<String>,
}

impl Rule {
    /// The rule of a definition.
    #[must_use]
    pub fn of(definition: &DefinitionText) -> Self {
        let text = definition.get(TARGETING).filter(|text| !is_nothing(text));
        let switched = text.and_then(items).and_then(|items| {
            let [condition, variant, rest @ ..] = items.as_slice() else { return None };
            if *condition != "true" || rest.len() > 1 {
                return None;
            }
            let switch: String = serde_json::from_str(variant).ok()?;
            let rest = rest.first().filter(|rest| !is_nothing(rest)).cloned();
            Some(Self { switch: Some(switch), rest })
        });
        switched.unwrap_or_else(|| Self { switch: None, rest: text.map(str::to_owned) })
    }

    /// Puts a condition in front of the rest: for whom it holds, the variant is this one.
    /// The condition is JSON.
    pub fn prepend(&mut self, condition: &str, variant: &str) {
        let before = self.rest.take();
        // Null, and not nothing, says where a share of the others can be put.
        let others = match before.as_deref() {
            None => vec!["null".to_owned()],
            Some(text) => items(text).unwrap_or_else(|| vec![text.to_owned()]),
        };
        self.rest = Some(format!(r#"{{"if":[{condition},{},{}]}}"#, quoted(variant), others.join(",")));
    }

    /// Makes it the rule of a definition.
    pub fn write(&self, definition: &mut DefinitionText) {
        let rest = self.rest.as_deref();
        match (&self.switch, rest) {
            (Some(variant), rest) => {
                let rest = rest.unwrap_or("null");
                definition.set(TARGETING, format!(r#"{{"if":[true,{},{rest}]}}"#, quoted(variant)));
            }
            (None, Some(rest)) => definition.set(TARGETING, rest),
            (None, None) => definition.remove(TARGETING),
        }
    }
}

fn is_nothing(text: &str) -> bool {
    let text = text.trim();
    text == "null" || text.strip_prefix('{').is_some_and(|rest| rest.trim_start() == "}")
}

/// The arguments of an `if`, each as it is written; `None`: it is another rule.
fn items(text: &str) -> Option<Vec<String>> {
    let members = members("", text.as_bytes()).ok()?;
    let [(operator, arguments)] = members.as_slice() else { return None };
    let items: Vec<Box<RawValue>> = serde_json::from_str(arguments.get()).ok()?;
    (operator == "if" && items.len() >= 2).then(|| items.iter().map(|item| item.get().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(targeting: &str) -> DefinitionText {
        DefinitionText::parse(format!(r#"{{"a":1,"targeting":{targeting},"b":2}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn what_stands_behind_a_switch_keeps_every_byte() {
        for rest in [r#"{"fractional": [["on",  1.0], ["off"]]}"#, r#"{"if":[{"var":"a"},"on"]}"#] {
            let mut text = with(rest);
            let before = text.clone();
            let mut rule = Rule::of(&text);
            assert_eq!(rule, Rule { switch: None, rest: Some(rest.to_owned()) });
            rule.switch = Some("o\"ff".to_owned());
            rule.write(&mut text);
            let mut read = Rule::of(&text);
            assert_eq!(read, rule);
            read.switch = None;
            read.write(&mut text);
            assert_eq!(text, before);
        }
    }

    #[test]
    fn no_rule_behind_a_switch_is_no_rule_again() {
        for nothing in ["{}", "null", "{ }"] {
            let mut text = with(nothing);
            let mut rule = Rule::of(&text);
            assert_eq!(rule, Rule::default(), "{nothing}");
            rule.switch = Some("off".to_owned());
            rule.write(&mut text);
            assert_eq!(text.get("targeting"), Some(r#"{"if":[true,"off",null]}"#));
            assert_eq!(Rule::of(&text), rule);
            Rule::default().write(&mut text);
            assert_eq!(text.get("targeting"), None);
        }
    }

    #[test]
    fn a_condition_comes_before_all_others_and_behind_the_switch() {
        let mut rule = Rule { switch: Some("off".to_owned()), rest: None };
        rule.prepend(r#"{"var":"a"}"#, "on");
        assert_eq!(rule.rest.as_deref(), Some(r#"{"if":[{"var":"a"},"on",null]}"#));
        rule.prepend("{\"var\":\"b\"}", "off");
        assert_eq!(rule.rest.as_deref(), Some(r#"{"if":[{"var":"b"},"off",{"var":"a"},"on",null]}"#));
        let mut text = with("{}");
        rule.write(&mut text);
        assert_eq!(Rule::of(&text), rule);
        let mut share = Rule { switch: None, rest: Some(r#"{"fractional":[["on"],["off"]]}"#.to_owned()) };
        share.prepend("true", "on");
        assert_eq!(share.rest.as_deref(), Some(r#"{"if":[true,"on",{"fractional":[["on"],["off"]]}]}"#));
    }
}
