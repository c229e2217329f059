//! Evaluation of a compiled rule.

use super::expr::{Expr, Operator, Path};
use super::number::Num;
use super::value::Val;
use super::{HashVersion, iterate, text};
use crate::Context;
use crate::limits::FUEL;
use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

/// What an evaluation knows.
pub(crate) struct Env<'a> {
    pub(crate) flag: &'a str,
    pub(crate) context: &'a Context,
    /// Seconds since 1970. Asked for only by rules with `$flagd.timestamp`.
    pub(crate) clock: &'a dyn Fn() -> i64,
    pub(crate) hash: HashVersion,
    fuel: Cell<usize>,
}

/// An evaluation that went beyond [`FUEL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// What `var` looks at.
#[derive(Debug)]
pub(crate) enum Scope<'a> {
    /// The context.
    Root,
    /// An item of an array.
    Item(Val<'a>),
    /// An item, and what came of those before.
    Fold { current: Val<'a>, accumulator: Val<'a> },
}

impl<'a> Env<'a> {
    pub(crate) fn new(
        flag: &'a str,
        context: &'a Context,
        clock: &'a dyn Fn() -> i64,
        hash: HashVersion,
    ) -> Self {
        Self { flag, context, clock, hash, fuel: Cell::new(FUEL) }
    }

    /// Evaluates a whole rule.
    pub(crate) fn run(&self, rule: &'a Expr) -> Result<Val<'a>, TooMuch> {
        let result = self.eval(rule, &Scope::Root);
        if self.fuel.get() == 0 { Err(TooMuch) } else { Ok(result) }
    }

    /// Takes what a step costs; false: it is not to be had, and the result of the whole
    /// will not be looked at.
    pub(super) fn burn(&self, cost: usize) -> bool {
        let left = self.fuel.get().saturating_sub(cost);
        self.fuel.set(left);
        left > 0
    }

    pub(super) fn eval(&self, expr: &'a Expr, scope: &Scope<'a>) -> Val<'a> {
        match expr {
            Expr::Constant(value) => value.into(),
            Expr::Variable(path) => self.variable(path, scope).unwrap_or(Val::Null),
            Expr::Call(operator, args) => self.call(*operator, args, scope),
            Expr::SemVer(rule) => rule.eval(self, scope),
            Expr::Fractional(rule) => rule.eval(self, scope),
            Expr::List(items) => {
                if !self.burn(items.len()) {
                    return Val::Null;
                }
                Val::list(items.iter().map(|item| self.eval(item, scope)).collect())
            }
        }
    }

