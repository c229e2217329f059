//! The promises of a hub whose truth is in an AWS account.

mod admission;
mod changes;
mod commands;
mod dynamodb;
mod faults;
mod own_queue;
mod parameter_store;
mod reads;
mod reconcile;
mod secrets_manager;
mod several_hubs;
mod smuggling;
mod stack;
