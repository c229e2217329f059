//! What is known of a secret without its value.

use crate::source::Address;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::{SecretListEntry, SecretVersionsListEntry};
use bytes::Bytes;
use confhub_proto::{Content, Entry};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The stage of the version that is in force.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// The stage of the version that was in force before.
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// The stage of a version that a rotation has not put into force yet.
const PENDING: &str = "AWSPENDING";

/// A secret.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The stages of each version, by its id.
    stages: HashMap<String, Vec<String>>,
    changed: SystemTime,
    /// It is scheduled for deletion.
    pub(super) deleted: bool,
}

/// A version of a secret.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) created: SystemTime,
    pub(super) stages: Vec<String>,
}

impl From<DescribeSecretOutput> for Known {
    fn from(secret: DescribeSecretOutput) -> Self {
        let DescribeSecretOutput {
            version_ids_to_stages, last_changed_date, created_date, deleted_date, ..
        } = secret;
        Self::new(version_ids_to_stages, last_changed_date.or(created_date), deleted_date)
    }
}

impl From<SecretListEntry> for Known {
    fn from(secret: SecretListEntry) -> Self {
        let SecretListEntry {
            secret_versions_to_stages, last_changed_date, created_date, deleted_date, ..
        } = secret;
        Self::new(secret_versions_to_stages, last_changed_date.or(created_date), deleted_date)
    }
}

impl Known {
    fn new(
        stages: Option<HashMap<String, Vec<String>>>,
        changed: Option<DateTime>,
        deleted: Option<DateTime>,
    ) -> Self {
        Self { stages: stages.unwrap_or_default(), changed: time(changed), deleted: deleted.is_some() }
    }

    /// The entry at `address` that this secret is. `None`: it is scheduled for
    /// deletion, or has no value yet.
    pub(super) fn entry(&self, address: &Address) -> Option<Entry> {
        let there = !self.deleted && self.staged(CURRENT).is_some();
        there.then(|| self.entry_of_type(address, Content::TEXT))
    }

    /// The same, by one who knows the type of its value.
    pub(super) fn entry_of_type(&self, address: &Address, content_type: &str) -> Entry {
        entry(address, self.changed, content_type)
    }

    /// The version of the entry; 0: there is none.
    pub(super) fn version(&self) -> u64 {
        if self.deleted || self.staged(CURRENT).is_none() { 0 } else { millis(self.changed) }
    }

    /// The id of the version with this stage.
    pub(super) fn staged(&self, stage: &str) -> Option<&str> {
        let staged = self.stages.iter().find(|(_, stages)| stages.iter().any(|of| of == stage));
        staged.map(|(id, _)| id.as_str())
    }

    /// Whether it has this version, with a stage.
    pub(super) fn has(&self, id: &str) -> bool {
        self.stages.contains_key(id)
    }

    /// The moment that numbers `version`: for the one in force, as the entry says
    /// it; for others, when they were made.
    pub(super) fn moment_of(&self, version: &Version) -> SystemTime {
        if self.staged(CURRENT) == Some(version.id.as_str()) { self.changed } else { version.created }
    }

    /// The version that was in force at the moment `number`, as far as can be
    /// told: the last one that had been made. `None`: that was before the first
    /// that is kept, or is yet to come.
    pub(super) fn at(&self, number: u64, versions: Vec<Version>) -> Option<Version> {
        if number > millis(self.changed) {
            return None;
        }
        let in_force = |version: &Version| !version.stages.iter().any(|stage| stage == PENDING);
        let made = versions.into_iter().filter(in_force);
        let made = made.filter(|version| millis(self.moment_of(version)) <= number);
        made.max_by_key(|version| self.moment_of(version))
    }
}

impl From<SecretVersionsListEntry> for Version {
    fn from(version: SecretVersionsListEntry) -> Self {
        let SecretVersionsListEntry { version_id, version_stages, created_date, .. } = version;
        Self {
            id: version_id.unwrap_or_default(),
            created: time(created_date),
            stages: version_stages.unwrap_or_default(),
        }
    }
}

/// The entry at `address` as of `moment`. It has no value: nothing here has.
pub(super) fn entry(address: &Address, moment: SystemTime, content_type: &str) -> Entry {
    let content = Content { value: Bytes::new(), content_type: content_type.into(), secret: true };
    Entry::new(address.key.clone(), address.service.clone(), content, millis(moment), moment)
}

/// A moment as the number of a version: milliseconds since 1970.
pub(super) fn millis(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time that AWS gives always, and that is 1970 if it does not.
fn time(given: Option<DateTime>) -> SystemTime {
    given.and_then(|given| SystemTime::try_from(given).ok()).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::Key;
    use std::time::Duration;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn version(id: &str, second: u64, stage: &str) -> Version {
        Version { id: id.to_owned(), created: at(second), stages: vec![stage.to_owned()] }
    }

    fn known(versions: &[Version], changed: u64) -> Known {
        let stages = versions.iter().map(|version| (version.id.clone(), version.stages.clone()));
        Known { stages: stages.collect(), changed: at(changed), deleted: false }
    }

    #[test]
    fn a_moment_names_the_version_that_was_in_force() {
        let versions =
            vec![version("a", 10, "old"), version("b", 20, PREVIOUS), version("c", 30, CURRENT), {
                version("d", 31, PENDING)
            }];
        // The secret was tagged at 40.
        let known = known(&versions, 40);
        assert_eq!(known.version(), 40_000);
        let find = |number| known.at(number, versions.clone()).map(|version| version.id);
        for (number, id) in [
            (9_999, None),
            (10_000, Some("a")),
            (20_007, Some("b")),
            (35_000, Some("b")),
            (40_000, Some("c")),
            (40_001, None),
        ] {
            assert_eq!(find(number).as_deref(), id, "{number}");
        }
    }

    #[test]
    fn what_is_deleted_or_has_no_value_is_no_entry() {
        let address = Address { service: None, key: Key::new("secret_config_x").unwrap() };
        let versions = [version("a", 10, CURRENT)];
        let there = known(&versions, 10);
        let entry = there.entry(&address).unwrap();
        assert_eq!((entry.version(), entry.modified(), entry.is_secret()), (10_000, at(10), true));
        let deleted = Known { deleted: true, ..there };
        assert!(deleted.entry(&address).is_none());
        assert_eq!(deleted.version(), 0);
        assert!(known(&[version("a", 10, PENDING)], 10).entry(&address).is_none());
    }
}
