//! The file's bytes.
//!
//! ```text
//! 8 bytes   "confhub" and a zero
//! 4 bytes   version of this format, big-endian
//! 32 bytes  BLAKE3 of all that follows
//! …         a Header, then Updates that together are a reset to the state;
//!           each message with its length in front, as protobuf does it
//! ```
//!
//! The updates are those that a hub would send (`confhub_proto::frame`), so the
//! file is read by what reads the stream, with the same checks.

use crate::credentials::Marks;
use crate::worker::{Good, Origin};
use confhub_proto::frame::{Assembler, FrameError, split};
use confhub_proto::{State, Update, wire};
use prost::Message;
use std::sync::Arc;
use std::time::SystemTime;

const MAGIC: &[u8; 8] = b"confhub\0";
const VERSION: u32 = 1;

/// Whose state it is.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    tenant: String,
    /// The service whose view the hub streamed.
    #[prost(string, tag = "2")]
    service: String,
    /// The service that the client asked for.
    #[prost(string, tag = "3")]
    requested_service: String,
    #[prost(string, repeated, tag = "4")]
    prefixes: Vec<String>,
    /// Who issued the token that the state was got with.
    #[prost(string, tag = "5")]
    issuer: String,
    /// Where that token names the tenant, and where the service.
    #[prost(string, repeated, tag = "6")]
    tenant_claims: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    service_claims: Vec<String>,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) good: Good,
    pub(super) requested_service: String,
    pub(super) prefixes: Vec<String>,
}

/// Bytes that are no such file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is no state file of confhub")]
    Foreign,
    #[error("it has format version {0}, and this client knows {VERSION}")]
    Version(u32),
    #[error("it is damaged: the checksum differs")]
    Checksum,
    #[error("it is damaged: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("it is damaged: {0}")]
    Update(#[from] FrameError),
    #[error("it is damaged: {0}")]
    Content(&'static str),
}

/// The bytes of a state. The time of saving is that of the commit, as the hub
/// told it: the age of the state, not of the file.
pub(super) fn encode(good: &Good, requested_service: &str, prefixes: &[String]) -> Vec<u8> {
    let header = Header {
        tenant: good.origin.tenant.clone(),
        service: good.origin.service.clone(),
        requested_service: requested_service.to_owned(),
        prefixes: prefixes.to_vec(),
        issuer: good.marks.issuer.clone(),
        tenant_claims: good.marks.tenant.clone(),
        service_claims: good.marks.service.clone(),
    };
    let mut payload = header.encode_length_delimited_to_vec();
    for frame in split(&Update::reset(&good.state, good.hub_time)) {
        if let Some(wire::frame::Kind::Update(part)) = frame.kind {
            payload.extend(part.encode_length_delimited_to_vec());
        }
    }
    let mut bytes = Vec::with_capacity(MAGIC.len() + 36 + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(blake3::hash(&payload).as_bytes());
    bytes.extend(payload);
    bytes
}

/// Reads them again.
pub(super) fn decode(bytes: &[u8], max_bytes: usize) -> Result<Saved, FormatError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(FormatError::Foreign)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(FormatError::Checksum)?;
    let version = u32::from_be_bytes(*version);
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    let (checksum, mut payload) = rest.split_first_chunk::<32>().ok_or(FormatError::Checksum)?;
    if blake3::hash(payload) != *checksum {
        return Err(FormatError::Checksum);
    }
    let header = Header::decode_length_delimited(&mut payload)?;
    let mut assembler = Assembler::new(max_bytes);
    let update = loop {
        let part = wire::Update::decode_length_delimited(&mut payload)?;
        if let Some(update) = assembler.push(part)? {
            break update;
        }
    };
    let state = State::default().commit(&update);
    if !update.reset || !payload.is_empty() {
        return Err(FormatError::Content("it is not one whole state"));
    }
    if state.digest() != update.commit.cursor {
        return Err(FormatError::Content("the state is not the one that it names"));
    }
    let origin = Origin { tenant: header.tenant, service: header.service };
    let marks = Marks { issuer: header.issuer, tenant: header.tenant_claims, service: header.service_claims };
    let hub_time: SystemTime = update.commit.hub_time;
    Ok(Saved {
        good: Good { origin, marks: Arc::new(marks), state: Arc::new(state), hub_time },
        requested_service: header.requested_service,
        prefixes: header.prefixes,
    })
}
