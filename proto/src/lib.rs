//! The wire protocol of confhub and its meaning.
//!
//! The hub and its SDKs know each other through this crate alone. It holds the
//! messages of `confhub.v1` ([`wire`]) and, as pure functions that both sides
//! call, what they mean: what an [`Entry`] is, how a [`State`] is named by its
//! [`Digest`], what an [`Update`] does to a state, and how an update travels in
//! frames ([`frame`]).
//!
//! There is no I/O here, no clock and no randomness.

mod digest;
mod entry;
pub mod flagd;
pub mod frame;
pub mod limits;
mod name;
pub mod retry;
mod state;
mod update;
pub mod url;
pub mod wire;

pub use bytes::Bytes;
pub use digest::{Cursor, CursorError, Digest};
pub use entry::{Content, ContentError, Entry, EntryError};
pub use name::{Key, NameError, Prefix, ServiceName, TenantId};
pub use state::State;
pub use update::{Commit, Update};
