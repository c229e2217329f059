//! The hub: it holds the configuration of the tenants that somebody listens to,
//! and streams every change of it.
//!
//! The rooms stand in the order in which a change travels; `ARCHITECTURE.md`
//! walks one through them and says which room knows which. `app` puts them
//! together. The hub knows the SDK through the wire alone; only [`cli`], which is
//! a client itself, uses it.

pub mod clock;
pub mod limits;

pub mod source;

pub mod backend;

pub mod tenant;

pub mod fanout;

mod flagd;

pub mod fleet;

pub mod grpc;

#[cfg(any(feature = "aws", feature = "fuzzing"))]
pub mod aws;

pub mod auth;

pub mod admission;

pub mod rollout;

pub mod audit;

mod agent;
pub mod app;
pub mod cli;
pub mod config;
mod flag_writes;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod key_file;
pub mod memory;
pub mod metrics;
pub mod ofrep;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
mod url;
