//! Rules: JSONLogic with flagd's operators, compiled once and evaluated often.
//!
//! The operators mean what those of JSONLogic's reference (`json-logic-js`) mean,
//! JavaScript's conversions included. A compiled rule borrows from itself and
//! from the context, so that the common operators allocate nothing.

mod compile;
mod eval;
mod expr;
mod fractional;
mod hash;
mod iterate;
mod number;
mod text;
mod value;
mod version;

pub(crate) use compile::{Compiled, compile};
pub(crate) use eval::{Env, Scope, TooMuch};
pub(crate) use expr::{Arguments, Expr, Operator};
pub use fractional::HashVersion;
pub(crate) use fractional::weight;
pub(crate) use number::Num;
pub(crate) use value::Val;
pub(crate) use version::read as read_version;
