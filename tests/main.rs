//! The promises of the hub and the SDK, kept from outside: a module each.

#![allow(unreachable_pub, missing_docs, reason = "nothing here is used from outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

mod admission;
mod alerts;
mod atomic;
mod audit;
#[cfg(feature = "aws")]
mod aws;
mod bad_input;
mod bounds;
mod cli;
mod cli_help;
#[cfg(feature = "fuzzing")]
mod corpora;
mod crash;
mod delivery;
mod disk_full;
#[cfg(feature = "ecosystem")]
mod ecosystem;
mod flag_agent;
mod flag_commands;
mod flag_sync;
mod flag_writes;
mod flags;
mod fleet;
mod floods;
mod forged_tokens;
mod history;
mod identity;
mod idle_peers;
mod isolation;
mod issuers;
mod joining;
mod ofrep;
mod population;
mod reads;
mod resume;
mod rollout;
mod sdk_credentials;
mod sdk_moves;
mod sdk_pool;
mod sdk_rate;
mod sdk_reads;
mod sdk_reconnect;
mod sdk_start;
mod secret_leaks;
mod secrets;
mod serve;
mod shutdown;
mod slow_reader;
mod smuggling;
mod storage;
mod storms;
mod tls;
mod wire;
