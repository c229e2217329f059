//! Real input: the settings of a public shop of many services, as entries.

use crate::Result;
use bytes::Bytes;
use confhub_proto::{Content, Entry, Key, wire};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Settings of the OpenTelemetry demo shop (Apache-2.0).
const SERVICES: &str = include_str!("../../hub/demo/otel-demo.services.json");

/// One setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its key, `tenant_config_…`.
    pub key: Key,
    /// Its value, as JSON.
    pub value: Bytes,
}

/// The first `count` settings of the shop. Beyond those that it has, they come
/// again under another number, as the settings of one more shop would.
///
/// # Errors
/// If the data is not what it should be.
pub fn settings(count: usize) -> Result<Vec<Setting>> {
    let data: Value = serde_json::from_str(SERVICES)?;
    let shared = data["shared"].as_object().ok_or("`shared` is missing")?;
    let services = data["services"].as_object().ok_or("`services` is missing")?;
    let mut real: Vec<_> = shared.iter().map(|(name, value)| (name.clone(), value)).collect();
    for (service, settings) in services {
        let settings = settings.as_object().ok_or("a service has no settings")?;
        real.extend(settings.iter().map(|(name, value)| (format!("{service}.{name}"), value)));
    }
    let setting = |index: usize| {
        let (name, value) = &real[index % real.len()];
        let key = match index / real.len() {
            0 => format!("tenant_config_{name}"),
            shop => format!("tenant_config_shop-{shop}.{name}"),
        };
        Ok(Setting { key: Key::new(&key)?, value: value.to_string().into() })
    };
    (0..count).map(setting).collect()
}

impl Setting {
    /// The entry of this setting at a version.
    #[must_use]
    pub fn entry(&self, version: u64) -> Arc<Entry> {
        let content =
            Content { value: self.value.clone(), content_type: Content::JSON.into(), secret: false };
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Arc::new(Entry::new(self.key.clone(), None, content, version, modified))
    }

    /// The change that writes it.
    #[must_use]
    pub fn change(&self) -> wire::Change {
        wire::Change {
            key: self.key.as_str().to_owned(),
            action: Some(wire::change::Action::Put(json(self.value.clone()))),
            ..wire::Change::default()
        }
    }
}

/// A JSON value as a writer sends it.
#[must_use]
pub fn json(value: Bytes) -> wire::Content {
    wire::Content { value, content_type: Content::JSON.to_owned(), secret: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ten_thousand_settings_have_ten_thousand_keys() {
        let settings = settings(10_000).unwrap();
        let keys: HashSet<_> = settings.iter().map(|setting| &setting.key).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(settings.iter().all(|setting| serde_json::from_slice::<Value>(&setting.value).is_ok()));
    }
}
