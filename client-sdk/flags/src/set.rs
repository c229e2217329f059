//! All flags of a view, compiled, each by itself.

use crate::error::{Fault, Faults};
use crate::flag::{Flag, Outcome};
use crate::value::{Details, ErrorCode, EvaluationError, FromFlag, Metadata, Reason};
use crate::{Common, Context, Definition, FlagName, HashVersion, Slot};
use confhub_proto::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// It has this value.
    Value(&'a [u8]),
    /// It is a secret, which no flag can be.
    Secret,
    /// It is gone.
    Removed,
}

impl<'a> From<Option<&'a Entry>> for Change<'a> {
    /// What an entry is now; `None`: it is gone.
    fn from(entry: Option<&'a Entry>) -> Self {
        match entry {
            None => Self::Removed,
            Some(entry) if entry.is_secret() => Self::Secret,
            Some(entry) => Self::Value(entry.value()),
        }
    }
}

/// What changes of entries did to a [`FlagSet`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Flags that are new, gone, or may evaluate to something else; each once, sorted.
    pub changed: BTreeSet<FlagName>,
    /// Entries that are bad now: flags keep what they were before.
    pub bad: Vec<Arc<Faults>>,
}

/// Flags that can be evaluated.
///
/// A flag with a bad definition keeps its last good one, or cannot be evaluated if there
/// was none; all others go on. [`errors`](Self::errors) tells of both.
///
/// Cloning costs as much as a list of the flags' names, and no compilation.
#[derive(Debug, Clone, Default)]
pub struct FlagSet {
    hash: HashVersion,
    common: Arc<Common>,
    flags: HashMap<FlagName, Arc<Flag>, foldhash::fast::RandomState>,
    bad: BTreeMap<Slot, Bad>,
    /// Metadata of all flags, for answers about a flag that there is none of.
    metadata: Arc<Metadata>,
}

#[derive(Debug, Clone)]
struct Bad {
    faults: Arc<Faults>,
    /// To be tried again when evaluators change; `None`: that cannot help.
    definition: Option<Arc<Definition>>,
}

impl FlagSet {
    /// No flags yet.
    #[must_use]
    pub fn new(hash: HashVersion) -> Self {
        Self { hash, ..Self::default() }
    }

    /// Which evaluators give a user the same bucket.
    #[must_use]
    pub fn hash_version(&self) -> HashVersion {
        self.hash
    }

