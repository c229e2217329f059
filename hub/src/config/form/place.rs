//! Addresses, key locations and routes to backends.

use super::super::JwksLocation;
use super::super::source::Raw;
use super::{Form, Path, quoted, text};
use confhub_proto::Prefix;
use std::net::SocketAddr;

/// An address to listen on.
pub(in crate::config) struct Address;

impl Form for Address {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "an IP address with a port, such as `127.0.0.1:7600`, `0.0.0.0:7600` or `[::]:0`".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<SocketAddr, Option<String>> {
        text(raw).and_then(|text| text.parse().ok()).ok_or(None)
    }

    fn show(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }
}

/// Where keys are; empty: nowhere.
pub(in crate::config) struct Location;

impl Form for Location {
    type Value = Option<JwksLocation>;

    fn expected(&self) -> String {
        "an `https://` URL, an `http://` URL on loopback, or the path of a file (empty: none)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<JwksLocation>, Option<String>> {
        match text(raw).ok_or(None)? {
            "" => Ok(None),
            url if url.contains("://") => {
                crate::auth::check_jwks_url(url).map_err(Some)?;
                Ok(Some(JwksLocation::Url(url.to_owned())))
            }
            path => Ok(Some(JwksLocation::File(path.into()))),
        }
    }

    fn show(&self, value: &Option<JwksLocation>) -> String {
        match value {
            None => quoted(""),
            Some(JwksLocation::Url(url)) => quoted(url),
            Some(JwksLocation::File(path)) => Path.show(path),
        }
    }
}

/// Prefixes and their backends.
pub(in crate::config) struct Routes;

impl Form for Routes {
    type Value = Vec<(Prefix, String)>;

    fn expected(&self) -> String {
        "a table of key prefixes and backends, or `prefix=backend` with commas between them".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Self::Value, Option<String>> {
        let rows: Vec<(String, String)> = match raw {
            Raw::Table(rows) => rows.clone(),
            Raw::Text(text) => {
                let rows = text.split(',').map(|row| row.split_once('='));
                let rows = rows.map(|row| row.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned())));
                rows.collect::<Option<_>>().ok_or(None)?
            }
            _ => return Err(None),
        };
        let mut routes: Self::Value = Vec::new();
        for (prefix, backend) in rows {
            let prefix = Prefix::new(&prefix).map_err(|error| Some(error.to_string()))?;
            if routes.iter().any(|(known, _)| *known == prefix) {
                return Err(Some(format!("the prefix `{prefix}` is there twice")));
            }
            routes.push((prefix, backend));
        }
        if routes.is_empty() {
            return Err(Some("without a backend no key can be stored".to_owned()));
        }
        Ok(routes)
    }

    fn show(&self, value: &Self::Value) -> String {
        let row = |(prefix, backend): &(Prefix, String)| {
            format!("{} = {}", quoted(prefix.as_str()), quoted(backend))
        };
        format!("{{ {} }}", value.iter().map(row).collect::<Vec<_>>().join(", "))
    }
}
