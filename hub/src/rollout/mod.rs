//! Rollouts: a flag that is given to more and more users, one step after the other, for
//! as long as all goes well.
//!
//! A rollout is a record in the store, so it survives every hub. [`Rollout`] says, as a
//! pure function of what is seen, what comes next; the driver does it: one hub at a
//! time, which holds a lease in the record. Each change of the record is a write that
//! names the version that it expects, so that no two hubs, and no hub and operator, can
//! overwrite each other.
//!
//! The flag itself is written as anybody would, expecting the version that the rollout
//! has left. If somebody else has changed it, the rollout pauses, and never overwrites.
//!
//! Checks are the operator's: a hub runs no commands and calls no addresses that a
//! tenant names. The command that has started the rollout makes them, tells the hub of
//! each result, and is missed when it goes.

mod book;
mod drive;
mod driver;
mod model;
mod turn;

pub use book::{Book, RolloutError};
pub use driver::{Driver, Parts};
pub use model::{Check, Ending, Event, Lease, Ms, Phase, Plan, Rollout, State};
pub use turn::{Do, Fleet, Seen};

use std::time::Duration;

/// Most steps of a rollout.
pub const STEPS: usize = 20;

/// Longest hold of a step, and longest wait for a step to be applied.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Rollouts of a tenant that are under way at a time, paused ones included. Each costs
/// its driver a write every few seconds.
pub const UNDER_WAY: usize = 16;

/// Records of rollouts that a tenant has; the oldest that have ended go first. With their
/// events they are a megabyte.
pub const RECORDS: usize = 64;

/// Events that a record keeps: all of a rollout with 20 steps, and some pauses. However
/// they are spelled in JSON, a record stays below the 64 KiB of a value.
pub const EVENTS: usize = 70;

/// Longest text of an event or a reason, in bytes.
pub const TEXT_BYTES: usize = 256;

#[cfg(test)]
mod tests;
