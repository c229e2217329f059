//! From a rule as JSON to one that is evaluated.

use super::expr::{Expr, Operator, Path};
use super::fractional::Fractional;
use super::value::Val;
use super::version::SemVer;
use crate::error::{Fault, Faults};
use crate::json::push;
use crate::limits::{DEPTH, NODES};
use crate::name::shown;
use serde_json::Value;
use std::collections::BTreeMap;

/// A rule that can be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) rule: Expr,
    /// Whether it refers to an evaluator, so that it changes with those.
    pub(crate) refers: bool,
}

/// Compiles a rule that stands at `pointer`. What is wrong with it is added to `faults`,
/// and the rule is then not to be used.
pub(crate) fn compile(
    rule: &Value,
    pointer: &str,
    evaluators: &BTreeMap<String, Value>,
    faults: &mut Faults,
) -> Compiled {
    let mut compiler = Compiler {
        evaluators,
        faults,
        pointer: pointer.to_owned(),
        within: Vec::new(),
        nodes: 0,
        depth: 0,
        refers: false,
        is_too_large: false,
    };
    let rule = compiler.expr(rule, true);
    Compiled { rule, refers: compiler.refers }
}

struct Compiler<'c> {
    evaluators: &'c BTreeMap<String, Value>,
    faults: &'c mut Faults,
    /// Where it is, in the rule or in the innermost evaluator.
    pointer: String,
    /// The evaluators that it is in, each with where it was referred to.
    within: Vec<(&'c str, String)>,
    nodes: usize,
    depth: usize,
    refers: bool,
    /// Whether that was told: then nothing more is looked at.
    is_too_large: bool,
}

/// What stands for a part that is wrong.
const NOTHING: Expr = Expr::Constant(Value::Null);

impl<'c> Compiler<'c> {
    fn expr(&mut self, rule: &Value, in_root: bool) -> Expr {
        self.nodes += 1;
        if self.is_too_large {
            return NOTHING;
        }
        let more_than = if self.nodes > NODES {
            format!("has more than {NODES} parts with all its evaluators: simplify it")
        } else if self.depth == DEPTH {
            format!("is nested more than {DEPTH} deep with all its evaluators: make it flatter")
        } else {
            String::new()
        };
        if !more_than.is_empty() {
            self.is_too_large = true;
            self.fault(None, format!("the rule {more_than}"));
            return NOTHING;
        }
        self.depth += 1;
        let expr = match rule {
            Value::Array(items) if items.iter().any(has_logic) => {
                Expr::List(self.each(items, |_| in_root).into())
            }
            Value::Object(members) if members.len() == 1 => match members.iter().next() {
                Some((name, args)) => self.operator(name, args, in_root),
                None => NOTHING,
            },
            literal => Expr::Constant(literal.clone()),
        };
        self.depth -= 1;
        expr
    }

    /// What is in a literal array, or the arguments of an operator.
    fn each(&mut self, items: &[Value], in_root: impl Fn(usize) -> bool) -> Vec<Expr> {
        let at = |(at, item)| self.at(&format!("{at}"), |inner| inner.expr(item, in_root(at)));
        items.iter().enumerate().map(at).collect()
    }

    fn operator(&mut self, name: &str, args: &Value, in_root: bool) -> Expr {
        if name == "$ref" {
            return self.reference(args, in_root);
        }
        let operator = Operator::named(name);
        if operator.is_none() && !matches!(name, "sem_ver" | "fractional") {
            let reason =
                "there is no such operator: see flagd.dev/reference/flag-definitions for those there are";
            self.fault(Some(&Value::from(name)), reason.to_owned());
            return NOTHING;
        }
        let one = std::slice::from_ref(args);
        let items = args.as_array().map_or(one, Vec::as_slice);
        let step = |inner: &mut Self| {
            let scope = |at| in_root && !(at == 1 && operator.is_some_and(Operator::iterates));
            if args.is_array() { inner.each(items, scope) } else { vec![inner.expr(args, scope(0))] }
        };
        let compiled = self.at(name, step);
        match operator {
            Some(Operator::Var) => variable(compiled, in_root),
            Some(operator) => Expr::Call(operator, compiled.into()),
            None if name == "fractional" => {
                let is_array = items.iter().map(Value::is_array);
                Expr::Fractional(Box::new(Fractional::new(compiled.into_iter().zip(is_array).collect())))
            }
            None => match <[Expr; 3]>::try_from(compiled) {
                Ok([left, relation, right]) => Expr::SemVer(Box::new(SemVer::new(left, relation, right))),
                // With any other number of arguments it is null.
                Err(_) => NOTHING,
            },
        }
    }

