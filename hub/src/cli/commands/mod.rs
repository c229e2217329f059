//! The operator's commands: each is a client of the hub's API, and nothing more;
//! `serve` and `token` are those that need none.

pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod put;
pub(crate) mod rollback;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod watch;

use super::error::CliError;
use confhub_proto::{Key, ServiceName};
use serde::Serialize;

/// The JSON of a write: what was written, and as which version.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    key: String,
    service: Option<String>,
    version: u64,
}

impl Written {
    fn new(key: &Key, service: Option<&ServiceName>, version: u64) -> Self {
        Self { key: key.to_string(), service: service.map(ToString::to_string), version }
    }

    fn text(&self, done: &str) -> String {
        let service =
            self.service.as_ref().map(|service| format!(" of service {service}")).unwrap_or_default();
        format!("{}{service}: {done} version {}", self.key, self.version)
    }
}

fn wire_service(service: Option<&ServiceName>) -> String {
    service.map(ToString::to_string).unwrap_or_default()
}

/// A name that a person typed: an error of it is one of usage.
fn key(text: &str) -> Result<Key, CliError> {
    Ok(Key::new(text)?)
}
