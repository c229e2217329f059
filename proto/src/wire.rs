//! The messages and services of `confhub.v1`, generated from
//! `proto/confhub/v1/confhub.proto` by `cargo run -p confhub-proto-codegen`.
//!
//! `Subscribe` and `GetSnapshot` have no generated server: the hub answers them
//! with frames that are encoded once and shared by all streams of a view.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::too_many_lines,
    clippy::doc_markdown,
    clippy::derive_partial_eq_without_eq,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file has the documentation"
)]

include!("gen/confhub.v1.rs");

/// The file descriptor set of `confhub.v1`, for gRPC server reflection.
#[cfg(feature = "server")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/confhub.v1.bin");

/// Path of the `Subscribe` method.
pub const SUBSCRIBE_PATH: &str = "/confhub.v1.ConfigService/Subscribe";

/// Path of the `GetSnapshot` method.
pub const GET_SNAPSHOT_PATH: &str = "/confhub.v1.ConfigService/GetSnapshot";

/// Metadata of a PERMISSION_DENIED that says why in one word: `revoked` (the token
/// will never do), `suspended` or `unknown-tenant` (an operator may change it).
pub const REASON_METADATA: &str = "confhub-reason";

impl std::fmt::Debug for Entry {
    /// Shows everything but the value, which may be anything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("service", &self.service)
            .field("version", &self.version)
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Content {
    /// Shows the size of the value, never the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("value_bytes", &self.value.len())
            .field("content_type", &self.content_type)
            .field("secret", &self.secret)
            .finish()
    }
}
