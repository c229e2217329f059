//! Whether writes leave every flag good: a pure function of what is written and what is
//! stored. The hub asks it before it writes, and `import` before it sends anything.
//!
//! What is checked against what:
//!
//! - A **flag of a service** against what flags share as that service sees it: its own
//!   entry `tenant_config_flags` if there is one, otherwise the shared one.
//! - A **shared flag** against the shared entry, and against the own entry of every
//!   service that has one: there it takes the shared one's place. (A service whose own
//!   flag hides the shared one counts too: it may be deleted at any time.)
//! - **What flags share**, once it changes or goes, against all flags that see it. It may
//!   leave no flag bad that was good before; one that was bad already is no reason to
//!   refuse.
//!
//! All of it as it will be after the write as a whole. A flag may always be deleted.

use confhub_flags::{Common, FlagName, SET_KEY, Slot, check_common, check_flag};
use confhub_proto::{Bytes, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most refusals that one answer tells of.
const TOLD: usize = confhub_flags::limits::FAULTS;

/// Longest answer, in bytes: it travels in a header, where each byte beyond ASCII takes
/// three, and clients take 16 KiB of headers.
const ANSWER_BYTES: usize = 4 * 1024;

/// Which entries: those of a service, or (`None`) those that all share.
type Place = Option<ServiceName>;

/// An entry that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Whose it is.
    pub(crate) service: Place,
    /// Its key.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: Bytes,
}

/// What has to be known of the store before writes can be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// What flags share, for all and of these services.
    Of(Vec<ServiceName>),
    /// What flags share, everywhere.
    Sets,
    /// That, and all flags.
    Flags,
}

/// Writes of flags, and of what they share.
#[derive(Debug, Default)]
pub(crate) struct FlagWrites {
    /// `None`: it is deleted.
    flags: BTreeMap<(Place, FlagName), Option<Bytes>>,
    /// `None`: it is deleted.
    sets: BTreeMap<Place, Option<Bytes>>,
    refused: Refused,
}

/// Why writes are not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckError {
    /// They would leave a flag bad.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody wanted to wait for the end of the check.
    #[error(
        "checking the flags takes too long: write fewer of those that use `$ref` at a time, or let fewer \
         services have a `{SET_KEY}` of their own"
    )]
    TooLong,
}

/// What is wrong with writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Refused {
    told: Vec<String>,
    more: usize,
}

impl FlagWrites {
    /// Takes a write into account. One that is no flag's is passed over.
    pub(crate) fn put(
        &mut self,
        service: Option<&ServiceName>,
        key: &str,
        content_type: &str,
        secret: bool,
        value: &Bytes,
    ) {
        match Slot::of_write(key, content_type, secret) {
            Ok(None) => {}
            Ok(Some(slot)) => self.set(service, slot, Some(value.clone())),
            Err(error) => self.refused.add(of(service, error.to_string())),
        }
    }

    /// Takes a deletion into account.
    pub(crate) fn delete(&mut self, service: Option<&ServiceName>, key: &str) {
        // A key that is no flag's, though it begins as one, can only be tidied up.
        if let Ok(Some(slot)) = Slot::of_key(key) {
            self.set(service, slot, None);
        }
    }

    fn set(&mut self, service: Option<&ServiceName>, slot: Slot, value: Option<Bytes>) {
        match slot {
            Slot::Set => drop(self.sets.insert(service.cloned(), value)),
            Slot::Flag(name) => drop(self.flags.insert((service.cloned(), name), value)),
        }
    }

