//! What rules compute with, and what JavaScript makes of it.

use super::number::{self, Num};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

/// A value while a rule is evaluated. What stands in the rule or in the context is
/// borrowed; nothing is allocated but for what a rule makes.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Null,
    Bool(bool),
    Num(Num),
    Str(Cow<'a, str>),
    /// An array or an object that stands somewhere.
    Json(&'a Value),
    /// An array that was made.
    List(Rc<Vec<Val<'a>>>),
    /// An object that was made.
    Map(Rc<Vec<(Cow<'a, str>, Val<'a>)>>),
}

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Num(number.into()),
            Value::String(text) => Self::Str(Cow::Borrowed(text)),
            value => Self::Json(value),
        }
    }
}

impl<'a> Val<'a> {
    pub(crate) fn float(float: f64) -> Self {
        Self::Num(Num::Float(float))
    }

    pub(crate) fn list(items: Vec<Val<'a>>) -> Self {
        Self::List(Rc::new(items))
    }

    /// What is truthy: as in JavaScript, but that an empty array is not.
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Num(number) => !number.float().is_nan() && number.float() != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Json(Value::Array(items)) => !items.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Json(_) | Self::Map(_) => true,
        }
    }

    /// The number that it is taken for.
    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(*value),
            Self::Num(number) => number.float(),
            Self::Str(text) => number::whole_text(text),
            Self::Json(_) | Self::List(_) | Self::Map(_) => number::whole_text(&self.text()),
        }
    }

    /// The number that its text begins with.
    pub(crate) fn leading_number(&self) -> f64 {
        match self {
            Self::Num(number) => number.float(),
            other => number::leading(&other.text()),
        }
    }

    /// The text that it is taken for.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Str(text) => text.clone(),
            Self::Null => Cow::Borrowed("null"),
            other => {
                let mut text = String::new();
                other.print(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Appends its text as an array is joined: null is nothing.
    pub(crate) fn print(&self, text: &mut String) {
        match self {
            Self::Null => {}
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Num(number) => number::print(*number, text),
            Self::Str(value) => text.push_str(value),
            Self::Json(Value::Array(_)) | Self::List(_) => {
                let mut comma = "";
                self.each(&mut |item| {
                    text.push_str(std::mem::replace(&mut comma, ","));
                    item.print(text);
                    true
                });
            }
            Self::Json(_) | Self::Map(_) => text.push_str("[object Object]"),
        }
    }

    /// How many items it has; `None`: it is no array.
    pub(crate) fn items(&self) -> Option<usize> {
        match self {
            Self::Json(Value::Array(items)) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            _ => None,
        }
    }

    /// One item of an array.
    pub(crate) fn item(&self, at: usize) -> Option<Val<'a>> {
        match self {
            Self::Json(Value::Array(items)) => items.get(at).map(Val::from),
            Self::List(items) => items.get(at).cloned(),
            _ => None,
        }
    }

    /// Shows each item of an array, until `see` says that it is enough.
    pub(crate) fn each(&self, see: &mut dyn FnMut(Val<'a>) -> bool) {
        for at in 0..self.items().unwrap_or(0) {
            let Some(item) = self.item(at) else { return };
            if !see(item) {
                return;
            }
        }
    }

    /// A member of an object, an item of an array by its index, or a length.
    pub(crate) fn member(&self, name: &str) -> Option<Val<'a>> {
        /// Like JavaScript, which knows an index by how it is written.
        fn index(name: &str) -> Option<usize> {
            name.parse().ok().filter(|index: &usize| index.to_string() == name)
        }
        match self {
            Self::Json(Value::Object(members)) => members.get(name).map(Val::from),
            Self::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
            Self::Str(text) if name == "length" => Some(length(text.encode_utf16().count())),
            // A half of a character that JavaScript has as two is nothing here.
            Self::Str(text) => {
                let unit = [text.encode_utf16().nth(index(name)?)?];
                String::from_utf16(&unit).ok().map(|unit| Val::Str(Cow::Owned(unit)))
            }
            other if name == "length" => other.items().map(length),
            other => other.item(index(name)?),
        }
    }

    /// `==`
    pub(crate) fn loosely_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Str(a), Self::Str(b)) => a == b,
            (a, b) if a.is_compound() && b.is_compound() => a.is_same(b),
            (a, Self::Str(b)) if a.is_compound() => a.text() == *b,
            (Self::Str(a), b) if b.is_compound() => b.text() == *a,
            (a, b) => a.number() == b.number(),
        }
    }

    /// `===`
    pub(crate) fn strictly_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Num(a), Self::Num(b)) => a.float() == b.float(),
            (Self::Str(a), Self::Str(b)) => a == b,
            (a, b) => a.is_compound() && a.is_same(b),
        }
    }

    /// `<` and the like; `None`: they cannot be compared, so that each is false.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.comparable_text(), other.comparable_text()) {
            // By UTF-16, which is not the order of the characters beyond the first 65,536.
            (Some(a), Some(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
            _ => self.number().partial_cmp(&other.number()),
        }
    }

    /// Texts are compared as such, and so is what can only be taken for one.
    fn comparable_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Str(text) => Some(Cow::Borrowed(text)),
            other => other.is_compound().then(|| other.text()),
        }
    }

    fn is_compound(&self) -> bool {
        matches!(self, Self::Json(_) | Self::List(_) | Self::Map(_))
    }

    /// Whether both are the very same array or object; equal ones are not.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(a), Self::Json(b)) => std::ptr::eq(*a, *b),
            (Self::List(a), Self::List(b)) => Rc::ptr_eq(a, b),
            (Self::Map(a), Self::Map(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Num(Num::Signed(whole)) => Value::from(*whole),
            Self::Num(Num::Unsigned(whole)) => Value::from(*whole),
            Self::Num(Num::Float(float)) => float_to_json(*float),
            Self::Str(text) => Value::from(&**text),
            Self::Json(value) => (*value).clone(),
            Self::List(items) => items.iter().map(Val::to_json).collect(),
            Self::Map(members) => {
                let json = members.iter().map(|(name, value)| (name.to_string(), value.to_json()));
                Value::Object(json.collect())
            }
        }
    }
}

fn length(count: usize) -> Val<'static> {
    Val::Num(Num::Unsigned(count.try_into().unwrap_or(u64::MAX)))
}

/// JSON has neither NaN nor infinities, and no difference between 1 and 1.0.
fn float_to_json(float: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only what is whole and small enough comes here")]
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Value::from(float as i64);
    }
    Value::from(float)
}
