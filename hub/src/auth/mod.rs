//! Identity: who calls, for which tenant, and what they may do.
//!
//! Read from the validated token and from nowhere else.

mod identity;

pub use identity::{Identity, Role, Roles};
