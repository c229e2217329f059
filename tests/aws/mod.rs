//! The promises of a hub whose truth is in an AWS account.

mod delivery;
mod parameter_store;
