//! Why a flag has the value that it has: the parts of its rule that were looked at,
//! each with where it stands and what it came to.

use crate::definition::at;
use crate::error::Faults;
use crate::limits::STEPS;
use crate::logic::{self, Env, Expr, Scope};
use crate::value::{Details, FlagValue};
use crate::{Common, Context, Flag, FlagSet, HashVersion};
use serde_json::Value;

/// An evaluation, with the way that it took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// What it came to; no value: the default of the code.
    pub details: Details<Option<FlagValue>>,
    /// The parts of the rule that were looked at, each before those in it; at most
    /// [`limits::STEPS`](crate::limits::STEPS).
    pub steps: Vec<Step>,
}

/// One part of a rule, and what it came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// Where it stands: a JSON pointer into the flag's definition, or, if it begins
    /// with `/$evaluators`, into what flags have in common.
    pub pointer: String,
    /// How deep it is in the rule, from 0 on.
    pub depth: usize,
    /// The operator; `None`: a literal.
    pub operator: Option<String>,
    /// What it came to.
    pub value: Value,
    /// For `fractional`: how the bucket was found.
    pub note: Option<String>,
}

impl FlagSet {
    /// Evaluates a flag and says how it came about. This costs many times what an
    /// evaluation does; it is for people.
    #[must_use]
    pub fn explain(&self, name: &str, context: &Context, clock: &dyn Fn() -> i64) -> Explanation {
        let details = self.details(name, None, context, clock);
        let mut steps = Vec::new();
        if let Some(flag) = self.get(name)
            && flag.is_enabled()
            && let Some(rule) = &flag.definition().targeting
        {
            let hash = self.hash_version();
            let common = self.common();
            let mut walk = Walk { flag, common, context, clock, hash, steps: &mut steps };
            walk.visit(rule, "/targeting".to_owned(), 0);
        }
        Explanation { details, steps }
    }
}

struct Walk<'w> {
    flag: &'w Flag,
    common: &'w Common,
    context: &'w Context,
    clock: &'w dyn Fn() -> i64,
    hash: HashVersion,
    steps: &'w mut Vec<Step>,
}

impl Walk<'_> {
    /// Looks at a part and at those in it that decided; says whether it is truthy.
    fn visit(&mut self, rule: &Value, pointer: String, depth: usize) -> bool {
        if self.steps.len() == STEPS {
            return false;
        }
        let member = match rule {
            Value::Object(members) if members.len() == 1 => members.iter().next(),
            _ => None,
        };
        if let Some(("$ref", name)) = member.map(|(operator, args)| (operator.as_str(), args)) {
            let found = name.as_str().and_then(|name| Some((name, self.common.evaluators.get(name)?)));
            return match found {
                Some((name, evaluator)) => self.visit(evaluator, at("/$evaluators", name), depth),
                None => false,
            };
        }
        let (value, truthy, note) = self.evaluate(rule);
        let operator = member.map(|(name, _)| name.clone());
        self.steps.push(Step { pointer: pointer.clone(), depth, operator, value, note });
        if let Some((operator, args)) = member {
            self.descend(operator, args, &at(&pointer, operator), depth + 1);
        }
        truthy
    }

    fn descend(&mut self, operator: &str, args: &Value, pointer: &str, depth: usize) {
        let items = args.as_array().map_or(std::slice::from_ref(args), Vec::as_slice);
        let place = |at: usize| if args.is_array() { format!("{pointer}/{at}") } else { pointer.to_owned() };
        match operator {
            "if" | "?:" => {
                let mut at = 0;
                while at < items.len() {
                    let is_last = at + 1 == items.len();
                    let holds = self.visit(&items[at], place(at), depth);
                    if is_last {
                        return;
                    }
                    if holds {
                        self.visit(&items[at + 1], place(at + 1), depth);
                        return;
                    }
                    at += 2;
                }
            }
            "and" | "or" => {
                for (at, item) in items.iter().enumerate() {
                    if self.visit(item, place(at), depth) == (operator == "or") {
                        return;
                    }
                }
            }
            // What is within is about items, of which there may be many.
            "filter" | "map" | "reduce" | "all" | "none" | "some" => {
                if let Some(array) = items.first() {
                    self.visit(array, place(0), depth);
                }
            }
            "fractional" => {
                if let Some(key @ Value::Object(_)) = items.first() {
                    self.visit(key, place(0), depth);
                }
            }
            "var" | "missing" | "missing_some" => {}
            // A literal says what it is by itself.
            _ => {
                for (at, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                    self.visit(item, place(at), depth);
                }
            }
        }
    }

    /// What a part comes to by itself, whether that is truthy, and what else there is to
    /// say of it.
    fn evaluate(&self, rule: &Value) -> (Value, bool, Option<String>) {
        let mut faults = Faults::new(None);
        let compiled = logic::compile(rule, "", &self.common.evaluators, &mut faults);
        let env = Env::new(self.flag.name().as_str(), self.context, self.clock, self.hash);
        let Ok(value) = env.run(&compiled.rule) else { return (Value::Null, false, None) };
        let note = match &compiled.rule {
            Expr::Fractional(rule) => Some(match rule.draw(&env, &Scope::Root) {
                Some(draw) => format!(
                    "bucket {} by hash {:#010x} ({}), which is at {:.4} % of {}",
                    draw.index + 1,
                    draw.hash,
                    self.hash.as_str(),
                    draw.position(self.hash),
                    draw.total,
                ),
                None => {
                    "no bucket: there is no targeting key or nothing to hash, or a weight is none".to_owned()
                }
            }),
            _ => None,
        };
        (value.to_json(), value.is_truthy(), note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;
    use serde_json::json;

    #[test]
    fn an_explanation_follows_what_decided() {
        let flag = json!({
            "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
            "targeting": {"if": [
                {"$ref": "staff"}, "on",
                {"==": [{"var": "country"}, "de"]}, {"fractional": [["on", 50], ["off", 50]]},
                null
            ]}
        });
        let common = json!({"$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@acme"]}}});
        let (flag, common) = (flag.to_string(), common.to_string());
        let mut set = FlagSet::new(HashVersion::Cbor);
        set.apply([
            ("tenant_config_flag.f", Change::Value(flag.as_bytes())),
            ("tenant_config_flags", Change::Value(common.as_bytes())),
        ]);
        let context = Context::of("u1").with("country", "de").with("email", "a@b");
        let explained = set.explain("f", &context, &|| 0);
        let told: Vec<_> = explained
            .steps
            .iter()
            .map(|step| (step.pointer.as_str(), step.depth, step.value.clone()))
            .collect();
        let chosen = json!(explained.details.variant.as_deref().unwrap());
        assert_eq!(
            told,
            [
                ("/targeting", 0, chosen.clone()),
                ("/$evaluators/staff", 1, json!(false)),
                ("/$evaluators/staff/ends_with/0", 2, json!("a@b")),
                ("/targeting/if/2", 1, json!(true)),
                ("/targeting/if/2/==/0", 2, json!("de")),
                ("/targeting/if/3", 1, chosen),
            ]
        );
        let note = explained.steps[5].note.as_deref().unwrap();
        assert!(
            note.starts_with("bucket ") && note.contains("(cbor)") && note.ends_with("% of 100"),
            "{note}"
        );
        assert!(set.explain("g", &context, &|| 0).steps.is_empty());
    }
}
