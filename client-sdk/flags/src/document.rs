//! A whole flagd file, and the entries that it is kept as.
//!
//! Each flag is one entry, and all that stands beside `flags` is one more. Texts
//! are kept as they are written: a number keeps its digits, and members their
//! order. Only the order of flags is lost, which means nothing.

use crate::error::{Fault, Faults};
use crate::limits::DOCUMENT_BYTES;
use crate::{FlagName, Slot, json};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The members of one JSON object, each as it is written, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// A flagd file: flags, and what else it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    flags: BTreeMap<FlagName, Box<str>>,
    /// Members beside `flags`, each with its text.
    rest: Vec<(String, Box<str>)>,
}

impl Document {
    /// Splits the text of a file. Whether its flags are good is not looked at: see
    /// [`check_document`](crate::check_document).
    ///
    /// # Errors
    /// If it is no JSON object with an object `flags`, has a member twice, or has a
    /// flag with a name that none can have.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        let wrong = |pointer: &str, reason: String| Faults::of(None, Fault::new(pointer, None, reason));
        if text.len() > DOCUMENT_BYTES {
            return Err(wrong(
                "",
                format!("the file has {} bytes; at most {DOCUMENT_BYTES} are read", text.len()),
            ));
        }
        let mut document = Self::default();
        let mut flags = None;
        for (name, raw) in members("", text)? {
            match name.as_str() {
                "flags" if raw.get().starts_with('[') => {
                    let reason =
                        "is an array, which only flagd itself reads: write an object of flags by name";
                    return Err(wrong("/flags", reason.to_owned()));
                }
                "flags" => flags = Some(raw),
                _ => document.rest.push((name, raw.get().into())),
            }
        }
        let Some(flags) = flags else {
            return Err(wrong("", "this is no flagd file: it has no member `flags`".to_owned()));
        };
        for (name, raw) in members("/flags", flags.get().as_bytes())? {
            let name = FlagName::new(&name).map_err(|error| wrong("/flags", error.to_string()))?;
            document.flags.insert(name, raw.get().into());
        }
        Ok(document)
    }

    /// Joins entries, of which those that are no flag's are passed over, and those that
    /// could not stand in a file (their value is no JSON object) are left out and told.
    pub fn join<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> (Self, Vec<Faults>) {
        let (mut document, mut left_out) = (Self::default(), Vec::new());
        for (key, value) in entries {
            match Slot::of_key(key) {
                Ok(None) => {}
                Ok(Some(slot)) => {
                    if let Err(mut faults) = document.put(&slot, value) {
                        faults.slot = Some(slot);
                        left_out.push(faults);
                    }
                }
                Err(error) => left_out.push(Faults::of(None, Fault::new("", None, error.to_string()))),
            }
        }
        (document, left_out)
    }

    /// Sets one flag, or all that is beside them.
    ///
    /// # Errors
    /// If the value is no JSON object, or has a member twice. The document is as it was.
    pub fn put(&mut self, slot: &Slot, value: &[u8]) -> Result<(), Faults> {
        let members = members("", value)?;
        match slot {
            Slot::Flag(name) => {
                // The text was just read, so it is UTF-8.
                self.flags.insert(name.clone(), String::from_utf8_lossy(value).trim().into());
            }
            Slot::Set => {
                if members.iter().any(|(name, _)| name == "flags") {
                    let reason = "flags have entries of their own: take them out of this one";
                    return Err(Faults::of(None, Fault::new("/flags", None, reason)));
                }
                self.rest = members.into_iter().map(|(name, raw)| (name, raw.get().into())).collect();
            }
        }
        Ok(())
    }

    /// The definitions of the flags, by name.
    pub fn flags(&self) -> impl Iterator<Item = (&FlagName, &str)> {
        self.flags.iter().map(|(name, text)| (name, &**text))
    }

    /// What stands beside the flags, as a JSON object; `None` if nothing does.
    #[must_use]
    pub fn set(&self) -> Option<String> {
        let members: Vec<_> =
            self.rest.iter().map(|(name, text)| format!("{}:{text}", quoted(name))).collect();
        (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
    }

    /// The entries that this document is kept as: where each stands, and its value.
    pub fn split(&self) -> impl Iterator<Item = (Slot, String)> {
        let set = self.set().map(|text| (Slot::Set, text));
        let flags = self.flags.iter().map(|(name, text)| (Slot::Flag(name.clone()), text.to_string()));
        set.into_iter().chain(flags)
    }
}