    /// Whether there is nothing about flags in these writes.
    pub(crate) fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.sets.is_empty() && self.refused.told.is_empty()
    }

    /// Whether what flags share is written.
    pub(crate) fn changes_sets(&self) -> bool {
        !self.sets.is_empty()
    }

    /// What [`check`](Self::check) has to know.
    pub(crate) fn needs(&self) -> Needs {
        if self.changes_sets() {
            return Needs::Flags;
        }
        let referring = self.flags.iter().filter(|(_, text)| text.as_ref().is_some_and(|text| refers(text)));
        let mut services = Vec::new();
        for ((service, _), _) in referring {
            match service {
                None => return Needs::Sets,
                Some(service) if services.last() != Some(service) => services.push(service.clone()),
                Some(_) => {}
            }
        }
        if services.is_empty() { Needs::Nothing } else { Needs::Of(services) }
    }

    /// Checks the writes. `stored` has at least what they [need](Self::needs); what else
    /// it has is passed over. Before each flag `goes_on` is asked whether to go on.
    ///
    /// # Errors
    /// All that is wrong, as far as an answer has room.
    pub(crate) fn check(
        mut self,
        stored: impl IntoIterator<Item = Stored>,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<(), CheckError> {
        let mut refused = std::mem::take(&mut self.refused);
        let (mut before, mut flags) = (Sets::default(), Vec::new());
        for Stored { service, key, value } in stored {
            match Slot::of_key(&key) {
                // Of a bad one that others wrote, nobody knows what it would say.
                Ok(Some(Slot::Set)) => before.put(service, Common::parse(&value).unwrap_or_default()),
                Ok(Some(Slot::Flag(name))) if refers(&value) => flags.push((service, name, value)),
                _ => {}
            }
        }
        let (mut after, mut sets_are_good) = (before.clone(), true);
        for (place, text) in &self.sets {
            match text.as_ref().map(|text| check_common(text)) {
                Some(Ok(common)) => after.put(place.clone(), common),
                Some(Err(faults)) => {
                    sets_are_good = false;
                    refused.add(of(place.as_ref(), faults.to_string()));
                }
                None => after.remove(place),
            }
        }
        // Faults of flags would follow from those of what they share.
        if sets_are_good {
            self.check_written(&after, &mut refused, &mut goes_on)?;
            flags.retain(|(place, name, _)| !self.flags.contains_key(&(place.clone(), name.clone())));
            check_stored(&flags, &before, &after, &mut refused, &mut goes_on)?;
        }
        if refused.told.is_empty() { Ok(()) } else { Err(refused.into()) }
    }

    fn check_written(
        &self,
        after: &Sets,
        refused: &mut Refused,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), CheckError> {
        for ((place, name), text) in &self.flags {
            let Some(text) = text else { continue };
            in_time(goes_on)?;
            let own = after.seen_by(place.as_ref());
            if let Err(faults) = check_flag(name, text, own) {
                refused.add(of(place.as_ref(), faults.to_string()));
            } else if place.is_none() && refers(text) {
                for (service, common) in &after.own {
                    in_time(goes_on)?;
                    if let Err(faults) = check_flag(name, text, common) {
                        refused.add(format!(
                            "as service `{service}` would see it, whose own `{SET_KEY}` takes the place of the \
                             shared one: {faults}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

fn in_time(goes_on: &mut dyn FnMut() -> bool) -> Result<(), CheckError> {
    if goes_on() { Ok(()) } else { Err(CheckError::TooLong) }
}

/// Refuses to leave flags bad that are stored, are not written, and were good.
fn check_stored(
    flags: &[(Place, FlagName, Bytes)],
    before: &Sets,
    after: &Sets,
    refused: &mut Refused,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), CheckError> {
    let services: BTreeSet<_> = before.own.keys().chain(after.own.keys()).collect();
    for (place, name, text) in flags {
        let viewers = match place {
            None => [None].into_iter().chain(services.iter().copied().map(Some)).collect(),
            own => vec![own.as_ref()],
        };
        for viewer in viewers {
            in_time(goes_on)?;
            let (old, new) = (before.seen_by(viewer), after.seen_by(viewer));
            if old.evaluators == new.evaluators || check_flag(name, text, old).is_err() {
                continue;
            }
            if let Err(faults) = check_flag(name, text, new) {
                let flag = of(place.as_ref(), faults.to_string());
                refused.add(format!(
                    "{} would leave a flag bad that uses it (change the flag first, or both at once): {flag}",
                    of(viewer, "the flag set".to_owned())
                ));
            }
        }
    }
    Ok(())
}

/// What flags share, everywhere.
#[derive(Debug, Clone, Default)]
struct Sets {
    shared: Common,
    own: BTreeMap<ServiceName, Common>,
}

impl Sets {
    fn put(&mut self, place: Place, common: Common) {
        match place {
            None => self.shared = common,
            Some(service) => drop(self.own.insert(service, common)),
        }
    }

    fn remove(&mut self, place: &Place) {
        match place {
            None => self.shared = Common::default(),
            Some(service) => drop(self.own.remove(service)),
        }
    }

    /// What a service sees.
    fn seen_by(&self, service: Option<&ServiceName>) -> &Common {
        service.and_then(|service| self.own.get(service)).unwrap_or(&self.shared)
    }
}

/// Whether a definition may refer to an evaluator. A name can be spelled with escapes,
/// so a text with any is taken to.
fn refers(text: &[u8]) -> bool {
    text.contains(&b'\\') || text.windows(4).any(|part| part == b"$ref")
}

fn of(service: Option<&ServiceName>, what: String) -> String {
    match service {
        Some(service) => format!("of service `{service}`, {what}"),
        None => what,
    }
}

impl Refused {
    fn add(&mut self, what: String) {
        if self.told.len() < TOLD {
            self.told.push(what);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.told.join("\n");
        if self.more > 0 {
            text += &format!("\nand {} more", self.more);
        }
        let end = text.floor_char_boundary(ANSWER_BYTES);
        f.write_str(text.get(..end).unwrap_or_default())?;
        f.write_str(if end < text.len() { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests;
