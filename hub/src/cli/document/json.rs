//! JSON that knows where it stands: every value can say its line, column and
//! path, and keeps its own bytes.
//!
//! A text is checked as a whole first: syntax, and no key twice in any object,
//! since of two equal keys one would be lost without a word.

use super::DocumentError;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;

/// A checked JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// Checks `bytes`; errors call them `name`.
    pub(crate) fn check(name: &'a str, bytes: &'a [u8]) -> Result<Self, DocumentError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let (line, column) = position(bytes, error.valid_up_to());
            let reason = "is no UTF-8 text".to_owned();
            DocumentError { file: name.to_owned(), line, column, path: String::new(), reason }
        })?;
        let mut path = Vec::new();
        let mut parser = serde_json::Deserializer::from_str(text);
        let checked = Check { path: &mut path }.deserialize(&mut parser).and_then(|()| parser.end());
        checked.map_err(|error| DocumentError {
            file: name.to_owned(),
            line: error.line(),
            column: error.column(),
            path: path.concat().trim_start_matches('.').to_owned(),
            reason: without_position(&error),
        })?;
        Ok(Self { name, text })
    }

    /// The outermost value.
    pub(crate) fn root(self) -> Node<'a> {
        Node { source: self, raw: self.text.trim(), path: String::new() }
    }
}

/// Whether `text` is JSON that can stand in a document as it is: no key twice
/// in an object, and nested less deeply than readers give up at.
pub(crate) fn is_embeddable(text: &str) -> bool {
    /// Readers give up at 128; a document puts some levels around.
    const DEEPEST: usize = 100;
    let deepest = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'{' | b'[' => *depth += 1,
            b'}' | b']' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    deepest.max().unwrap_or(0) <= DEEPEST && Source::check("", text.as_bytes()).is_ok() && text.trim() == text
}

/// One value of a checked text.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    source: Source<'a>,
    raw: &'a str,
    path: String,
}

impl<'a> Node<'a> {
    /// The value's own bytes.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw
    }

    /// An error about this value.
    pub(crate) fn error(&self, reason: impl ToString) -> DocumentError {
        // A node's text is a part of its source's: the distance is where it starts.
        let offset = self.raw.as_ptr().addr().saturating_sub(self.source.text.as_ptr().addr());
        let (line, column) = position(self.source.text.as_bytes(), offset);
        DocumentError {
            file: self.source.name.to_owned(),
            line,
            column,
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    /// The members, if this is an object.
    pub(crate) fn members(&self) -> Result<Vec<(String, Self)>, DocumentError> {
        let Members(members) = self.parse("an object")?;
        let node = |(name, raw): (String, &'a RawValue)| {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            (name, Self { source: self.source, raw: raw.get(), path })
        };
        Ok(members.into_iter().map(node).collect())
    }

    /// The items, if this is an array.
    pub(crate) fn items(&self) -> Result<Vec<Self>, DocumentError> {
        let items: Vec<&'a RawValue> = self.parse("an array")?;
        let node = |(at, raw): (usize, &'a RawValue)| {
            let path = format!("{}[{at}]", self.path);
            Self { source: self.source, raw: raw.get(), path }
        };
        Ok(items.into_iter().enumerate().map(node).collect())
    }

    /// The text, if this is a string.
    pub(crate) fn string(&self) -> Result<String, DocumentError> {
        self.parse("a string")
    }

    /// The truth value, if this is one.
    pub(crate) fn boolean(&self) -> Result<bool, DocumentError> {
        self.parse("true or false")
    }

    /// The number, if this is a whole one that is not negative.
    pub(crate) fn number(&self) -> Result<u64, DocumentError> {
        self.parse("a whole number that is not negative")
    }

    /// Whether this is a string.
    pub(crate) fn is_string(&self) -> bool {
        self.raw.starts_with('"')
    }

    /// Whether this is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.raw.starts_with('{')
    }

    fn parse<T: serde::Deserialize<'a>>(&self, expected: &str) -> Result<T, DocumentError> {
        serde_json::from_str(self.raw).map_err(|_| self.error(format!("expected {expected}")))
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
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

/// Walks over a whole text. After an error, `path` is where it happened.
struct Check<'p> {
    path: &'p mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for at in 0_usize.. {
            self.path.push(format!("[{at}]"));
            let more = seq.next_element_seed(Check { path: &mut *self.path })?;
            self.path.pop();
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            self.path.push(format!(".{name}"));
            if !seen.insert(name) {
                return Err(A::Error::custom("this key is there twice"));
            }
            map.next_value_seed(Check { path: &mut *self.path })?;
            self.path.pop();
        }
        Ok(())
    }
}

/// Line and column, both from 1, of the byte at `offset`.
fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// The parser's words without ` at line 3 column 7`, which the error says itself.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Source::check("f", text.as_bytes()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named_with_line_column_and_path() {
        assert_eq!(error("{\n \"a\": {\n  \"b\": [1, tru]}}"), "f:3:15: `a.b[1]`: expected ident");
        assert_eq!(error("{\"a\": {\"b\": 1,\n\"b\": 2}}"), "f:2:3: `a.b`: this key is there twice");
        assert!(error("[1, {\"x\": 1, \"x\": 1}]").contains("`[1].x`: this key is there twice"));
        assert_eq!(error(""), "f:1:0: EOF while parsing a value");
        assert!(error("{} x").contains("f:1:4: trailing characters"));
        assert!(error(&"[".repeat(200)).contains("recursion limit"));
        let binary = Source::check("f", b"{\n\"\xff\"}").map(|_| ()).unwrap_err();
        assert_eq!((binary.line, binary.column), (2, 2));
    }

    #[test]
    fn values_know_where_they_stand_and_keep_their_bytes() {
        let text = " {\"a\": 1,\n  \"b\" : { \"c\":[ 1.50 ,  true ] } } ";
        let root = Source::check("f", text.as_bytes()).unwrap().root();
        let members = root.members().unwrap();
        assert_eq!(members[1].1.raw(), "{ \"c\":[ 1.50 ,  true ] }");
        let items = members[1].1.members().unwrap()[0].1.items().unwrap();
        assert_eq!(items[0].raw(), "1.50");
        assert_eq!(items[1].error("no").to_string(), "f:2:25: `b.c[1]`: no");
        assert_eq!(items[1].string().unwrap_err().reason, "expected a string");
    }
}
