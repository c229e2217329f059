//! What differs between a document and a hub, and the writes that would make
//! the hub agree. A pure function of both.

use crate::backend::Full;
use crate::cli::document::{Address, Document, Item};
use crate::cli::error::CliError;
use crate::flag_writes::{CheckError, FlagWrites, Stored};
use confhub_proto::{Bytes, Content, ContentError, Entry, wire};
use std::collections::BTreeMap;
use tonic::Code;

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Only the document has it.
    Added,
    /// Both have it, with different content.
    Changed,
    /// Only the hub has it.
    Removed,
}

impl Difference {
    /// As JSON spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// As a listing marks it.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }
}

/// One entry that differs.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// How.
    pub(crate) difference: Difference,
    /// Which.
    pub(crate) address: Address,
    /// What the document says.
    pub(crate) content: Option<Content>,
    /// What the hub has.
    pub(crate) present: Option<Entry>,
}

impl Step {
    /// Whether the hub accepts this, as far as can be told beforehand.
    fn check(&self, limits: Option<wire::TenantLimits>) -> Result<(), CliError> {
        let limit = limits.and_then(|limits| usize::try_from(limits.value_bytes).ok());
        match (&self.content, limit) {
            (Some(content), Some(limit)) if content.value.len() > limit => {
                let error = ContentError::TooLarge { actual: content.value.len(), limit };
                Err(self.refused(Code::InvalidArgument, format!("{error} by `limits.value-bytes`")))
            }
            (Some(content), _) if !content.secret && self.present.as_ref().is_some_and(Entry::is_secret) => {
                Err(self.refused(
                    Code::FailedPrecondition,
                    "it is a secret in the hub and not in the file: put it among the `secrets`, \
                     or delete it first if it is to be readable by all"
                        .to_owned(),
                ))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, code: Code, reason: String) -> CliError {
        CliError::Refused { what: self.address.to_string(), reason, code }
    }

    /// The write that makes the hub agree, provided that nobody was faster.
    pub(crate) fn change(&self) -> wire::Change {
        let action = match &self.content {
            Some(content) => wire::change::Action::Put(wire::Content {
                value: content.value.clone(),
                content_type: content.content_type.to_string(),
                secret: content.secret,
            }),
            None => wire::change::Action::Delete(wire::Deletion {}),
        };
        wire::Change {
            key: self.address.key.to_string(),
            service: self.address.wire_service(),
            expected_version: Some(self.present.as_ref().map_or(0, Entry::version)),
            action: Some(action),
        }
    }
}

/// Whether the hub accepts all of a plan, as far as can be told beforehand: a
/// plan of several batches must not stop half way for what is known now.
pub(crate) fn check(plan: &Plan, status: &wire::StatusResponse) -> Result<(), CliError> {
    for step in plan.steps.iter().chain(&plan.uncertain) {
        step.check(status.limits)?;
    }
    if let Some(refused) = &plan.flags {
        let (what, reason) = ("a flag would be refused".to_owned(), refused.to_string());
        return Err(CliError::Refused { what, reason, code: Code::InvalidArgument });
    }
    let count = |difference| u64::try_from(plan.count(difference)).unwrap_or(u64::MAX);
    let entries = (status.entries + count(Difference::Added)).saturating_sub(count(Difference::Removed));
    match status.limits {
        Some(limits) if entries > limits.entries && entries > status.entries => {
            let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
            let full = Full::Entries { would_have: number(entries), limit: number(limits.entries) };
            let (what, code) = ("the tenant".to_owned(), Code::ResourceExhausted);
            Err(CliError::Refused { what, reason: full.to_string(), code })
        }
        _ => Ok(()),
    }
}

/// What differs.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Entries that differ, in order.
    pub(crate) steps: Vec<Step>,
    /// Secrets whose values the caller may not see, so that nobody can tell
    /// whether they differ.
    pub(crate) uncertain: Vec<Step>,
    /// Secrets that the document names without a value.
    pub(crate) markers: Vec<Address>,
    /// Markers of secrets that the hub does not have.
    pub(crate) absent: Vec<Address>,
    /// Markers of entries that the hub holds in plain. Nothing mends that but a
    /// write of the value, which the document does not have.
    pub(crate) exposed: Vec<(Address, Entry)>,
    /// How many entries are the same.
    pub(crate) unchanged: usize,
    /// Why the hub would refuse to have these flags.
    pub(crate) flags: Option<CheckError>,
}

impl Plan {
    /// How many entries differ in this way.
    pub(crate) fn count(&self, difference: Difference) -> usize {
        self.steps.iter().filter(|step| step.difference == difference).count()
    }
}

/// Compares. `secrets` has the values of those secrets that may be seen;
/// `in_scope` says which entries count as removed if the document lacks them.
pub(crate) fn compare(
    document: &Document,
    hub: &BTreeMap<Address, Entry>,
    secrets: &BTreeMap<Address, Bytes>,
    in_scope: impl Fn(&Address) -> bool,
) -> Plan {
    let mut plan = Plan::default();
    for (address, item) in document {
        let present = hub.get(address).cloned();
        let Item::Content(content) = item else {
            match present {
                Some(entry) if entry.is_secret() => plan.markers.push(address.clone()),
                Some(entry) => plan.exposed.push((address.clone(), entry)),
                None => plan.absent.push(address.clone()),
            }
            continue;
        };
        let Some(present) = present else {
            plan.steps.push(Step {
                difference: Difference::Added,
                address: address.clone(),
                content: Some(content.clone()),
                present: None,
            });
            continue;
        };
        let sameness = same(content, &present, secrets.get(address));
        let step = || Step {
            difference: Difference::Changed,
            address: address.clone(),
            content: Some(content.clone()),
            present: Some(present.clone()),
        };
        match sameness {
            Some(true) => plan.unchanged += 1,
            Some(false) => plan.steps.push(step()),
            None => plan.uncertain.push(step()),
        }
    }
    for (address, entry) in hub {
        if !document.contains_key(address) && in_scope(address) {
            plan.steps.push(Step {
                difference: Difference::Removed,
                address: address.clone(),
                content: None,
                present: Some(entry.clone()),
            });
        }
    }
    plan.flags = check_flags(&plan, hub).err();
    plan
}

/// The flags as they will be, checked as the hub will.
fn check_flags(plan: &Plan, hub: &BTreeMap<Address, Entry>) -> Result<(), CheckError> {
    let mut writes = FlagWrites::default();
    for Step { address, content, .. } in plan.steps.iter().chain(&plan.uncertain) {
        let (service, key) = (address.service.as_ref(), address.key.as_str());
        match content {
            Some(content) => writes.put(service, key, &content.content_type, content.secret, &content.value),
            None => writes.delete(service, key),
        }
    }
    let stored = |(address, entry): (&Address, &Entry)| Stored {
        service: address.service.clone(),
        key: address.key.to_string(),
        value: entry.value().clone(),
    };
    if writes.is_empty() { Ok(()) } else { writes.check(hub.iter().map(stored), || true) }
}

/// Whether an entry has this content; `None` if its value may not be seen.
fn same(content: &Content, entry: &Entry, revealed: Option<&Bytes>) -> Option<bool> {
    if content.secret != entry.is_secret() || *content.content_type != *entry.content_type() {
        return Some(false);
    }
    let value = if entry.is_secret() { revealed? } else { entry.value() };
    Some(*value == content.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use confhub_proto::{Key, limits};
    use std::time::SystemTime;

    fn address(key: &str) -> Address {
        Address { service: None, key: key.parse().unwrap() }
    }

    fn content(value: &str, secret: bool) -> Content {
        Content::new(Bytes::from(value.to_owned()), Content::TEXT, secret, limits::VALUE_BYTES).unwrap()
    }

    fn hub(entries: &[(&str, &str, u64, bool)]) -> BTreeMap<Address, Entry> {
        let entry = |(key, value, version, secret): &(&str, &str, u64, bool)| {
            let content = content(value, *secret);
            let entry = Entry::new(key.parse().unwrap(), None, content, *version, SystemTime::UNIX_EPOCH);
            (address(key), entry)
        };
        entries.iter().map(entry).collect()
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        let line = |step: &Step| {
            let expected = step.change().expected_version.unwrap();
            format!("{}{}@{expected}", step.difference.sign(), step.address)
        };
        steps.iter().map(line).collect()
    }

    #[test]
    fn only_differences_are_planned_each_with_the_version_it_was_seen_at() {
        let document: Document = [("a", "new"), ("b", "same"), ("c", "1")]
            .map(|(key, value)| (address(key), Item::Content(content(value, false))))
            .into();
        let hub =
            hub(&[("b", "same", 4, false), ("c", "0", 7, false), ("x", "", 2, false), ("y", "", 3, false)]);
        let plan = compare(&document, &hub, &BTreeMap::new(), |address| address.key.as_str() == "x");
        assert_eq!(lines(&plan.steps), ["+a@0", "~c@7", "-x@2"]);
        assert_eq!(plan.unchanged, 1);
    }

    #[test]
    fn a_secret_is_compared_by_its_value_or_not_at_all() {
        let document: Document =
            ["a", "b", "c", "d"].map(|key| (address(key), Item::Content(content("s", true)))).into();
        let hub = hub(&[("a", "", 1, true), ("b", "", 1, true), ("c", "", 1, true), ("d", "s", 1, false)]);
        let revealed = [(address("a"), "s".into()), (address("b"), "t".into())].into();
        let plan = compare(&document, &hub, &revealed, |_| true);
        assert_eq!(lines(&plan.steps), ["~b@1", "~d@1"]);
        assert_eq!(lines(&plan.uncertain), ["~c@1"]);
        assert_eq!(plan.unchanged, 1);
    }

    #[test]
    fn a_marker_writes_nothing_and_removes_nothing() {
        let document: Document = ["a", "b", "c"].map(|key| (address(key), Item::Marker)).into();
        let hub = hub(&[("a", "", 1, true), ("c", "hunter2", 1, false)]);
        let plan = compare(&document, &hub, &BTreeMap::new(), |_| true);
        assert!(plan.steps.is_empty());
        assert_eq!((plan.markers, plan.absent), (vec![address("a")], vec![address("b")]));
        assert_eq!(
            plan.exposed.iter().map(|(address, _)| address.clone()).collect::<Vec<_>>(),
            [address("c")]
        );
    }

    #[test]
    fn a_plan_over_the_tenants_limit_is_refused_and_one_that_shrinks_is_not() {
        let limits = Some(wire::TenantLimits { value_bytes: 100, entries: 2, bytes: 1_000 });
        let status = |entries| wire::StatusResponse { entries, limits, ..Default::default() };
        let step = |difference| Step {
            difference,
            address: Address { service: None, key: Key::new("a").unwrap() },
            content: None,
            present: None,
        };
        let plan = |difference| Plan { steps: vec![step(difference)], ..Plan::default() };
        assert!(check(&plan(Difference::Added), &status(1)).is_ok());
        let error = check(&plan(Difference::Added), &status(2)).unwrap_err().to_string();
        assert!(error.contains("3 entries; at most 2"), "{error}");
        assert!(check(&plan(Difference::Removed), &status(9)).is_ok());
    }
}
