//! `fractional`: each user in one bucket, always the same.
//!
//! What is hashed, and how a hash becomes a bucket, is what evaluators of different
//! versions do not agree about: see [`HashVersion`].

use super::eval::{Env, Scope};
use super::expr::Expr;
use super::hash::Murmur;
use super::number::Num;
use super::value::Val;
use serde_json::Value;

/// Which evaluators give a user the same bucket as this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashVersion {
    /// Any value is hashed, in CBOR: by default the array of the flag's name and the
    /// targeting key. So do Python's provider from 0.6 on (`openfeature-flagd-core` 2) and
    /// Rust's from 0.3 on (by its source).
    #[default]
    Cbor,
    /// Only texts are hashed, by their UTF-8: by default the flag's name with the
    /// targeting key behind it. So do `flagd` itself (by its source of July 2026), JavaScript's
    /// `@openfeature/flagd-core` 4, and Python's provider 0.4 and 0.5 (core 1).
    Text,
    /// Hashed as `Text`, with buckets of a hundredth in floating point. So do evaluators
    /// before those, such as Python's provider up to 0.3.
    Percent,
}

impl HashVersion {
    /// The name by which settings know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cbor => "cbor",
            Self::Text => "text",
            Self::Percent => "percent",
        }
    }
}

impl std::str::FromStr for HashVersion {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cbor" => Ok(Self::Cbor),
            "text" => Ok(Self::Text),
            "percent" => Ok(Self::Percent),
            other => Err(format!("`{other}` is no hash version: use `cbor`, `text` or `percent`")),
        }
    }
}

/// `fractional` with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Fractional {
    /// What to hash; `None`: the flag's name and the targeting key.
    key: Option<Expr>,
    buckets: Buckets,
}

#[derive(Debug, Clone)]
enum Buckets {
    /// All is literal: the variants, each with where its bucket ends.
    Fixed(Box<[(u32, Value)]>),
    Computed(Box<[Bucket]>),
}

/// One argument.
#[derive(Debug, Clone)]
enum Bucket {
    /// A variant, and its weight if there is one.
    Pair(Expr, Option<Expr>),
    /// What gives an array of the two, or is no bucket at all.
    Other(Expr),
}

/// How a user's bucket was found.
#[derive(Debug, Clone)]
pub(crate) struct Draw<'a> {
    pub(crate) hash: u32,
    /// The sum of the weights.
    pub(crate) total: u32,
    /// Which bucket, from 0 on.
    pub(crate) index: usize,
    pub(crate) variant: Val<'a>,
}

impl Draw<'_> {
    /// Where the user stands among all, in percent.
    pub(crate) fn position(&self, version: HashVersion) -> f64 {
        match version {
            HashVersion::Cbor | HashVersion::Text => f64::from(self.hash) / 4_294_967_296.0 * 100.0,
            HashVersion::Percent => percent(self.hash),
        }
    }
}

/// The place of a hash as older evaluators compute it.
fn percent(hash: u32) -> f64 {
    f64::from(hash.cast_signed()).abs() / f64::from(i32::MAX) * 100.0
}

impl Fractional {
    /// `args` with whether each is written as an array.
    pub(super) fn new(mut args: Vec<(Expr, bool)>) -> Self {
        let has_key = args.first().is_some_and(|(_, is_array)| !is_array);
        let key = has_key.then(|| args.remove(0).0);
        let buckets: Vec<_> = args.into_iter().map(|(expr, is_array)| Bucket::new(expr, is_array)).collect();
        let buckets = match fixed(&buckets) {
            Some(fixed) => Buckets::Fixed(fixed),
            None => Buckets::Computed(buckets.into()),
        };
        Self { key, buckets }
    }

    /// Null if there is nothing to hash, or a weight is none.
    pub(super) fn eval<'a>(&'a self, env: &Env<'a>, scope: &Scope<'a>) -> Val<'a> {
        self.draw(env, scope).map_or(Val::Null, |draw| draw.variant)
    }

    pub(crate) fn draw<'a>(&'a self, env: &Env<'a>, scope: &Scope<'a>) -> Option<Draw<'a>> {
        let key = self.key.as_ref().map(|key| env.eval(key, scope));
        let (hash, first) = match key {
            None => (implied(env, scope)?, None),
            Some(bucket) if bucket.items().is_some() => (implied(env, scope)?, Some(bucket)),
            Some(key) => (explicit(env, &key)?, None),
        };
        match (&self.buckets, first) {
            (Buckets::Fixed(ends), None) => {
                let total = ends.last()?.0;
                let index = ends.partition_point(|(end, _)| !ends_beyond(*end, env, hash, total));
                let (_, variant) = ends.get(index)?;
                Some(Draw { hash, total, index, variant: variant.into() })
            }
            (buckets, first) => {
                let mut all: Vec<_> = Vec::new();
                all.extend(first.map(|first| pair(&first)));
                match buckets {
                    Buckets::Fixed(ends) => {
                        let mut before = 0;
                        for (end, variant) in ends {
                            all.push(Some((variant.into(), i64::from(end - before))));
                            before = *end;
                        }
                    }
                    Buckets::Computed(buckets) => {
                        all.extend(buckets.iter().map(|bucket| bucket.eval(env, scope)));
                    }
                }
                pick(env, hash, all.into_iter().collect::<Option<_>>()?)
            }
        }
    }
}

