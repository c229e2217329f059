//! Limits that both ends of the wire rely on, each with its unit and reason.
//!
//! The hub has further limits of its own, which are settings; these are part of
//! the protocol.

/// Longest key, in bytes. Parameter Store and DynamoDB both take it with the
/// tenant and the service in front.
pub const KEY_BYTES: usize = 256;

/// Longest tenant or service name, in bytes. A UUID has 36.
pub const NAME_BYTES: usize = 64;

/// Longest media type, in bytes: the longest registered ones have about 90.
pub const CONTENT_TYPE_BYTES: usize = 128;

/// Largest value that any hub may be set to accept, in bytes, so that one entry
/// always fits into one frame. DynamoDB's own limit is 400 KB.
pub const VALUE_BYTES: usize = 512 * 1024;

/// Frames are filled up to this size, in bytes; only a single entry larger than
/// this makes a larger one, so that every frame stays under [`FRAME_BYTES`].
pub const FRAME_TARGET_BYTES: usize = 256 * 1024;

/// No frame is larger, in bytes. Well below the 4 MiB at which gRPC clients
/// refuse a message unless told otherwise.
pub const FRAME_BYTES: usize = 1024 * 1024;

/// Most prefixes in one view: each is compared with every changed key.
pub const VIEW_PREFIXES: usize = 16;

/// Most keys in one `BatchGet`: what one read of DynamoDB takes.
pub const BATCH_GET_KEYS: usize = 100;

/// Values of a single answer are cut off at this size, in bytes, so that every
/// gRPC client can read it with its default limit of 4 MiB.
pub const RESPONSE_BYTES: usize = 3 * 1024 * 1024;

/// Most changes in one `Apply`: bounds the transaction and its commit.
pub const APPLY_CHANGES: usize = 1_000;

/// Largest request body, in bytes: an `Apply` of large values.
pub const REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Longest field of `ClientInfo`, in bytes.
pub const CLIENT_INFO_BYTES: usize = 128;

/// Largest `authorization` header, in bytes. Tokens with many groups reach 4 KiB.
pub const TOKEN_BYTES: usize = 8 * 1024;
