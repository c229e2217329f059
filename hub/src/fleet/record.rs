//! What a hub tells the others of its instances of one tenant.
//!
//! The records stand under the hub's own tenant and as entries of a service, so that
//! whoever follows other records does not see these: `access_fleet_{hub}_{tenant}`, and
//! `access_fleet_{hub}` to show that the hub lives.

use super::crew::{About, Listed};
use super::{InstanceId, Problem, Report};
use crate::source::Address;
use crate::tenant::View;
use confhub_proto::{Digest, Key, Prefix, ServiceName, TenantId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How the keys of these records begin.
const KEYS: &str = "access_fleet_";

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) instances: Vec<Told>,
}

/// One instance. What says nothing is left out: each kilobyte costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sdk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<std::net::SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prefixes: Vec<String>,
    since_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    away: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<ToldReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ToldReport {
    at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    refused: String,
}

impl From<&Listed> for Told {
    fn from(listed: &Listed) -> Self {
        let Listed { id, about, view, connected_at, away, report } = listed;
        let report = report.as_ref().map(|(report, at)| ToldReport {
            at_ms: ms(*at),
            cursor: report.cursor.map(|cursor| hex(&cursor.to_bytes())),
            problems: report.problems.iter().map(|one| (one.key.clone(), one.reason.clone())).collect(),
            refused: report.refused.to_string(),
        });
        Self {
            id: hex(&id.0),
            name: about.name.clone(),
            version: about.version.clone(),
            sdk: about.sdk.clone(),
            address: about.address,
            service: view.service().map(ToString::to_string),
            prefixes: view.prefixes().iter().map(ToString::to_string).collect(),
            since_ms: ms(*connected_at),
            away: *away,
            report,
        }
    }
}

impl Told {
    /// Its id, as the record has it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The instance; `None`: the record makes no sense.
    pub(super) fn listed(&self) -> Option<Listed> {
        let service = self.service.as_deref().map(ServiceName::new).transpose().ok()?;
        let prefixes: Vec<_> =
            self.prefixes.iter().map(|prefix| Prefix::new(prefix).ok()).collect::<Option<_>>()?;
        let report = match &self.report {
            None => None,
            Some(told) => {
                let cursor = match &told.cursor {
                    None => None,
                    Some(cursor) => Digest::from_wire(&unhex(cursor)?).ok()?,
                };
                let problem =
                    |(key, reason): &(String, String)| Problem { key: key.clone(), reason: reason.clone() };
                let problems = told.problems.iter().map(problem).collect();
                Some((Report { cursor, problems, refused: told.refused.as_str().into() }, time(told.at_ms)))
            }
        };
        Some(Listed {
            id: InstanceId::from_slice(&unhex(&self.id)?)?,
            about: Arc::new(About {
                name: self.name.clone(),
                version: self.version.clone(),
                sdk: self.sdk.clone(),
                address: self.address,
            }),
            view: View::new(service, prefixes),
            connected_at: time(self.since_ms),
            away: self.away,
            report,
        })
    }
}

/// The service that the records are of.
fn service() -> ServiceName {
    ServiceName::new("fleet").unwrap_or_else(|_| unreachable!("a constant within the alphabet"))
}

/// What the records can be seen by.
pub(super) fn view() -> View {
    let prefix = Prefix::new(KEYS).unwrap_or_else(|_| unreachable!("a constant within the alphabet"));
    View::new(Some(service()), vec![prefix])
}

/// Where the record of a hub and a tenant stands, or that of the hub itself.
pub(super) fn address(hub: &str, tenant: Option<&TenantId>) -> Option<Address> {
    let key = match tenant {
        Some(tenant) => Key::new(&format!("{KEYS}{hub}_{tenant}")),
        None => Key::new(&format!("{KEYS}{hub}")),
    };
    Some(Address { service: Some(service()), key: key.ok()? })
}

/// Whose record stands at a key.
pub(super) fn place(key: &Key) -> Option<(String, Option<TenantId>)> {
    let rest = key.as_str().strip_prefix(KEYS)?;
    match rest.split_once('_') {
        Some((hub, tenant)) => Some((hub.to_owned(), Some(TenantId::new(tenant).ok()?))),
        None => Some((rest.to_owned(), None)),
    }
}

/// Milliseconds since 1970.
pub(super) fn ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_read_as_it_was_told() {
        let about = About {
            name: "cart-1".to_owned(),
            version: "1.2".to_owned(),
            sdk: String::new(),
            address: Some(([10, 0, 0, 1], 5).into()),
        };
        let problems = [Problem { key: "tenant_config_a".to_owned(), reason: "no number".to_owned() }].into();
        let report = Report { cursor: Some(Digest::default()), problems, refused: "too large".into() };
        let service = ServiceName::new("cart").unwrap();
        let listed = Listed {
            id: InstanceId([7; 16]),
            about: Arc::new(about),
            view: View::new(Some(service), vec![Prefix::new("tenant_config_").unwrap()]),
            connected_at: time(5),
            away: true,
            report: Some((report, time(9))),
        };
        let bare = Listed { report: None, view: View::new(None, Vec::new()), away: false, ..listed.clone() };
        for listed in [listed, bare] {
            let text = serde_json::to_string(&Told::from(&listed)).unwrap();
            let told: Told = serde_json::from_str(&text).unwrap();
            assert_eq!(told.listed(), Some(listed), "{text}");
        }
        let tenant = TenantId::new("a_b").unwrap();
        for tenant in [Some(tenant), None] {
            let address = address("00ff", tenant.as_ref()).unwrap();
            assert_eq!(place(&address.key), Some(("00ff".to_owned(), tenant)));
        }
    }

    #[test]
    fn what_makes_no_sense_is_nobody() {
        for bad in [r#"{"id":"00","since_ms":1}"#, r#"{"id":"zz","since_ms":1}"#] {
            assert_eq!(serde_json::from_str::<Told>(bad).unwrap().listed(), None, "{bad}");
        }
    }
}