    /// An argument; one that is not there is null.
    pub(super) fn arg(&self, args: &'a [Expr], at: usize, scope: &Scope<'a>) -> Val<'a> {
        args.get(at).map_or(Val::Null, |arg| self.eval(arg, scope))
    }

    fn call(&self, operator: Operator, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
        use Operator as Op;
        let arg = |at| self.arg(args, at, scope);
        match operator {
            Op::If | Op::Ternary => self.choose(args, scope),
            Op::And => self.first(args, scope, false),
            Op::Or => self.first(args, scope, true),
            Op::Equals => Val::Bool(arg(0).loosely_equals(&arg(1))),
            Op::Differs => Val::Bool(!arg(0).loosely_equals(&arg(1))),
            Op::StrictlyEquals => Val::Bool(arg(0).strictly_equals(&arg(1))),
            Op::StrictlyDiffers => Val::Bool(!arg(0).strictly_equals(&arg(1))),
            Op::Above => self.ordered(args, scope, Ordering::is_gt),
            Op::AtLeast => self.ordered(args, scope, Ordering::is_ge),
            Op::Below => self.ordered(args, scope, Ordering::is_lt),
            Op::AtMost => self.ordered(args, scope, Ordering::is_le),
            Op::Truthy => Val::Bool(arg(0).is_truthy()),
            Op::Not => Val::Bool(!arg(0).is_truthy()),
            Op::Log => arg(0),
            Op::In => Val::Bool(text::contains(&arg(1), &arg(0))),
            Op::StartsWith => text::pair(self, args, scope, |a, b| a.starts_with(b)),
            Op::EndsWith => text::pair(self, args, scope, |a, b| a.ends_with(b)),
            Op::Cat => text::concat(self, args, scope),
            Op::Substr => text::substr(self, args, scope),
            Op::Var => self.variable_or(args, scope),
            Op::Missing => iterate::missing(self, args, scope),
            Op::MissingSome => iterate::missing_some(self, args, scope),
            Op::Merge => iterate::merge(self, args, scope),
            Op::Filter | Op::Map | Op::Reduce | Op::All | Op::None | Op::Some => {
                iterate::iterate(self, operator, args, scope)
            }
            _ => self.calculate(operator, args, scope),
        }
    }

    fn calculate(&self, operator: Operator, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
        use Operator as Op;
        let number = |at| self.arg(args, at, scope).number();
        let all = || args.iter().map(|arg| self.eval(arg, scope));
        let extreme = |start: f64, pick: fn(f64, f64) -> f64| {
            all()
                .map(|value| value.number())
                .fold(start, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) })
        };
        match (operator, args) {
            // One argument is handed on as it is.
            (Op::Multiply, [one]) => self.eval(one, scope),
            (Op::Multiply, []) => Val::Null,
            (Op::Multiply, _) => Val::float(all().map(|value| value.leading_number()).product()),
            (Op::Add, _) => Val::float(all().map(|value| value.leading_number()).fold(0.0, |a, b| a + b)),
            (Op::Subtract, [_]) => Val::float(-number(0)),
            (Op::Subtract, _) => Val::float(number(0) - number(1)),
            (Op::Divide, _) => Val::float(number(0) / number(1)),
            (Op::Modulo, _) => Val::float(number(0) % number(1)),
            (Op::Min, _) => Val::float(extreme(f64::INFINITY, f64::min)),
            (Op::Max, _) => Val::float(extreme(f64::NEG_INFINITY, f64::max)),
            _ => Val::Null,
        }
    }

    /// Pairs of a condition and a result, and what holds otherwise.
    fn choose(&self, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
        let mut rest = args;
        loop {
            match rest {
                [] => return Val::Null,
                [otherwise] => return self.eval(otherwise, scope),
                [condition, result, after @ ..] => {
                    if self.eval(condition, scope).is_truthy() {
                        return self.eval(result, scope);
                    }
                    rest = after;
                }
            }
        }
    }

    /// The first argument that is as truthy as wanted, or else the last.
    fn first(&self, args: &'a [Expr], scope: &Scope<'a>, truthy: bool) -> Val<'a> {
        let mut last = Val::Null;
        for arg in args {
            last = self.eval(arg, scope);
            if last.is_truthy() == truthy {
                break;
            }
        }
        last
    }

    /// Whether two are, or three are one after the other, in this order.
    fn ordered(&self, args: &'a [Expr], scope: &Scope<'a>, holds: fn(Ordering) -> bool) -> Val<'a> {
        let [first, second, third @ ..] = args else { return Val::Bool(false) };
        let (first, second) = (self.eval(first, scope), self.eval(second, scope));
        let mut is = first.compare(&second).is_some_and(holds);
        if let [third, ..] = third {
            is = is && second.compare(&self.eval(third, scope)).is_some_and(holds);
        }
        Val::Bool(is)
    }

    /// `var` whose path is computed, or which has a default.
    fn variable_or(&self, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
        self.named(&self.arg(args, 0, scope), scope).unwrap_or_else(|| self.arg(args, 1, scope))
    }

    /// The variable of a name that was computed; `None`: there is none.
    pub(super) fn named(&self, name: &Val<'a>, scope: &Scope<'a>) -> Option<Val<'a>> {
        match name {
            Val::Null => self.variable(&Path::Whole, scope),
            name => self.variable(&Path::new(&name.text(), matches!(scope, Scope::Root)), scope),
        }
    }

    /// `None`: there is none.
    pub(super) fn variable(&self, path: &Path, scope: &Scope<'a>) -> Option<Val<'a>> {
        match path {
            Path::Whole => Some(self.whole(scope)),
            Path::TargetingKey => self.context.key().map(|key| Val::Str(Cow::Borrowed(key))),
            Path::FlagKey => Some(Val::Str(Cow::Borrowed(self.flag))),
            Path::Timestamp => Some(Val::Num(Num::Signed((self.clock)()))),
            Path::Steps(steps) => {
                let (first, rest) = steps.split_first()?;
                let start = self.step(first, scope)?;
                rest.iter().try_fold(start, |value, step| value.member(step))
            }
        }
    }

    /// The first step of a path.
    fn step(&self, name: &str, scope: &Scope<'a>) -> Option<Val<'a>> {
        match (scope, name) {
            (Scope::Root, "targetingKey") => self.variable(&Path::TargetingKey, scope),
            (Scope::Root, "$flagd") => Some(self.flagd()),
            (Scope::Root, name) => self.context.attribute(name).map(Val::from),
            (Scope::Item(item), name) => item.member(name),
            (Scope::Fold { current, .. }, "current") => Some(current.clone()),
            (Scope::Fold { accumulator, .. }, "accumulator") => Some(accumulator.clone()),
            (Scope::Fold { .. }, _) => None,
        }
    }

    fn flagd(&self) -> Val<'a> {
        let key = (Cow::Borrowed("flagKey"), Val::Str(Cow::Borrowed(self.flag)));
        let timestamp = (Cow::Borrowed("timestamp"), Val::Num(Num::Signed((self.clock)())));
        Val::Map(vec![key, timestamp].into())
    }

    fn whole(&self, scope: &Scope<'a>) -> Val<'a> {
        match scope {
            Scope::Root => {
                let attributes = self.context.attributes();
                let mut all: Vec<_> =
                    attributes.map(|(name, value)| (Cow::Borrowed(name), Val::from(value))).collect();
                all.push((Cow::Borrowed("$flagd"), self.flagd()));
                let key = self.context.key().map_or(Val::Null, |key| Val::Str(Cow::Borrowed(key)));
                all.push((Cow::Borrowed("targetingKey"), key));
                Val::Map(all.into())
            }
            Scope::Item(item) => item.clone(),
            Scope::Fold { current, accumulator } => {
                let named = |name: &'static str, value: &Val<'a>| (Cow::Borrowed(name), value.clone());
                Val::Map(vec![named("current", current), named("accumulator", accumulator)].into())
            }
        }
    }
}
