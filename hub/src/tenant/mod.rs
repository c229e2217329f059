//! One owner for each loaded tenant.
//!
//! A tenant is loaded when somebody first listens, and dropped when nobody has
//! for a while. In between its `owner` alone changes what the hub holds of
//! it: hints and sweeps only ask the owner to read again. [`Tenants`] is the
//! handle that everyone else has; it answers "follow this view from this
//! cursor" in one step, with no gap.

mod desk;
mod entries;
mod lane;
mod owner;
mod pace;
mod pending;
mod reads;
mod registry;
mod seat;
mod view;

pub use entries::Change;
pub use lane::Sweep;
pub use registry::{DriftCauses, FollowError, Tenants};
pub use seat::{Listener, TenantStatus};
pub use view::View;

#[cfg(test)]
mod tests;
