//! `sem_ver`: versions compared as semver.org says, and a little beyond it as
//! flagd does: a leading `v` and missing parts are nothing to stumble over.

use super::eval::{Env, Scope};
use super::expr::Expr;
use super::value::Val;
use semver::{BuildMetadata, Prerelease, Version};
use std::cmp::Ordering;

/// `sem_ver` with its three arguments.
#[derive(Debug, Clone)]
pub(crate) struct SemVer {
    left: Operand,
    relation: Expr,
    right: Operand,
}

#[derive(Debug, Clone)]
enum Operand {
    /// A literal, read once.
    Fixed(Option<Version>),
    Computed(Expr),
}

impl SemVer {
    pub(super) fn new(left: Expr, relation: Expr, right: Expr) -> Self {
        let operand = |expr| match &expr {
            Expr::Constant(value) => Operand::Fixed(read(&value.into())),
            _ => Operand::Computed(expr),
        };
        Self { left: operand(left), relation, right: operand(right) }
    }

    /// Null if an argument is no version, or the relation is none.
    pub(super) fn eval<'a>(&'a self, env: &Env<'a>, scope: &Scope<'a>) -> Val<'a> {
        let holds = self.left.with(env, scope, |left| {
            self.right.with(env, scope, |right| match env.eval(&self.relation, scope) {
                Val::Str(relation) => holds(left, &relation, right),
                _ => None,
            })
        });
        holds.map_or(Val::Null, Val::Bool)
    }
}

impl Operand {
    fn with<'a>(
        &'a self,
        env: &Env<'a>,
        scope: &Scope<'a>,
        see: impl FnOnce(&Version) -> Option<bool>,
    ) -> Option<bool> {
        match self {
            Self::Fixed(version) => version.as_ref().and_then(see),
            Self::Computed(expr) => see(&read(&env.eval(expr, scope))?),
        }
    }
}

fn holds(left: &Version, relation: &str, right: &Version) -> Option<bool> {
    // Without what follows a `+`, which says nothing about what comes first.
    let order = left.cmp_precedence(right);
    Some(match relation {
        "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "^" => left.major == right.major,
        "~" => (left.major, left.minor) == (right.major, right.minor),
        _ => return None,
    })
}

/// The version that a text or a number is.
pub(crate) fn read(value: &Val<'_>) -> Option<Version> {
    let text = match value {
        Val::Str(_) | Val::Num(_) => value.text(),
        _ => return None,
    };
    let text = text.strip_prefix(['v', 'V']).unwrap_or(&text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts = numbers.split('.');
    let mut part = || match parts.next() {
        None => Some(0),
        Some(part) => number(part),
    };
    let (major, minor, patch) = (part()?, part()?, part()?);
    if parts.next().is_some() || numbers.is_empty() {
        return None;
    }
    let (pre, build) = rest.split_once('+').map_or((rest, None), |(pre, build)| (pre, Some(build)));
    let pre = match pre.strip_prefix('-') {
        None => Prerelease::EMPTY,
        Some("") => return None,
        Some(pre) => Prerelease::new(pre).ok()?,
    };
    if build.is_some_and(|build| build.is_empty() || BuildMetadata::new(build).is_err()) {
        return None;
    }
    Some(Version { major, minor, patch, pre, build: BuildMetadata::EMPTY })
}

fn number(part: &str) -> Option<u64> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let no_zeros_in_front = part == "0" || !part.starts_with('0');
    (digits && no_zeros_in_front).then(|| part.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_read_as_flagd_does() {
        let version = |value: serde_json::Value| read(&(&value).into()).map(|version| version.to_string());
        for (written, meant) in [
            (json!("1.2.3"), "1.2.3"),
            (json!("v1"), "1.0.0"),
            (json!("V1.2"), "1.2.0"),
            (json!("1.2-rc.1"), "1.2.0-rc.1"),
            (json!("1.2.3+build.5"), "1.2.3"),
            (json!("1.2.3-a+b-c"), "1.2.3-a"),
            (json!(1), "1.0.0"),
            (json!(1.5), "1.5.0"),
        ] {
            assert_eq!(version(written.clone()).as_deref(), Some(meant), "{written}");
        }
        for bad in ["", "x", "1.2.3.4", "01.2.3", "1..2", "1.2.3-", "1.2.3+", "1.2.3-01", "vv1", "-1", "1.-1"]
        {
            assert_eq!(version(json!(bad)), None, "{bad}");
        }
        assert_eq!((version(json!(true)), version(json!(null)), version(json!(["1"]))), (None, None, None));
    }

    #[test]
    fn relations_hold_as_semver_says() {
        let is = |left: &str, relation: &str, right: &str| {
            holds(&read(&Val::Str(left.into())).unwrap(), relation, &read(&Val::Str(right.into())).unwrap())
        };
        for (left, relation, right, wanted) in [
            ("1.0.0+a", "=", "1.0.0+b", Some(true)),
            ("1.0.0-a", "<", "1.0.0", Some(true)),
            ("1.0.0-2", "<", "1.0.0-10", Some(true)),
            ("1.9.0", "^", "1.0.0", Some(true)),
            ("1.9.0", "~", "1.0.0", Some(false)),
            ("2.0.0", "!=", "2.0.0", Some(false)),
            ("2.0.0", "==", "2.0.0", None),
        ] {
            assert_eq!(is(left, relation, right), wanted, "{left} {relation} {right}");
        }
    }
}
