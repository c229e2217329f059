//! The flags of a view as one flagd file, for evaluators elsewhere.
//!
//! Such an evaluator takes a file as a whole or not at all: one flag that it cannot read,
//! or a member that it does not know, and it has no flags or keeps the old ones for good.
//! So what is served is checked flag by flag, and written out in the plainest form:
//!
//! - a flag that is bad stays what it was when it was good last; one that never was is
//!   left out;
//! - members that mean nothing to evaluation are left out;
//! - evaluators stand where rules refer to them, and nowhere else. Evaluators elsewhere
//!   replace references as texts, which goes wrong with some texts.

use crate::document::{members, quoted};
use crate::error::{Fault, Faults};
use crate::name::PREFIX;
use crate::{Common, FlagName, FlagNameError, SET_KEY, Slot, check_common, check_flag};
use confhub_proto::{Entry, State};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an evaluation looks at, in the order in which it is written.
const MEMBERS: [&str; 5] = ["state", "variants", "defaultVariant", "targeting", "metadata"];

/// The flags of a view, each as it is served.
#[derive(Debug, Default)]
pub struct Served {
    /// What the names of all flags begin with.
    names: String,
    state: State,
    common: Common,
    flags: BTreeMap<FlagName, Line>,
    bad: BTreeSet<Slot>,
}

/// One flag as it is served.
#[derive(Debug)]
struct Line {
    /// Its last good entry.
    entry: Arc<Entry>,
    text: Box<str>,
    /// Whether it refers to an evaluator, so that it changes with those.
    refers: bool,
}

/// What a new state has brought to [`Served`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct News {
    /// Whether something else is served now.
    pub changed: bool,
    /// Entries that changed and are bad: each is served as it was, or not at all.
    pub bad: Vec<Faults>,
}

/// A document that is larger than was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flag definitions have {bytes} bytes as one document; at most {most} are allowed")]
pub struct TooLarge {
    /// What it has, in bytes.
    pub bytes: usize,
    /// What it may have, in bytes.
    pub most: usize,
}

impl Served {
    /// No flags yet, and never others than those whose names begin with `names`.
    #[must_use]
    pub fn new(names: &str) -> Self {
        Self { names: names.to_owned(), ..Self::default() }
    }

    /// What the keys of all entries begin with that matter to [`Served::new`] of the same
    /// `names`: enough to follow. A few others begin so too, and are passed over.
    ///
    /// # Errors
    /// If no flag's name can begin so.
    pub fn prefixes(names: &str) -> Result<[String; 2], FlagNameError> {
        // How a dot is written depends on what follows.
        let settled = names.trim_end_matches('.');
        let flags = match settled {
            "" => PREFIX.to_owned(),
            settled => FlagName::new(settled)?.key().to_string(),
        };
        Ok([flags, SET_KEY.to_owned()])
    }

    /// Takes the entries as they are now. What has not changed is not looked at.
    pub fn update(&mut self, next: &State) -> News {
        let mut news = News::default();
        let changed = self.state.changed_keys(next);
        self.state = next.clone();
        let mut names = BTreeSet::new();
        for key in &changed {
            match Slot::of_key(key.as_str()) {
                // First, since flags may refer to what is new in it.
                Ok(Some(Slot::Set)) => self.set_common(&mut names, &mut news),
                Ok(Some(Slot::Flag(name))) => drop(names.insert(name)),
                // A key that begins as those of flags do and is none cannot be asked for.
                Ok(None) | Err(_) => {}
            }
        }
        for name in names {
            if name.as_str().starts_with(&self.names) {
                self.set_flag(name, &changed, &mut news);
            }
        }
        news
    }

