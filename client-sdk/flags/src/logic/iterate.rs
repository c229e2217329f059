//! Operators on arrays.

use super::eval::{Env, Scope};
use super::expr::{Expr, Operator};
use super::value::Val;

/// Operators that look at each item of their first argument.
pub(super) fn iterate<'a>(env: &Env<'a>, operator: Operator, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let array = env.arg(args, 0, scope);
    let each = |item: Val<'a>| env.arg(args, 1, &Scope::Item(item));
    // The last item that was looked at decides.
    let until = |wanted: bool| {
        let mut is = !wanted;
        array.each(&mut |item| {
            is = each(item).is_truthy();
            env.burn(1) && is != wanted
        });
        is
    };
    let is_empty = array.items().unwrap_or(0) == 0;
    match operator {
        Operator::All => Val::Bool(!is_empty && until(false)),
        Operator::Some => Val::Bool(!is_empty && until(true)),
        Operator::None => Val::Bool(is_empty || !until(true)),
        Operator::Reduce => fold(env, &array, args, scope),
        _ => {
            let mut made = Vec::new();
            array.each(&mut |item| {
                let result = each(item.clone());
                match operator {
                    Operator::Map => made.push(result),
                    _ if result.is_truthy() => made.push(item),
                    _ => {}
                }
                env.burn(1)
            });
            Val::list(made)
        }
    }
}

fn fold<'a>(env: &Env<'a>, array: &Val<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let mut accumulator = env.arg(args, 2, scope);
    array.each(&mut |current| {
        let so_far = std::mem::replace(&mut accumulator, Val::Null);
        accumulator = env.arg(args, 1, &Scope::Fold { current, accumulator: so_far });
        env.burn(1)
    });
    accumulator
}

/// `merge`: arrays one after the other; what is none counts as one with one item.
pub(super) fn merge<'a>(env: &Env<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let mut merged = Vec::new();
    for arg in args {
        let value = env.eval(arg, scope);
        let count = value.items();
        if !env.burn(count.unwrap_or(1)) {
            return Val::Null;
        }
        if count.is_none() {
            merged.push(value);
            continue;
        }
        value.each(&mut |item| {
            merged.push(item);
            true
        });
    }
    Val::list(merged)
}

/// `missing`: those of the names that have no value.
pub(super) fn missing<'a>(env: &Env<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let first = env.arg(args, 0, scope);
    let names = if first.items().is_some() {
        first
    } else {
        Val::list(args.iter().map(|arg| env.eval(arg, scope)).collect())
    };
    Val::list(without_value(env, &names, scope))
}

/// `missing_some`: the same, unless there are enough that have one.
pub(super) fn missing_some<'a>(env: &Env<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let (needed, names) = (env.arg(args, 0, scope).number(), env.arg(args, 1, scope));
    let missing = without_value(env, &names, scope);
    let there = names.items().unwrap_or(0).saturating_sub(missing.len());
    #[expect(clippy::cast_precision_loss, reason = "no array has 2^53 items")]
    let enough = there as f64 >= needed;
    Val::list(if enough { Vec::new() } else { missing })
}

fn without_value<'a>(env: &Env<'a>, names: &Val<'a>, scope: &Scope<'a>) -> Vec<Val<'a>> {
    let mut missing = Vec::new();
    names.each(&mut |name| {
        let value = env.named(&name, scope).unwrap_or(Val::Null);
        if matches!(&value, Val::Null) || matches!(&value, Val::Str(text) if text.is_empty()) {
            missing.push(name);
        }
        env.burn(1)
    });
    missing
}