/// The hash of the flag's name and the targeting key.
fn implied<'a>(env: &Env<'a>, scope: &Scope<'a>) -> Option<u32> {
    let key = env.named(&Val::Str("targetingKey".into()), scope)?;
    let Val::Str(key) = key else { return None };
    if key.is_empty() {
        return None;
    }
    let mut hash = Murmur::default();
    match env.hash {
        HashVersion::Cbor => {
            hash.array(2);
            hash.text(env.flag);
            hash.text(&key);
        }
        HashVersion::Text | HashVersion::Percent => {
            hash.write(env.flag.as_bytes());
            hash.write(key.as_bytes());
        }
    }
    Some(hash.finish())
}

/// The hash of what the rule names.
fn explicit(env: &Env<'_>, key: &Val<'_>) -> Option<u32> {
    let mut hash = Murmur::default();
    match (env.hash, key) {
        (_, Val::Null) => return None,
        (HashVersion::Cbor, key) => hash.value(key),
        (_, Val::Str(text)) => hash.write(text.as_bytes()),
        _ => return None,
    }
    Some(hash.finish())
}

/// Whether a hash falls before the end of a bucket.
fn ends_beyond(end: u32, env: &Env<'_>, hash: u32, total: u32) -> bool {
    match env.hash {
        HashVersion::Cbor | HashVersion::Text => (u64::from(hash) * u64::from(total)) >> 32 < u64::from(end),
        HashVersion::Percent => percent(hash) < f64::from(end) * 100.0 / f64::from(total),
    }
}

/// The bucket that a hash falls into.
fn pick<'a>(env: &Env<'_>, hash: u32, buckets: Vec<(Val<'a>, i64)>) -> Option<Draw<'a>> {
    let total = sum(buckets.iter().map(|(_, weight)| *weight))?;
    let mut end = 0;
    for (index, (variant, weight)) in buckets.into_iter().enumerate() {
        end += u32::try_from(weight).ok()?;
        if ends_beyond(end, env, hash, total) {
            return Some(Draw { hash, total, index, variant });
        }
    }
    None
}

/// The sum of weights, if it is one that evaluators take.
fn sum(mut weights: impl Iterator<Item = i64>) -> Option<u32> {
    let sum = weights.try_fold(0_i64, |sum, weight| sum.checked_add(weight))?;
    (1..=i64::from(i32::MAX)).contains(&sum).then(|| u32::try_from(sum).ok()).flatten()
}

impl Bucket {
    fn new(expr: Expr, is_array: bool) -> Self {
        match expr {
            Expr::List(items) if matches!(items.len(), 1 | 2) => {
                let mut items = items.into_vec();
                let weight = if items.len() == 2 { items.pop() } else { None };
                items
                    .pop()
                    .map_or(Self::Other(Expr::Constant(Value::Null)), |variant| Self::Pair(variant, weight))
            }
            Expr::Constant(Value::Array(items)) if is_array && matches!(items.len(), 1 | 2) => {
                let mut items = items.into_iter().map(Expr::Constant);
                let variant = items.next().unwrap_or(Expr::Constant(Value::Null));
                Self::Pair(variant, items.next())
            }
            other => Self::Other(other),
        }
    }

    fn eval<'a>(&'a self, env: &Env<'a>, scope: &Scope<'a>) -> Option<(Val<'a>, i64)> {
        match self {
            Self::Pair(variant, weight) => {
                let weight = match weight {
                    None => 1,
                    Some(weight) => self::weight(&env.eval(weight, scope))?,
                };
                Some((env.eval(variant, scope), weight))
            }
            Self::Other(expr) => pair(&env.eval(expr, scope)),
        }
    }
}

/// Variant and weight, if this is an array of them.
fn pair<'a>(value: &Val<'a>) -> Option<(Val<'a>, i64)> {
    match value.items()? {
        1 => Some((value.item(0)?, 1)),
        2 => Some((value.item(0)?, weight(&value.item(1)?)?)),
        _ => None,
    }
}

/// A weight, which is a whole number; a negative one is 0, since it comes of rules that
/// compute with time.
pub(crate) fn weight(value: &Val<'_>) -> Option<i64> {
    let Val::Num(number) = value else { return None };
    let weight = match number {
        Num::Signed(whole) => *whole,
        Num::Unsigned(_) => i64::MAX,
        #[expect(clippy::cast_possible_truncation, reason = "what is cut off is far beyond any sum")]
        Num::Float(float) if float.fract() == 0.0 => *float as i64,
        Num::Float(_) => return None,
    };
    Some(weight.max(0))
}

/// Where each bucket ends, if all is literal and good.
fn fixed(buckets: &[Bucket]) -> Option<Box<[(u32, Value)]>> {
    let mut weights = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let Bucket::Pair(Expr::Constant(variant), weight) = bucket else { return None };
        let weight = match weight {
            None => 1,
            Some(Expr::Constant(weight)) => self::weight(&weight.into())?,
            Some(_) => return None,
        };
        weights.push((variant, weight));
    }
    sum(weights.iter().map(|(_, weight)| *weight))?;
    let mut end = 0;
    weights
        .into_iter()
        .map(|(variant, weight)| {
            end += u32::try_from(weight).ok()?;
            Some((end, variant.clone()))
        })
        .collect()
}
