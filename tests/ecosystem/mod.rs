//! flagd's own in-process providers, as they are published, against a hub.
//!
//! They are fetched on first use, as the tests of the flags' crate do.

mod process;
mod providers;

#[path = "../../client-sdk/flags/tests/ecosystem/packages.rs"]
#[allow(dead_code, reason = "the tests of the flags' crate use more of it")]
mod packages;
