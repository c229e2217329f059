//! Client of confhub: configuration and feature flags in memory, current
//! without polling.
//!
//! A [`Client`] holds one long-lived stream to a hub and keeps one tenant's
//! configuration in memory. Reads are look-ups in memory that never wait; a
//! change is there moments after it was written, with no restart and no
//! time-to-live to guess.
//!
//! ```no_run
//! use confhub_client::Client;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Limits {
//!     max_items: u32,
//! }
//!
//! # async fn run(token: String) -> Result<(), Box<dyn std::error::Error>> {
//! // Returns when there is a state to read.
//! let client = Client::builder()
//!     .endpoint("http://127.0.0.1:7600")
//!     .token(token)
//!     .service("checkout")
//!     .disk("/var/lib/checkout/confhub.state")
//!     .connect()
//!     .await?;
//!
//! // An entry: bytes, content type, version.
//! if let Some(entry) = client.get("tenant_config_kafka_addr") {
//!     println!("{:?} version {}", entry.value(), entry.version());
//! }
//!
//! // A value, parsed here and now.
//! let port: Option<u16> = client.get_as("tenant_config_port")?;
//!
//! // A value of your own type, parsed once per change, for what is read often.
//! let limits = client.typed::<Limits>("tenant_config_limits")?;
//! assert!(limits.load().max_items > 0);
//!
//! // Several keys at one moment.
//! let snapshot = client.snapshot();
//! println!("{} entries at {}", snapshot.len(), snapshot.digest());
//!
//! // The next change of one key; `None` if it is removed.
//! let mut watch = client.watch("tenant_config_kafka_addr");
//! let changed = watch.changed().await?;
//! # let _ = (port, changed);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Whole states.** What was written together becomes visible together. A
//!   [`snapshot`](Client::snapshot) never changes.
//! - **The hub's state.** After each update the client compares the digest of
//!   what it has with the hub's. If they differ, it shows the last good state,
//!   asks for everything anew, and counts it ([`Stats::healed`]).
//! - **Reads go on.** Without a hub the last good state is served, and
//!   [`Status::Stale`] says since when and why. The client comes back by itself,
//!   with pauses that grow and are drawn at random, to any of the addresses that
//!   its endpoints resolve to then, and resumes where it was: an unchanged state
//!   is not sent again.
//! - **A start without a hub**, with [`Builder::disk`]: from the last good state
//!   on disk, if it is whole and this tenant's. [`Status::Stale`] says how old it
//!   is.
//! - **One request for a token**, however many clients of a source ([`SharedTokens`])
//!   want one or were refused the same one, and none before a pause that grows while
//!   the source fails. Tokens come from files, commands and sources of your own, with
//!   the cargo feature `oauth2` also from an issuer.
//! - **Your code cannot break it.** It calls token sources, dialers and parsers
//!   under no lock, and their panics are failures of an attempt or of a value.
//! - **Fixed cost.** One task per client, and one connection, or a place on one
//!   that the clients of a [`Pool`] share. Nobody who follows changes has a queue:
//!   a reader that lags gets several changes as one.
//! - **Nothing goes uncounted.** A hub merges what is written while a client is slow or
//!   away, and a client what is written while a reader is: [`Stats`] tells how much was
//!   applied and how much was merged, and together they are all that was written. However
//!   fast updates come, reads and the program's other tasks go on.
//!
//! # What it is not
//!
//! It writes nothing; that is for operators and pipelines. It holds no secrets:
//! a secret entry has a key and a version and no value. And it is one tenant's:
//! which one, the token decides. A service for many tenants has a [`Pool`], which
//! opens a client for each when it is first needed.
//!
//! # When something is wrong
//!
//! | What | How it shows |
//! |---|---|
//! | the builder was told something impossible | [`Error::Config`], at once |
//! | neither hub nor disk has a state | [`Error::Timeout`], with the last reason |
//! | the hub refuses the caller at the start | [`Error::Closed`] |
//! | the hub revokes the right to listen | [`Status::Closed`]: for good |
//! | a pool is given another tenant's token | [`Closed::OtherTenant`], before anything is read |
//! | the token comes to name another tenant | [`Closed::IdentityChanged`]: for good |
//! | the hub is lost later | no error: [`Status::Stale`] until it is back |
//! | a value is not what the program expects | [`ValueError`]; a [`Typed`] handle keeps the last good one |
//!
//! # Features
//!
//! `tls` (default): `https://` endpoints, verified against the system's roots or
//! [a CA of your own](Builder::ca_file), with a [client
//! certificate](Builder::client_certificate_files) where the hub asks for one.
//! Without it, only `http://` to this machine, or with
//! [`Builder::allow_plaintext`].
//!
//! `oauth2`: tokens from an issuer. `openfeature`: a provider for the crate
//! `open-feature`, which knows OpenFeature's API.

// In the order in which a change travels, after what all of them use.
mod error;
mod limits;
mod stats;
mod status;

mod builder;
mod start;

mod backoff;
mod budget;
mod credentials;
mod endpoint;
mod view;
mod worker;

mod disk;
mod store;

mod client;
pub mod flags;
mod follow;
#[cfg(feature = "openfeature")]
pub mod openfeature;
mod pool;
mod snapshot;
mod value;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod test;

pub use builder::Builder;
pub use client::Client;
pub use confhub_proto::{
    Bytes, Content, ContentError, Cursor, CursorError, Entry, EntryError, Key, NameError, ServiceName,
    TenantId,
};
#[cfg(feature = "oauth2")]
pub use credentials::oauth2;
pub use credentials::{Issued, SharedTokens, TokenError, TokenRequest, TokenSource};
pub use endpoint::{Dialer, TcpDialer, explain};
pub use error::{Closed, ConfigError, Error, ValueError};
pub use follow::{ChangeStream, Changes, Loaded, Typed, Watch};
pub use pool::{Pool, PoolBuilder, PoolStats, TenantError, TenantState, TenantStatus, TenantTokens};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use status::{Failure, FailureKind, Status, StatusWatch};
pub use value::parse;
