//! The servers that are measured.

pub(crate) mod etcd;
pub(crate) mod floor;
pub(crate) mod floor_server;
pub(crate) mod hub;
pub(crate) mod nats;
