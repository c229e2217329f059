//! TLS on the hub's two ports.
//!
//! A certificate and its key are files, and so is the CA of the clients'
//! certificates if there is one. They are looked at again and again: what has
//! changed and is good is used from the next connection on, without a restart;
//! what is not good is said, counted and left alone. Connections that are open
//! keep what they were opened with.
//!
//! A handshake is driven by the task of its own connection, in its first reads
//! and writes, within a deadline: a peer that dawdles holds up nobody.
//!
//! A client's certificate says that its holder may connect. It is no identity:
//! which tenant calls, the token alone says.

mod acceptor;
mod current;
mod dev;
mod error;
mod failure;
mod io;
mod load;

pub use acceptor::{Acceptor, Listener};
pub use current::Tls;
pub use dev::{DevCa, DevCertificate, DevCertificateError};
pub use error::TlsError;
pub(crate) use failure::REASONS;
pub use io::Io;
pub(crate) use load::roots;
