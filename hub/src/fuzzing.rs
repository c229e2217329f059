//! Doors for `tests/fuzz` into parsers that are nobody else's business. Only with
//! the feature `fuzzing`, which no released binary has; each only hands on.

use crate::cli::document::{self, Address, Item, Naming};
use crate::grpc::{single, subscribe};
use bytes::Bytes;
use confhub_proto::{Content, Entry, Key, Prefix, ServiceName, wire};

/// The prefix that stands in for `--prefix`.
const PREFIX: &str = "tenant_config_";

/// What an import file says about one entry; no content is a secret whose value
/// it does not have.
pub type Imported = (Option<ServiceName>, Key, Option<Content>);

/// Reads an import file, as `import` and `diff` do.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn import(bytes: &[u8]) -> Result<Vec<Imported>, String> {
    let prefix = Prefix::new(PREFIX).map_err(|error| error.to_string())?;
    let naming =
        Naming::offline(Some(prefix)).with_known(vec![PREFIX.to_owned(), "param_config_".to_owned()]);
    let document = document::read("file", bytes, &naming).map_err(|error| error.to_string())?;
    let imported = |(Address { service, key }, item)| match item {
        Item::Content(content) => (service, key, Some(content)),
        Item::Marker => (service, key, None),
    };
    Ok(document.into_iter().map(imported).collect())
}

/// Writes entries as an import file.
///
/// # Errors
/// If they cannot be written as JSON, which would be a finding.
pub fn export(entries: &[Entry]) -> Result<Vec<u8>, String> {
    document::export(entries).map_err(|error| error.to_string())
}

/// Reads a file of changes, as `apply` does.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn changes(bytes: &[u8]) -> Result<Vec<wire::Change>, String> {
    document::changes("file", bytes).map_err(|error| error.to_string())
}

/// Whether a request's body that comes in these parts has at most one message.
#[must_use]
pub fn at_most_one_message(parts: &[&[u8]]) -> bool {
    single::check(parts)
}

/// The one message of a whole body, without its prefix.
///
/// # Errors
/// If there is none, more than one, or it is compressed.
pub fn unframed(body: Bytes) -> Result<Bytes, String> {
    subscribe::unframed(body).map_err(|status| status.message().to_owned())
}
