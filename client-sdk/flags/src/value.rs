//! Values of flags, and what an evaluation says beside one.

use crate::logic::Num;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// Metadata of a flag: texts, numbers and truth values by name.
pub type Metadata = Map<String, Value>;

/// The value of a variant. Cloning costs nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FlagValue {
    /// True or false.
    Boolean(bool),
    /// A whole number, however it is written.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    String(Arc<str>),
    /// An object; or an array, which some evaluators take.
    Object(Arc<Value>),
}

impl FlagValue {
    /// `None`: null, which is no value.
    pub(crate) fn new(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => match Num::from(number) {
                Num::Signed(whole) => Self::Integer(whole),
                other => Self::Float(other.float()),
            },
            Value::String(text) => Self::String(text.as_str().into()),
            object => Self::Object(Arc::new(object.clone())),
        })
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Boolean(value) => Value::from(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::String(value) => Value::from(&**value),
            Self::Object(value) => (**value).clone(),
        }
    }

    /// What it is called where a type does not fit.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Object(_) => "object",
        }
    }
}

/// A type that programs ask flags for.
///
/// Numbers fit as far as nothing is lost: `10.0` is an integer and `10` a float, and
/// `3.14` is no integer.
pub trait FromFlag: Sized + private::Sealed {
    /// What it is called where a flag's type does not fit.
    const TYPE: &'static str;

    /// `None`: the value is of another type.
    fn from_flag(value: &FlagValue) -> Option<Self>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for bool {}
    impl Sealed for i64 {}
    impl Sealed for f64 {}
    impl Sealed for std::sync::Arc<str> {}
    impl Sealed for std::sync::Arc<serde_json::Value> {}
    impl Sealed for super::FlagValue {}
    impl Sealed for Option<super::FlagValue> {}
}

/// Whole numbers up to this one are floats without a loss.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl FromFlag for bool {
    const TYPE: &'static str = "boolean";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        match value {
            FlagValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromFlag for i64 {
    const TYPE: &'static str = "integer";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        match value {
            FlagValue::Integer(value) => Some(*value),
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            FlagValue::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => Some(*value as Self),
            _ => None,
        }
    }
}

impl FromFlag for f64 {
    const TYPE: &'static str = "float";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        match value {
            FlagValue::Float(value) => Some(*value),
            FlagValue::Integer(value) => {
                Some(Num::Signed(*value).float()).filter(|float| float.abs() <= EXACT)
            }
            _ => None,
        }
    }
}

impl FromFlag for Arc<str> {
    const TYPE: &'static str = "string";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        match value {
            FlagValue::String(value) => Some(Self::clone(value)),
            _ => None,
        }
    }
}

impl FromFlag for Arc<Value> {
    const TYPE: &'static str = "object";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        match value {
            FlagValue::Object(value) => Some(Self::clone(value)),
            _ => None,
        }
    }
}

impl FromFlag for FlagValue {
    const TYPE: &'static str = "any";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        Some(value.clone())
    }
}

/// Whatever there is, or nothing as the default of the code.
impl FromFlag for Option<FlagValue> {
    const TYPE: &'static str = "any";

    fn from_flag(value: &FlagValue) -> Option<Self> {
        Some(Some(value.clone()))
    }
}

/// Why a flag has the value that it has, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The flag has no rule: its default variant.
    Static,
    /// The rule named the variant.
    TargetingMatch,
    /// The rule named none: the default variant, or the default of the code.
    Default,
    /// The flag is disabled: the default of the code.
    Disabled,
    /// It could not be evaluated: the default of the code.
    Error,
}

impl Reason {
    /// As OpenFeature spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Default => "DEFAULT",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of error it is, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no state to evaluate with yet.
    ProviderNotReady,
    /// There is no such flag.
    FlagNotFound,
    /// The flag's definition is bad, and there was no good one before.
    ParseError,
    /// The flag is of another type than was asked for.
    TypeMismatch,
    /// What cannot be evaluated without a targeting key got none. No flag of flagd's is of
    /// that kind: without a key, `fractional` names no variant.
    TargetingKeyMissing,
    /// The context is none.
    InvalidContext,
    /// Anything else, such as a rule that names a variant which does not exist.
    General,
}

impl ErrorCode {
    /// As OpenFeature spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderNotReady => "PROVIDER_NOT_READY",
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::ParseError => "PARSE_ERROR",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::InvalidContext => "INVALID_CONTEXT",
            Self::General => "GENERAL",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a flag could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct EvaluationError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// The value of a flag with all that there is to know about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Details<T> {
    /// The value; the default of the code if no variant was chosen.
    pub value: T,
    /// The variant; `None`: the value is the default of the code.
    pub variant: Option<Arc<str>>,
    /// Why it is this value.
    pub reason: Reason,
    /// What went wrong, if the reason is [`Reason::Error`].
    pub error: Option<EvaluationError>,
    /// Metadata of the flag, over that of all flags.
    pub metadata: Arc<Metadata>,
}

impl<T> Details<T> {
    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Details<U> {
        let Self { value, variant, reason, error, metadata } = self;
        Details { value: change(value), variant, reason, error, metadata }
    }
}