    /// Takes changes of entries, of which those that are no flag's are passed over.
    /// Those of one call belong together: their order means nothing. What did not
    /// change is not compiled again.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = (&'a str, Change<'a>)>) -> Applied {
        let mut applied = Applied::default();
        let (mut common, mut flags) = (None, Vec::new());
        for (key, change) in changes {
            match Slot::of_key(key) {
                Ok(Some(Slot::Set)) => common = Some(change),
                Ok(Some(Slot::Flag(name))) => flags.push((name, change)),
                // A key that begins as those of flags do and is none cannot be asked for.
                Ok(None) | Err(_) => {}
            }
        }
        // First, since the flags may refer to what is new in it.
        if let Some(change) = common {
            self.set_common(change, &mut applied);
        }
        for (name, change) in flags {
            self.set_flag(name, change, &mut applied);
        }
        applied
    }

    fn set_common(&mut self, change: Change<'_>, applied: &mut Applied) {
        let parsed = match change {
            Change::Value(text) => Common::parse(text),
            Change::Secret => Err(secret(&Slot::Set)),
            Change::Removed => Ok(Common::default()),
        };
        let common = match parsed {
            Ok(common) => common,
            Err(faults) => return self.is_bad(Slot::Set, faults, None, applied),
        };
        self.bad.remove(&Slot::Set);
        let before = std::mem::replace(&mut self.common, Arc::new(common));
        let all = before.metadata != self.common.metadata;
        let referring = before.evaluators != self.common.evaluators;
        if all {
            self.metadata = Arc::new(self.common.metadata.clone());
        }
        let again = self.flags.values().filter(|flag| all || referring && flag.refers());
        let mut again: BTreeMap<FlagName, Definition> =
            again.map(|flag| (flag.name().clone(), flag.definition().clone())).collect();
        for bad in self.bad.values().filter_map(|bad| bad.definition.as_deref()) {
            again.insert(bad.name.clone(), bad.clone());
        }
        for (_, definition) in again {
            self.compile(definition, applied);
        }
    }

    fn set_flag(&mut self, name: FlagName, change: Change<'_>, applied: &mut Applied) {
        match change {
            Change::Removed => {
                self.bad.remove(&Slot::Flag(name.clone()));
                self.flags.remove(&name);
                applied.changed.insert(name);
            }
            Change::Secret => {
                let slot = Slot::Flag(name);
                let faults = secret(&slot);
                self.is_bad(slot, faults, None, applied);
            }
            Change::Value(text) => match Definition::parse(&name, text) {
                Ok(definition) => self.compile(definition, applied),
                Err(faults) => self.is_bad(Slot::Flag(name), faults, None, applied),
            },
        }
    }

    fn compile(&mut self, definition: Definition, applied: &mut Applied) {
        let name = definition.name.clone();
        match Flag::compile(definition.clone(), &self.common) {
            Ok(flag) => {
                self.bad.remove(&Slot::Flag(name.clone()));
                self.flags.insert(name.clone(), Arc::new(flag));
                applied.changed.insert(name);
            }
            Err(faults) => self.is_bad(Slot::Flag(name), faults, Some(definition.into()), applied),
        }
    }

    fn is_bad(
        &mut self,
        slot: Slot,
        faults: Faults,
        definition: Option<Arc<Definition>>,
        applied: &mut Applied,
    ) {
        let faults = Arc::new(faults);
        applied.bad.push(Arc::clone(&faults));
        if let Slot::Flag(name) = &slot
            && !self.flags.contains_key(name)
        {
            // From no flag to one with an error.
            applied.changed.insert(name.clone());
        }
        self.bad.insert(slot, Bad { faults, definition });
    }

    /// The value of a flag, or `default`: see [`details`](Self::details).
    pub fn value<T: FromFlag>(
        &self,
        name: &str,
        default: impl Into<T>,
        context: &Context,
        clock: &dyn Fn() -> i64,
    ) -> T {
        let outcome = self.flags.get(name).map(|flag| flag.evaluate(context, clock, self.hash));
        match outcome {
            Some(Outcome::Variant(_, value, _)) => T::from_flag(value).unwrap_or_else(|| default.into()),
            _ => default.into(),
        }
    }

    /// The value of a flag with all that there is to know about it. `clock` tells the
    /// seconds since 1970 to rules that ask for `$flagd.timestamp`.
    pub fn details<T: FromFlag>(
        &self,
        name: &str,
        default: impl Into<T>,
        context: &Context,
        clock: &dyn Fn() -> i64,
    ) -> Details<T> {
        let Some(flag) = self.flags.get(name) else {
            return error(self.unknown(name), default.into(), Arc::clone(&self.metadata));
        };
        let metadata = Arc::clone(flag.metadata());
        match flag.evaluate(context, clock, self.hash) {
            Outcome::Code(reason) => {
                Details { value: default.into(), variant: None, reason, error: None, metadata }
            }
            Outcome::Failed(failure) => error(failure, default.into(), metadata),
            Outcome::Variant(variant, value, reason) => match T::from_flag(value) {
                Some(value) => {
                    Details { value, variant: Some(Arc::clone(&variant.name)), reason, error: None, metadata }
                }
                None => {
                    let message = format!("the value is of type {}, not {}", value.type_name(), T::TYPE);
                    let failure = EvaluationError { code: ErrorCode::TypeMismatch, message };
                    error(failure, default.into(), metadata)
                }
            },
        }
    }

    fn unknown(&self, name: &str) -> EvaluationError {
        let slot = FlagName::new(name).ok().map(Slot::Flag);
        let bad = slot.and_then(|slot| self.bad.get(&slot));
        match bad {
            Some(bad) => {
                EvaluationError { code: ErrorCode::ParseError, message: bad.faults.without_values() }
            }
            None => {
                let message = format!("there is no flag `{}`", crate::name::shown(name));
                EvaluationError { code: ErrorCode::FlagNotFound, message }
            }
        }
    }

    /// One flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Flag>> {
        self.flags.get(name)
    }

    /// All flags, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flag>> {
        self.flags.values()
    }

    /// Number of flags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there is no flag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// What the flags have in common.
    #[must_use]
    pub fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Entries that are bad now: their flags are what they were before, or nothing.
    pub fn errors(&self) -> impl Iterator<Item = &Arc<Faults>> {
        self.bad.values().map(|bad| &bad.faults)
    }
}

fn error<T>(failure: EvaluationError, value: T, metadata: Arc<Metadata>) -> Details<T> {
    Details { value, variant: None, reason: Reason::Error, error: Some(failure), metadata }
}

fn secret(slot: &Slot) -> Faults {
    let reason = "a flag cannot be a secret: services have to read it. Delete the entry and write it anew";
    Faults::of(Some(slot), Fault::new("", None::<&Value>, reason))
}
