//! What flagd's in-process providers are told: which flags somebody asks for, and the one
//! document that all who ask for the same are sent.
//!
//! The hub serves it from the tenants in memory (`grpc/flags.rs`), the agent from a client's
//! state. Nothing here knows of either, of tenants or of tokens.

mod selector;
mod sheet;

pub(crate) use selector::Selector;
pub(crate) use sheet::{Sheet, TooLarge};
