//! The ecosystem's own suites and evaluators, against ours. What they bring is read
//! where their packages have it: nothing of it is copied here.
//!
//! They need Python 3.10 or later, and the package indices of Rust, Python and
//! JavaScript on first use.

#![allow(unreachable_pub, missing_docs, reason = "nothing here is used from outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod gherkin;
mod jsonlogic;
mod oracle;
mod packages;
mod random;
mod schema;
mod testbed;
