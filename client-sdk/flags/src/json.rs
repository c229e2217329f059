//! JSON read strictly: no member twice, and no deeper than rules may be.

use crate::error::Fault;
use crate::limits::DEPTH;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads a text that stands at `pointer`.
pub(crate) fn parse(pointer: &str, text: &[u8]) -> Result<Value, Fault> {
    let mut path = pointer.to_owned();
    let mut parser = serde_json::Deserializer::from_slice(text);
    let read = Read { path: &mut path, depth: 0 }.deserialize(&mut parser);
    read.and_then(|value| parser.end().map(|()| value)).map_err(|error| {
        let words = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = words.strip_suffix(&position).unwrap_or(&words).to_owned();
        Fault { position: Some((error.line(), error.column())), ..Fault::new(&path, None, reason) }
    })
}

/// Adds a step to a JSON pointer.
pub(crate) fn push(pointer: &mut String, step: &str) {
    pointer.push('/');
    for c in step.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Builds a value. After an error, `path` is where it happened.
struct Read<'p> {
    path: &'p mut String,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Read<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth == DEPTH {
            return Err(E::custom(format_args!("is nested more than {DEPTH} deep: make it flatter")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("is no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        let before = self.path.len();
        loop {
            push(self.path, &items.len().to_string());
            let item = seq.next_element_seed(Read { path: &mut *self.path, depth })?;
            self.path.truncate(before);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut members = Map::new();
        let before = self.path.len();
        while let Some(name) = map.next_key::<String>()? {
            push(self.path, &name);
            if members.contains_key(&name) {
                return Err(A::Error::custom("this member is there twice: remove one"));
            }
            let value = map.next_value_seed(Read { path: &mut *self.path, depth })?;
            members.insert(name, value);
            self.path.truncate(before);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_strict_json_is_named_with_its_place() {
        let error = |text: &str| parse("/at", text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error("{\"a\":{\"b/\":1,\n\"b/\":2}}"),
            "line 2 column 4, `/at/a/b~1`: this member is there twice: remove one"
        );
        assert!(error("[1, tru]").starts_with("line 1 column 8, `/at/1`: "), "{}", error("[1, tru]"));
        assert!(error("{} x").contains("trailing characters"));
        assert!(error(&"[".repeat(60)).contains("nested more than 48 deep"));
        assert!(error("1e999").contains("out of range"));
        assert_eq!(
            parse("", b"{\"a\":[1,null,\"x\",true]}").unwrap().to_string(),
            "{\"a\":[1,null,\"x\",true]}"
        );
    }
}
