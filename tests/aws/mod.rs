//! The promises of a hub whose truth is in an AWS account.

mod changes;
mod delivery;
mod dynamodb;
mod parameter_store;
mod secrets_manager;
