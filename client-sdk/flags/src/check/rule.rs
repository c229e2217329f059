//! The form of a rule: which operators there are, and what arguments they take.

use crate::error::{Fault, Faults};
use crate::json::push;
use crate::limits::DEPTH;
use crate::logic::{Arguments, Operator, read_version, weight};
use crate::name::shown;
use serde_json::Value;

/// Checks a rule that stands at `pointer`.
pub(super) fn check(rule: &Value, pointer: &str, faults: &mut Faults) {
    Checker { pointer: pointer.to_owned(), depth: 0, faults }.rule(rule);
}

struct Checker<'f> {
    pointer: String,
    depth: usize,
    faults: &'f mut Faults,
}

/// Relations of `sem_ver`.
const RELATIONS: [&str; 8] = ["=", "!=", ">", "<", ">=", "<=", "~", "^"];

impl Checker<'_> {
    fn fault(&mut self, value: &Value, reason: impl Into<String>) {
        self.faults.add(Fault::new(&self.pointer, Some(value), reason));
    }

    /// Does something one step further into the rule.
    fn at(&mut self, step: &str, act: impl FnOnce(&mut Self)) {
        let before = self.pointer.len();
        push(&mut self.pointer, step);
        self.depth += 1;
        if self.depth <= DEPTH {
            act(self);
        }
        self.depth -= 1;
        self.pointer.truncate(before);
    }

    /// Each of some values, by its place.
    fn each(&mut self, items: &[Value], check: impl Fn(&mut Self, usize, &Value)) {
        for (at, item) in items.iter().enumerate() {
            self.at(&at.to_string(), |inner| check(inner, at, item));
        }
    }

    /// What must be a rule: an object of one operator.
    fn rule(&mut self, value: &Value) {
        let members = match value {
            Value::Object(members) if members.len() == 1 => members,
            _ => {
                return self
                    .fault(value, "a rule must be an object with one operator, such as {\"var\":\"email\"}");
            }
        };
        let Some((name, args)) = members.iter().next() else { return };
        match name.as_str() {
            "$ref" => self.fault(
                value,
                "a reference can only be an argument of an operator: write {\"if\":[{\"$ref\":\"…\"},\"on\",\"off\"]}",
            ),
            "var" => self.at(name, |inner| inner.variable(args)),
            "missing" => self.at(name, |inner| inner.texts(args)),
            "missing_some" => self.at(name, |inner| inner.missing_some(args)),
            "sem_ver" => self.at(name, |inner| inner.sem_ver(args)),
            "fractional" => self.at(name, |inner| inner.fractional(args)),
            "starts_with" | "ends_with" => self.at(name, |inner| inner.text_pair(args)),
            _ => match Operator::named(name).and_then(Operator::arguments) {
                Some(arguments) => self.at(name, |inner| inner.arguments(args, arguments)),
                None => self.fault(
                    value,
                    format!("`{}` is no operator: see flagd.dev/reference/flag-definitions for those there are", shown(name)),
                ),
            },
        }
    }

    /// What may stand as an argument: a literal, a rule or a reference.
    fn argument(&mut self, value: &Value) {
        let reference = value.as_object().filter(|members| members.len() == 1).and_then(|it| it.get("$ref"));
        if let Some(name) = reference {
            if !name.is_string() {
                self.fault(value, "a reference must name an evaluator");
            }
            return;
        }
        match value {
            Value::Object(_) => self.rule(value),
            // Nothing in it is checked but that rules in it are such.
            Value::Array(items) => self.each(items, |inner, _, item| {
                if matches!(item, Value::Object(members) if members.len() == 1) || item.is_array() {
                    inner.argument(item);
                }
            }),
            _ => {}
        }
    }

    fn arguments(&mut self, value: &Value, Arguments { least, most, or_bare }: Arguments) {
        match value {
            Value::Array(items) if items.len() < least || items.len() > most => {
                let wanted = match (least, most) {
                    (least, most) if least == most => format!("{least}"),
                    (least, usize::MAX) => format!("at least {least}"),
                    (least, most) => format!("{least} to {most}"),
                };
                self.fault(value, format!("there are {} arguments; it takes {wanted}", items.len()));
            }
            Value::Array(items) => self.each(items, |inner, _, item| inner.argument(item)),
            bare if or_bare => self.argument(bare),
            bare => self.fault(bare, "the arguments must be an array"),
        }
    }

    fn variable(&mut self, value: &Value) {
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        match items {
            [path] | [path, _] => self.path(path, value.is_array()),
            _ => return self.fault(value, "it takes a path, and a default if there is nothing there"),
        }
        if let [_, default] = items
            && (default.is_object() || default.is_array())
        {
            self.at("1", |inner| {
                inner.fault(default, "a default must be a text, a number, true, false or null")
            });
        }
    }

    fn path(&mut self, path: &Value, is_first: bool) {
        match path {
            Value::String(path_text) => {
                let inner = path_text.strip_prefix("$flagd.");
                if inner.is_some_and(|inner| !matches!(inner, "flagKey" | "timestamp")) {
                    self.fault(path, "of `$flagd` there are `$flagd.flagKey` and `$flagd.timestamp`");
                }
            }
            Value::Number(_) if !is_first => {}
            Value::Object(_) if !is_first => self.argument(path),
            _ => self.fault(path, "a path must be a text such as \"user.email\""),
        }
    }

    fn texts(&mut self, value: &Value) {
        let Value::Array(items) = value else {
            return self.fault(value, "the names must be an array of texts");
        };
        self.each(items, |inner, _, item| {
            if !item.is_string() {
                inner.fault(item, "a name must be a text");
            }
        });
    }

    fn missing_some(&mut self, value: &Value) {
        match value.as_array().map(Vec::as_slice) {
            Some([least, names]) => {
                if !least.is_number() {
                    self.at("0", |inner| inner.fault(least, "how many are needed must be a number"));
                }
                self.at("1", |inner| inner.texts(names));
            }
            _ => self.fault(value, "it takes two arguments: how many are needed, and an array of names"),
        }
    }

    fn text_pair(&mut self, value: &Value) {
        let Some([first, second]) = value.as_array().map(Vec::as_slice) else {
            return self
                .fault(value, "it takes an array of two arguments: a text, and what it begins or ends with");
        };
        for (at, item) in [("0", first), ("1", second)] {
            self.at(at, |inner| match item {
                Value::String(_) => {}
                Value::Object(_) => inner.rule(item),
                _ => inner.fault(item, "this must be a text, or a rule that gives one"),
            });
        }
    }

    fn sem_ver(&mut self, value: &Value) {
        let Some([left, relation, right]) = value.as_array().map(Vec::as_slice) else {
            return self.fault(value, "it takes an array of a version, a relation and a version");
        };
        for (at, item) in [("0", left), ("2", right)] {
            self.at(at, |inner| inner.version(item));
        }
        if !relation.as_str().is_some_and(|relation| RELATIONS.contains(&relation)) {
            let reason = format!("a relation of versions is one of {}", RELATIONS.join(" "));
            self.at("1", |inner| inner.fault(relation, reason));
        }
    }

    /// More than is evaluated is refused here: not every evaluator reads it.
    fn version(&mut self, value: &Value) {
        match value {
            Value::Object(members) if members.len() == 1 && members.contains_key("var") => self.rule(value),
            Value::String(text) => {
                let whole = text.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
                    && text.split(['-', '+']).next().is_some_and(|numbers| numbers.split('.').count() == 3);
                if !whole || read_version(&value.into()).is_none() {
                    self.fault(
                        value,
                        "a version must be three numbers such as \"1.20.0\", or \"2.0.0-rc.1\"",
                    );
                }
            }
            _ => self.fault(value, "this must be a version such as \"1.20.0\", or a variable"),
        }
    }

    fn fractional(&mut self, value: &Value) {
        let Value::Array(items) = value else {
            return self.fault(value, "it takes an array of buckets such as [[\"on\",5],[\"off\",95]]");
        };
        let has_key = items.first().is_some_and(|first| !first.is_array());
        let from = usize::from(has_key);
        if has_key && let Some(key) = items.first() {
            self.at("0", |inner| match key {
                Value::Object(_) => inner.rule(key),
                _ => inner.fault(
                    key,
                    "what users are told apart by must be a rule such as {\"var\":\"email\"}, \
                                       or left out for the targeting key",
                ),
            });
        }
        if items.len() == from {
            return self.fault(value, "there is no bucket: write some such as [\"on\",5],[\"off\",95]");
        }
        let mut sum = Some(0_i64);
        for (at, bucket) in items.iter().enumerate().skip(from) {
            self.at(&at.to_string(), |inner| {
                let weight = inner.bucket(bucket);
                sum = sum.zip(weight).and_then(|(sum, weight)| sum.checked_add(weight));
            });
        }
        match sum {
            Some(0) => self.fault(value, "all weights are 0, so nobody is in a bucket: give one a weight"),
            Some(sum) if sum > i64::from(i32::MAX) => {
                self.fault(value, format!("the weights add up to {sum}; at most {} are allowed", i32::MAX));
            }
            _ => {}
        }
    }

    /// Gives its weight, as far as it is a good literal.
    fn bucket(&mut self, value: &Value) -> Option<i64> {
        let (variant, weight) = match value.as_array().map(Vec::as_slice) {
            Some([variant]) => (variant, None),
            Some([variant, weight]) => (variant, Some(weight)),
            _ => {
                self.fault(value, "a bucket must be a variant and its weight, such as [\"on\",5]");
                return None;
            }
        };
        self.at("0", |inner| match variant {
            Value::Array(_) => inner.fault(variant, "this must be the name of a variant"),
            _ => inner.argument(variant),
        });
        match weight {
            None => Some(1),
            Some(rule @ Value::Object(_)) => {
                self.at("1", |inner| inner.rule(rule));
                None
            }
            Some(literal) if literal.is_i64() || literal.is_u64() => match self::weight(&literal.into()) {
                Some(weight) if !literal.as_i64().is_some_and(i64::is_negative) => Some(weight),
                _ => {
                    self.at("1", |inner| inner.fault(literal, "a weight must be 0 or more"));
                    None
                }
            },
            Some(other) => {
                self.at("1", |inner| {
                    inner.fault(
                        other,
                        "a weight must be a whole number such as 5: for 0.5 of 100 write 5 of 1000",
                    );
                });
                None
            }
        }
    }
}
