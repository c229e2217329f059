//! A compiled rule.

use super::fractional::Fractional;
use super::version::SemVer;
use serde_json::Value;

/// A part of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// A literal.
    Constant(Value),
    /// An array with rules in it.
    List(Box<[Expr]>),
    /// `var` with a literal path and no default.
    Variable(Path),
    /// An operator with its arguments.
    Call(Operator, Box<[Expr]>),
    /// `sem_ver`
    SemVer(Box<SemVer>),
    /// `fractional`
    Fractional(Box<Fractional>),
}

/// What a variable means.
#[derive(Debug, Clone)]
pub(crate) enum Path {
    /// Everything.
    Whole,
    /// The targeting key.
    TargetingKey,
    /// The name of the flag.
    FlagKey,
    /// Seconds since 1970.
    Timestamp,
    /// One step after the other.
    Steps(Box<[Box<str>]>),
}

impl Path {
    /// The path that a text is. Names of flagd mean something only where the
    /// context itself is looked at, not an item of an array.
    pub(crate) fn new(text: &str, in_root: bool) -> Self {
        match text {
            "" => Self::Whole,
            "targetingKey" if in_root => Self::TargetingKey,
            "$flagd.flagKey" if in_root => Self::FlagKey,
            "$flagd.timestamp" if in_root => Self::Timestamp,
            text => Self::Steps(text.split('.').map(Box::from).collect()),
        }
    }
}

/// What arguments an operator takes by the published schema. Evaluation takes any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// Whether one may stand without an array.
    pub(crate) or_bare: bool,
}

const fn arguments(least: usize, most: usize) -> Option<Arguments> {
    Some(Arguments { least, most, or_bare: false })
}

/// Exactly one.
const ONE: Option<Arguments> = Some(Arguments { least: 1, most: 1, or_bare: true });

/// As many as there are.
const ANY: usize = usize::MAX;

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $arguments:expr;)*) => {
        /// An operator, but for those with an expression of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operator {
            $($(#[$doc])* $name,)*
        }

        impl Operator {
            /// The operator of that name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// What arguments it takes; `None`: the schema does not know it, or has more to
            /// say of it than their number.
            pub(crate) fn arguments(self) -> Option<Arguments> {
                match self {
                    $(Self::$name => $arguments,)*
                }
            }
        }
    };
}

operators! {
    Equals = "==", arguments(2, 2);
    StrictlyEquals = "===", arguments(2, 2);
    Differs = "!=", arguments(2, 2);
    StrictlyDiffers = "!==", arguments(2, 2);
    Above = ">", arguments(2, 2);
    AtLeast = ">=", arguments(2, 2);
    Below = "<", arguments(2, 3);
    AtMost = "<=", arguments(2, 3);
    Truthy = "!!", ONE;
    Not = "!", ONE;
    Modulo = "%", arguments(2, 2);
    /// The reference prints its argument, which is no business of a flag: it is merely
    /// handed on.
    Log = "log", None;
    In = "in", arguments(2, 2);
    Cat = "cat", arguments(1, ANY);
    Substr = "substr", arguments(2, 3);
    Add = "+", arguments(1, ANY);
    Multiply = "*", arguments(2, ANY);
    Subtract = "-", arguments(1, ANY);
    Divide = "/", arguments(2, 2);
    Min = "min", arguments(1, ANY);
    Max = "max", arguments(1, ANY);
    Merge = "merge", arguments(1, ANY);
    Var = "var", None;
    Missing = "missing", None;
    MissingSome = "missing_some", None;
    If = "if", arguments(1, ANY);
    Ternary = "?:", None;
    And = "and", arguments(1, ANY);
    Or = "or", arguments(1, ANY);
    Filter = "filter", arguments(2, 2);
    Map = "map", arguments(2, 2);
    Reduce = "reduce", arguments(3, 3);
    All = "all", arguments(2, 2);
    None = "none", arguments(2, 2);
    Some = "some", arguments(2, 2);
    StartsWith = "starts_with", None;
    EndsWith = "ends_with", None;
}

impl Operator {
    /// Whether the arguments from the second on are about items of the first.
    pub(crate) fn iterates(self) -> bool {
        matches!(self, Self::Filter | Self::Map | Self::Reduce | Self::All | Self::None | Self::Some)
    }
}