    /// Puts an evaluator in the place of a reference to it.
    fn reference(&mut self, name: &Value, in_root: bool) -> Expr {
        self.refers = true;
        let found = name.as_str().and_then(|name| self.evaluators.get_key_value(name));
        let Some((name, rule)) = found else {
            self.at("$ref", |inner| {
                let known: Vec<_> =
                    inner.evaluators.keys().take(8).map(|name| format!("`{}`", shown(name))).collect();
                let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
                inner.fault(Some(name), format!("there is no such evaluator in `$evaluators` ({known})"));
            });
            return NOTHING;
        };
        if self.within.iter().any(|(outer, _)| *outer == name) {
            let reason = format!("the evaluator `{}` refers to itself: break the circle", shown(name));
            self.fault(None, reason);
            return NOTHING;
        }
        let outside = std::mem::take(&mut self.pointer);
        self.within.push((name, outside));
        let expr = self.expr(rule, in_root);
        if let Some((_, outside)) = self.within.pop() {
            self.pointer = outside;
        }
        expr
    }

    /// Does something one step further into the rule.
    fn at<R>(&mut self, step: &str, act: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.pointer.len();
        push(&mut self.pointer, step);
        let result = act(self);
        self.pointer.truncate(before);
        result
    }

    /// Adds a fault here. One in an evaluator is told where that is referred to.
    fn fault(&mut self, value: Option<&Value>, reason: String) {
        let fault = match (self.within.first(), self.within.last()) {
            (Some((_, outside)), Some((name, _))) => {
                let place = if self.pointer.is_empty() { "" } else { &self.pointer };
                Fault::new(outside, value, format!("in the evaluator `{}`, `{place}`: {reason}", shown(name)))
            }
            _ => Fault::new(&self.pointer, value, reason),
        };
        self.faults.add(fault);
    }
}

/// Whether there is a rule in it, so that it is not a literal as a whole.
fn has_logic(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.len() == 1,
        Value::Array(items) => items.iter().any(has_logic),
        _ => false,
    }
}

/// `var`, whose path is nearly always a literal.
fn variable(mut args: Vec<Expr>, in_root: bool) -> Expr {
    match args.as_slice() {
        [] => Expr::Variable(Path::Whole),
        [Expr::Constant(path)] => match Val::from(path) {
            Val::Null => Expr::Variable(Path::Whole),
            // Which part of a computed array is a path is found out each time.
            Val::Json(_) => Expr::Call(Operator::Var, args.into()),
            literal => Expr::Variable(Path::new(&literal.text(), in_root)),
        },
        _ => {
            args.truncate(2);
            Expr::Call(Operator::Var, args.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(rule: &Value, evaluators: Value) -> String {
        let evaluators = serde_json::from_value(evaluators).unwrap();
        let mut faults = Faults::new(None);
        compile(rule, "/targeting", &evaluators, &mut faults);
        faults.to_string()
    }

    #[test]
    fn unknown_operators_and_evaluators_are_named_with_their_place() {
        let told = faults(&json!({"if": [{"and": [true, {"likes": [1]}]}, "on"]}), json!({}));
        assert!(told.starts_with("`/targeting/if/0/and/1` = \"likes\": there is no such operator"), "{told}");
        let told = faults(&json!({"if": [{"$ref": "b"}, "on"]}), json!({"a": {"==": [1, 1]}}));
        assert_eq!(told, "`/targeting/if/0/$ref` = \"b\": there is no such evaluator in `$evaluators` (`a`)");
    }

    #[test]
    fn a_fault_in_an_evaluator_is_told_where_it_is_referred_to() {
        let told = faults(
            &json!({"if": [{"$ref": "a"}, "on"]}),
            json!({"a": {"!": [{"$ref": "b"}]}, "b": {"x": 1}}),
        );
        assert!(
            told.starts_with("`/targeting/if/0` = \"x\": in the evaluator `b`, ``: there is no"),
            "{told}"
        );
        let told = faults(&json!({"$ref": "a"}), json!({"a": {"!": [{"$ref": "b"}]}, "b": {"$ref": "a"}}));
        assert!(told.contains("the evaluator `a` refers to itself"), "{told}");
    }

    #[test]
    fn depth_and_size_are_bounded_with_all_evaluators_put_in() {
        // Each has the one before it twice: 2^20 parts, were nobody to count.
        let mut evaluators = json!({"e0": {"var": "x"}});
        for n in 1..=20 {
            let before = json!({"$ref": format!("e{}", n - 1)});
            evaluators[format!("e{n}")] = json!({"or": [before, before]});
        }
        let told = faults(&json!({"$ref": "e20"}), evaluators);
        assert!(told.contains("more than 20000 parts"), "{told}");
        let deep = (0..60).fold(json!(true), |rule, _| json!({"!": rule}));
        assert!(faults(&deep, json!({})).contains("more than 48 deep"));
    }
}