    /// How many entries are bad now.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.bad.len()
    }

    /// All of it as a flagd file.
    ///
    /// # Errors
    /// If it has more than `most` bytes.
    pub fn document(&self, most: usize) -> Result<String, TooLarge> {
        let metadata = match self.common.metadata.is_empty() {
            true => String::new(),
            false => format!("\"metadata\":{},", Value::Object(self.common.metadata.clone())),
        };
        let flags = self.flags.iter().map(|(name, line)| (quoted(name.as_str()), &*line.text));
        let flags: Vec<_> = flags.collect();
        // No comma goes before the first.
        let around = "{\"flags\":{}}".len() - usize::from(!flags.is_empty());
        let each = |(name, text): &(String, &str)| name.len() + text.len() + 2;
        let bytes = around + metadata.len() + flags.iter().map(each).sum::<usize>();
        if bytes > most {
            return Err(TooLarge { bytes, most });
        }
        let mut document = String::with_capacity(bytes);
        document.extend(["{", &metadata, "\"flags\":{"]);
        for (at, (name, text)) in flags.iter().enumerate() {
            document.extend([if at == 0 { "" } else { "," }, name, ":", text]);
        }
        document.push_str("}}");
        Ok(document)
    }

    /// Takes what flags have in common, and adds those that may be others now.
    fn set_common(&mut self, names: &mut BTreeSet<FlagName>, news: &mut News) {
        let common = match self.state.get(Slot::Set.key()) {
            None => Ok(Common::default()),
            Some(entry) => readable(&Slot::Set, entry).and_then(|()| check_common(entry.value())),
        };
        match common {
            Ok(common) => {
                self.bad.remove(&Slot::Set);
                news.changed |= common.metadata != self.common.metadata;
                if common.evaluators != self.common.evaluators {
                    let referring = self.flags.iter().filter(|(_, line)| line.refers);
                    names.extend(referring.map(|(name, _)| name.clone()));
                    let bad = self.bad.iter();
                    names.extend(bad.filter_map(|slot| match slot {
                        Slot::Flag(name) => Some(name.clone()),
                        Slot::Set => None,
                    }));
                }
                self.common = common;
            }
            Err(faults) => {
                self.bad.insert(Slot::Set);
                news.bad.push(faults);
            }
        }
    }

    fn set_flag(&mut self, name: FlagName, changed: &[confhub_proto::Key], news: &mut News) {
        let slot = Slot::Flag(name.clone());
        let Some(entry) = self.state.get(slot.key()).cloned() else {
            self.bad.remove(&slot);
            news.changed |= self.flags.remove(&name).is_some();
            return;
        };
        match self.line(&name, entry) {
            Ok(line) => {
                self.bad.remove(&slot);
                self.replace(name, line, news);
            }
            Err(faults) => {
                if self.bad.insert(slot) || changed.contains(name.key()) {
                    news.bad.push(faults);
                }
                // What it was may refer to evaluators that are others now, or gone.
                let Some(last) = self.flags.get(&name).map(|line| Arc::clone(&line.entry)) else { return };
                match self.line(&name, last) {
                    Ok(line) => self.replace(name, line, news),
                    Err(_) => news.changed |= self.flags.remove(&name).is_some(),
                }
            }
        }
    }

    fn replace(&mut self, name: FlagName, line: Line, news: &mut News) {
        news.changed |= self.flags.get(&name).is_none_or(|old| old.text != line.text);
        self.flags.insert(name, line);
    }

    /// One flag as it is served, if it is good.
    fn line(&self, name: &FlagName, entry: Arc<Entry>) -> Result<Line, Faults> {
        readable(&Slot::Flag(name.clone()), &entry)?;
        let definition = check_flag(name, entry.value(), &self.common)?;
        let targeting =
            definition.targeting.filter(refers).map(|rule| inlined(&rule, &self.common).to_string());
        let mut text = String::from("{");
        let written = members("", entry.value())?;
        for member in MEMBERS {
            let Some((_, raw)) = written.iter().find(|(name, _)| name == member) else { continue };
            let value = match &targeting {
                Some(rule) if member == "targeting" => rule,
                _ => raw.get(),
            };
            let comma = if text.len() == 1 { "" } else { "," };
            text.extend([comma, "\"", member, "\":", value]);
        }
        text.push('}');
        Ok(Line { entry, text: text.into(), refers: targeting.is_some() })
    }
}

/// Refuses what has no value here.
fn readable(slot: &Slot, entry: &Entry) -> Result<(), Faults> {
    if !entry.is_secret() {
        return Ok(());
    }
    let reason = "a flag cannot be a secret: services have to read it. Delete the entry and write it anew";
    Err(Faults::of(Some(slot), Fault::new("", None, reason)))
}

/// The name that a part of a rule refers to, if that is what it does.
fn reference(rule: &Value) -> Option<&str> {
    let members = rule.as_object().filter(|members| members.len() == 1)?;
    members.get("$ref")?.as_str()
}

/// Whether there is a reference in a rule.
fn refers(rule: &Value) -> bool {
    match rule {
        _ if reference(rule).is_some() => true,
        Value::Array(items) => items.iter().any(refers),
        Value::Object(members) if members.len() == 1 => members.values().any(refers),
        _ => false,
    }
}

/// A rule with its evaluators put in. It was checked: all are there, none is in itself,
/// and the whole has at most [`limits::NODES`](crate::limits::NODES) parts.
fn inlined(rule: &Value, common: &Common) -> Value {
    if let Some(evaluator) = reference(rule).and_then(|name| common.evaluators.get(name)) {
        return inlined(evaluator, common);
    }
    match rule {
        Value::Array(items) => items.iter().map(|item| inlined(item, common)).collect(),
        Value::Object(members) if members.len() == 1 => {
            let member = |(name, value): (&String, &Value)| (name.clone(), inlined(value, common));
            Value::Object(members.iter().map(member).collect())
        }
        literal => literal.clone(),
    }
}

#[cfg(test)]
mod tests;
