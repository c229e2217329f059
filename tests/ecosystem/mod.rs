//! flagd's own in-process providers, and clients of OFREP, as they are published, against a hub.
//!
//! They are fetched on first use, as the tests of the flags' crate do.

mod ofrep;
mod process;
mod providers;

#[path = "../../client-sdk/flags/tests/ecosystem/packages.rs"]
#[allow(dead_code, reason = "the tests of the flags' crate use more of it")]
mod packages;
