//! Whom a flag is evaluated for.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// The targeting key and the attributes of whom a flag is evaluated for.
///
/// ```
/// use confhub_flags::Context;
///
/// let context = Context::of("user-42").with("country", "de").with("age", 33).with("beta", true);
/// assert_eq!(context.targeting_key(), Some("user-42"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    key: Option<String>,
    /// Sorted by name.
    attributes: Vec<(Cow<'static, str>, Value)>,
}

/// What is no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContextError(&'static str);

const TARGETING_KEY: &str = "targetingKey";

impl Context {
    /// A context without a targeting key and attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A context with a targeting key: what tells users apart, and by which they are
    /// spread over the variants of a `fractional` rule.
    #[must_use]
    pub fn of(targeting_key: impl Into<String>) -> Self {
        Self { key: Some(targeting_key.into()), attributes: Vec::new() }
    }

    /// The same with an attribute more, or with another value of it.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute. `targetingKey` is the targeting key, if the value is a
    /// text, and none otherwise.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        if name == TARGETING_KEY {
            self.key = match value {
                Value::String(key) => Some(key),
                _ => None,
            };
            return;
        }
        match self.find(&name) {
            Ok(at) => self.attributes[at].1 = value,
            Err(at) => self.attributes.insert(at, (name, value)),
        }
    }

    /// Reads a context as OFREP and others send it: an object of attributes with
    /// `targetingKey` among them.
    ///
    /// # Errors
    /// If it is no object, or the targeting key is no text.
    pub fn from_json(value: Value) -> Result<Self, ContextError> {
        let Value::Object(members) = value else {
            return Err(ContextError("the context must be a JSON object"));
        };
        if matches!(members.get(TARGETING_KEY), Some(key) if !key.is_string() && !key.is_null()) {
            return Err(ContextError("the context's `targetingKey` must be a text"));
        }
        let mut context = Self::new();
        for (name, value) in members {
            context.set(name, value);
        }
        Ok(context)
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members: Map<_, _> =
            self.attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        if let Some(key) = &self.key {
            members.insert(TARGETING_KEY.to_owned(), Value::from(key.as_str()));
        }
        Value::Object(members)
    }

    /// The targeting key.
    #[must_use]
    pub fn targeting_key(&self) -> Option<&str> {
        self.key()
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.find(name).ok().map(|at| &self.attributes[at].1)
    }

    /// All attributes, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.attributes.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_context_is_what_was_set_last() {
        let context = Context::of("a").with("b", 1).with("a", "x").with("b", 2).with("targetingKey", "c");
        assert_eq!(context.to_json(), json!({"a": "x", "b": 2, "targetingKey": "c"}));
        assert_eq!(Context::from_json(context.to_json()), Ok(context));
    }

    #[test]
    fn what_is_no_context_is_refused() {
        assert!(Context::from_json(json!([])).is_err());
        let refused = Context::from_json(json!({"targetingKey": 1})).unwrap_err();
        assert!(refused.to_string().contains("`targetingKey` must be a text"));
        assert_eq!(Context::from_json(json!({"targetingKey": null})), Ok(Context::new()));
    }
}
