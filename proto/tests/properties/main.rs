//! What must hold for any states, updates and frames, not only for those that
//! somebody has thought of.

#![allow(unreachable_pub, missing_docs, reason = "nothing here is used from outside")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod any;

mod digest;
mod frame;
mod state;
mod update;
