//! The messages and the client of `flagd.sync.v1`, generated from
//! `proto/flagd/sync/v1/sync.proto` by `cargo run -p confhub-proto-codegen`.
//!
//! There is no generated server: the hub answers with documents that are encoded once
//! and shared by all who follow the same flags.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::too_many_lines,
    clippy::doc_markdown,
    clippy::derive_partial_eq_without_eq,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file has the documentation"
)]

include!("gen/flagd.sync.v1.rs");

/// The file descriptor set of `flagd.sync.v1`, for gRPC server reflection.
#[cfg(feature = "server")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/flagd.sync.v1.bin");

/// What the paths of all methods begin with.
pub const PATHS: &str = "/flagd.sync.v1.FlagSyncService/";

/// Path of the `SyncFlags` method.
pub const SYNC_FLAGS_PATH: &str = "/flagd.sync.v1.FlagSyncService/SyncFlags";

/// Path of the `FetchAllFlags` method.
pub const FETCH_ALL_FLAGS_PATH: &str = "/flagd.sync.v1.FlagSyncService/FetchAllFlags";

/// Path of the `GetMetadata` method.
pub const GET_METADATA_PATH: &str = "/flagd.sync.v1.FlagSyncService/GetMetadata";

/// Metadata that says the same as `selector`, and goes first.
pub const SELECTOR_METADATA: &str = "flagd-selector";

/// Most bytes of a message that clients of gRPC take unless they are told otherwise:
/// providers are not.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
