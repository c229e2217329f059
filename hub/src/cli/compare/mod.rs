//! A document beside a hub: what differs, and the writes that make the hub
//! agree.
//!
//! Files are read and checked before the hub is asked anything, and everything
//! is compared before anything is written.

mod batch;
mod plan;
mod routes;
mod secrets;

pub(crate) use batch::split;
pub(crate) use plan::{Difference, Plan, Step, check, compare};
pub(crate) use routes::Routes;

use super::document::{self, Address, Document, DocumentError, Item, Naming, address};
use super::error::CliError;
use super::file;
use super::hub::Hub;
use confhub_proto::{Entry, Prefix, wire};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Files as they were read.
#[derive(Debug)]
pub(crate) struct Files {
    naming: Naming,
    files: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Reads and checks files.
    pub(crate) fn open(paths: &[PathBuf], prefix: Option<Prefix>) -> Result<Self, CliError> {
        let mut files = Vec::new();
        for path in paths {
            files.push(file::read_or_stdin(path, document::DOCUMENT_BYTES)?);
        }
        Self::new(files, prefix)
    }

    /// Checks files that are already in memory, each with its name.
    pub(crate) fn new(files: Vec<(String, Vec<u8>)>, prefix: Option<Prefix>) -> Result<Self, CliError> {
        let files = Self { naming: Naming::offline(prefix), files };
        files.merge(&files.naming)?;
        Ok(files)
    }

    /// What they say, with the prefixes that the hub knows.
    pub(crate) fn document(&self, routes: &Routes) -> Result<Document, CliError> {
        Ok(self.merge(&self.naming.with_known(routes.prefixes()))?)
    }

    fn merge(&self, naming: &Naming) -> Result<Document, DocumentError> {
        let mut all = Document::new();
        let mut from: BTreeMap<Address, &str> = BTreeMap::new();
        for (name, bytes) in &self.files {
            for (address, item) in document::read(name, bytes, naming)? {
                if let Some(other) = from.insert(address.clone(), name) {
                    return Err(DocumentError {
                        file: name.clone(),
                        line: 1,
                        column: 1,
                        path: String::new(),
                        reason: format!("`{address}` is in {other} too"),
                    });
                }
                all.insert(address, item);
            }
        }
        Ok(all)
    }
}

/// Compares a document with a hub. Entries that the document lacks count as
/// removed if `in_scope` says so.
pub(crate) async fn with_hub(
    hub: &Hub,
    document: &Document,
    in_scope: impl Fn(&Address) -> bool,
) -> Result<Plan, CliError> {
    let entries: BTreeMap<Address, Entry> =
        hub.list(Vec::new()).await?.into_iter().map(|entry| (address(&entry), entry)).collect();
    let to_reveal = document.iter().filter_map(|(address, item)| match item {
        Item::Content(content) if content.secret => {
            entries.get(address).filter(|entry| entry.is_secret()).map(|_| address.clone())
        }
        _ => None,
    });
    let values = secrets::reveal(hub, to_reveal.collect()).await?;
    Ok(compare(document, &entries, &values, in_scope))
}

/// The hub's answer to `Status`.
pub(crate) async fn status(hub: &Hub) -> Result<wire::StatusResponse, CliError> {
    hub.call("status", hub.admin().status(wire::StatusRequest {})).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_in_two_files_is_refused_with_both_names() {
        let file = |name: &str| (name.to_owned(), br#"{"shared": {"a": 1}}"#.to_vec());
        let error = Files::new(vec![file("one.json"), file("two.json")], None).unwrap_err().to_string();
        assert_eq!(error, "two.json:1:1: `a` is in one.json too");
        assert!(Files::new(vec![file("one.json")], None).is_ok());
    }
}
