//! Operators on texts.

use super::eval::{Env, Scope};
use super::expr::Expr;
use super::value::Val;
use std::borrow::Cow;

/// `in`: a part of a text, or an item of an array.
pub(super) fn contains(within: &Val<'_>, wanted: &Val<'_>) -> bool {
    match within {
        // An empty text has nothing in it, not even the empty one.
        Val::Str(text) => !text.is_empty() && text.contains(&*wanted.text()),
        array => {
            let mut found = false;
            array.each(&mut |item| {
                found = item.strictly_equals(wanted);
                !found
            });
            found
        }
    }
}

/// An operator on exactly two texts; null if they are none.
pub(super) fn pair<'a>(
    env: &Env<'a>,
    args: &'a [Expr],
    scope: &Scope<'a>,
    holds: fn(&str, &str) -> bool,
) -> Val<'a> {
    let [first, second] = args else { return Val::Null };
    match (env.eval(first, scope), env.eval(second, scope)) {
        (Val::Str(first), Val::Str(second)) => Val::Bool(holds(&first, &second)),
        _ => Val::Null,
    }
}

/// `cat`
pub(super) fn concat<'a>(env: &Env<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let mut text = String::new();
    for arg in args {
        let before = text.len();
        env.eval(arg, scope).print(&mut text);
        if !env.burn(text.len() - before) {
            return Val::Null;
        }
    }
    Val::Str(Cow::Owned(text))
}

/// `substr`, which counts as JavaScript does: a character beyond the first 65,536 is
/// two. The start counts from the end if negative; a negative length leaves off as many
/// at the end.
pub(super) fn substr<'a>(env: &Env<'a>, args: &'a [Expr], scope: &Scope<'a>) -> Val<'a> {
    let text = env.arg(args, 0, scope).text();
    let units: Vec<u16> = text.encode_utf16().collect();
    let whole = |at| {
        let number = env.arg(args, at, scope).number();
        if number.is_nan() { 0.0 } else { number.trunc() }
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and the length"
    )]
    let clamp = |number: f64| number.clamp(0.0, units.len() as f64) as usize;
    #[expect(clippy::cast_precision_loss, reason = "no text has 2^53 characters")]
    let from_end = |number: f64| units.len() as f64 + number;
    let start = if args.len() > 1 { whole(1) } else { 0.0 };
    let start = clamp(if start < 0.0 { from_end(start) } else { start });
    let end = match args.get(2) {
        None => units.len(),
        Some(_) => match whole(2) {
            length if length < 0.0 => clamp(from_end(length)),
            #[expect(clippy::cast_precision_loss, reason = "no text has 2^53 characters")]
            length => clamp(start as f64 + length),
        },
    };
    if !env.burn(units.len()) {
        return Val::Null;
    }
    Val::Str(Cow::Owned(String::from_utf16_lossy(units.get(start..end).unwrap_or_default())))
}