impl fmt::Display for Document {
    /// The file: a line for each flag, unless its own text has several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (name, text) in &self.rest {
            write!(f, "\n  {}: {text},", quoted(name))?;
        }
        f.write_str("\n  \"flags\": {")?;
        for (at, (name, text)) in self.flags.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}\n    {}: {text}", quoted(name.as_str()))?;
        }
        f.write_str(if self.flags.is_empty() { "}" } else { "\n  }" })?;
        f.write_str("\n}\n")
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The members of an object that stands at `pointer`; everything in it is read, so
/// that a text that is kept is good JSON throughout.
pub(crate) fn members<'a>(pointer: &str, text: &'a [u8]) -> Result<Vec<(String, &'a RawValue)>, Faults> {
    let wrong = |fault| Faults::of(None, fault);
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        let position = Some((error.line(), error.column()));
        wrong(Fault { position, ..Fault::new(pointer, None, error.to_string()) })
    })?;
    let mut seen = std::collections::HashSet::new();
    for (name, raw) in &members {
        let mut place = pointer.to_owned();
        json::push(&mut place, name);
        if !seen.insert(name) {
            return Err(wrong(Fault::new(&place, None, "this member is there twice: remove one")));
        }
        if place != "/flags" {
            json::parse(&place, raw.get().as_bytes()).map_err(wrong)?;
        }
    }
    Ok(members)
}

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn through_entries(document: &Document) -> Document {
        let entries: Vec<_> = document.split().collect();
        let (joined, left_out) =
            Document::join(entries.iter().map(|(slot, value)| (slot.key(), value.as_bytes())));
        assert_eq!(left_out, []);
        joined
    }

    #[test]
    fn the_demonstrations_file_survives() {
        let text = include_str!("../../../hub/demo/otel-demo.flagd.json");
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.flags().count(), 16);
        let joined = through_entries(&document);
        assert_eq!(joined, document);
        assert_eq!(joined.to_string(), text);
    }

    #[test]
    fn texts_are_kept_as_they_are_written() {
        let text = br#"{"metadata": {"z":1.0, "a": 1e2}, "flags": {"x": {"variants":{"b":1.50,"a":12345678901234567890123}}}}"#;
        let joined = through_entries(&Document::parse(text).unwrap()).to_string();
        assert!(joined.contains(r#"{"z":1.0, "a": 1e2}"#), "{joined}");
        assert!(joined.contains(r#"{"b":1.50,"a":12345678901234567890123}"#), "{joined}");
    }

    #[test]
    fn what_is_no_flagd_file_is_refused_with_its_place() {
        let refused = |text: &str| Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("[]").contains("JSON object"), "{}", refused("[]"));
        assert!(refused("{}").contains("no member `flags`"));
        assert!(refused(r#"{"flags": []}"#).contains("`/flags`: is an array"));
        assert!(refused(r#"{"flags": 1}"#).contains("`/flags`: "), "{}", refused(r#"{"flags": 1}"#));
        assert!(
            refused(r#"{"flags": {"a": {}, "a": {}}}"#).contains("`/flags/a`: this member is there twice")
        );
        assert!(refused(r#"{"flags": {"": {}}}"#).contains("must not be empty"));
        assert!(refused(r#"{"flags": {"a": {"b": 1, "b": 1}}}"#).contains("`/flags/a/b`"));
    }

    #[test]
    fn an_entry_that_could_not_stand_in_a_file_is_left_out_and_told() {
        let good: (&str, &[u8]) = ("tenant_config_flag.a", b"{}");
        let bad: [(&str, &[u8]); 4] = [
            ("tenant_config_flag.b", b"{"),
            ("tenant_config_flag.c", b"1"),
            ("tenant_config_flag.d..e", b"{}"),
            ("tenant_config_flags", b"{\"flags\":{}}"),
        ];
        let (document, left_out) =
            Document::join([good].into_iter().chain(bad).chain([("other", &b"x"[..])]));
        assert_eq!(document.to_string(), "{\n  \"flags\": {\n    \"a\": {}\n  }\n}\n");
        assert_eq!(left_out.len(), 4);
        assert!(left_out[0].to_string().starts_with("flag `b`: "), "{}", left_out[0]);
    }

    /// Any JSON, with names that need escapes.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn an_object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("\\PC{0,6}", any_json(), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_file_splits_into_entries_and_joins_again_without_loss(
            flags in prop::collection::btree_map("\\PC{1,12}", an_object(), 0..6),
            rest in prop::collection::btree_map("\\PC{0,6}", any_json(), 0..3),
        ) {
            let mut file = json!({"flags": flags});
            for (name, value) in rest {
                if name != "flags" {
                    file[name] = value;
                }
            }
            let document = Document::parse(file.to_string().as_bytes()).unwrap();
            let joined = through_entries(&document);
            prop_assert_eq!(&joined, &document);
            let read: Value = serde_json::from_str(&joined.to_string()).unwrap();
            prop_assert_eq!(read, file);
        }
    }
}
