//! Client of confhub: configuration and feature flags in memory, current
//! without polling.

mod backoff;
mod builder;
mod client;
mod credentials;
mod disk;
mod endpoint;
mod error;
mod follow;
mod limits;
mod start;
mod stats;
mod status;
mod store;
#[cfg(test)]
mod test;
mod value;
mod view;
mod worker;

pub use builder::Builder;
pub use client::Client;
pub use confhub_proto::{Bytes, Content, Cursor, Entry, Key, ServiceName, State};
pub use credentials::{TokenError, TokenSource};
pub use endpoint::{Dialer, TcpDialer};
pub use error::{Closed, ConfigError, Error, ValueError};
pub use follow::{ChangeStream, Changes, Loaded, Typed, Watch};
pub use stats::Stats;
pub use status::{Status, StatusWatch};
pub use value::parse;
