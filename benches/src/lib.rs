//! What the figures of confhub are made with: real input, interleaved rounds,
//! medians with their ranges, and servers in processes of their own.
//!
//! `README.md` beside this crate has the commands and the figures. The programs
//! are `micro` (what one read and one update cost in a process), `load` (what a
//! delivery costs a hub), `guard` (what attackers and neighbours can do to it)
//! and `aws` (what the hub does on AWS's protocols). A ratio of two things
//! measured in one run, in turn, survives a busy machine; a figure alone does not.

pub mod connection;
pub mod counts;
pub mod hub;
pub mod input;
pub mod latency;
pub mod messages;
pub mod place;
pub mod process;
pub mod server;
pub mod summary;

/// What ends a benchmark early: there is nobody to handle it but the reader.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result that only the reader handles.
pub type Result<T, E = Error> = std::result::Result<T, E>;
