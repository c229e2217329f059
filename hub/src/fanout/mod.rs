//! Who listens and where they stand.
//!
//! A [`Topic`] is the present state of one view and a ring of what changed
//! lately. A [`Subscriber`] holds a position in it and nothing else: publishing
//! wakes, and each subscriber then pulls what leads from its position to the
//! present, in one merged difference. So a slow one falls behind alone, bursts
//! merge, memory per subscriber is fixed, and a difference is encoded once for
//! all that stand at the same place.
//!
//! Nothing here knows of tenants, tokens or gRPC calls.

mod frames;
mod ring;
mod subscriber;
mod topic;
mod waiting;

pub use frames::{Frames, message};
pub use ring::Position;
pub use subscriber::{Next, Subscriber};
pub use topic::{End, Topic};
pub use waiting::GroupWaker;
