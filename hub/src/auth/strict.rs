//! JSON that has one meaning: what two readers could read in two ways is refused.
//!
//! A member that is there twice (RFC 7519, section 4, lets a reader refuse it)
//! would be the first for one program and the last for the next; and nesting has
//! a bound, so that nothing that walks the value has to count.

use crate::limits;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};
use std::fmt;

/// Reads an object. `None`: it is none, or not only one.
pub(super) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A value that is `depth` arrays and objects deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > limits::TOKEN_DEPTH { Err(E::custom("nested too deeply")) } else { Ok(Self { depth }) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Occupied(_) => return Err(de::Error::custom("a member is there twice")),
                Entry::Vacant(place) => drop(place.insert(members.next_value_seed(inner)?)),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_one_meaning_is_read_as_it_is() {
        let text = r#" {"a":[1,-2,0.5,null,true,"x\u0000"],"b":{"a":{}},"A":1} "#;
        assert_eq!(
            object(text.as_bytes()).map(Value::Object),
            Some(json!({ "a": [1, -2, 0.5, null, true, "x\u{0}"], "b": { "a": {} }, "A": 1 }))
        );
    }

    #[test]
    fn what_has_two_meanings_or_none_is_refused() {
        let deep = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(deep(limits::TOKEN_DEPTH - 1).as_bytes()).is_some());
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            "{} {}",
            "{}x",
            "[]",
            "7",
            "",
            "{",
            r#"{"a":1e400}"#,
            r#"{"a":NaN}"#,
            r#"{"a":01}"#,
            "{'a':1}",
            "\u{feff}{}",
            r#"{"a":"\ud800"}"#,
            &deep(limits::TOKEN_DEPTH),
            &deep(100_000),
        ] {
            assert_eq!(object(bad.as_bytes()), None, "{}", &bad[..bad.len().min(40)]);
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    }
}
