//! Names: tenants, services, keys and key prefixes, each checked against one
//! strict alphabet before it comes near a store, a path or a log.

use crate::limits;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name outside the alphabet, too long, or reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{shown}` {reason}")]
pub struct NameError {
    kind: &'static str,
    shown: String,
    reason: String,
}

/// Longest part of a refused name that an error repeats.
const SHOWN_CHARS: usize = 48;

impl NameError {
    fn new(kind: &'static str, name: &str, reason: impl Into<String>) -> Self {
        let mut shown: String = name.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
        if name.chars().nth(SHOWN_CHARS).is_some() {
            shown.push('…');
        }
        Self { kind, shown, reason: reason.into() }
    }
}

fn check(kind: &'static str, name: &str, longest: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::new(kind, name, "is empty"));
    }
    if name.len() > longest {
        let reason = format!("has {} bytes; at most {longest} are allowed", name.len());
        return Err(NameError::new(kind, name, reason));
    }
    let bad = name.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')));
    if let Some((at, c)) = bad {
        let reason =
            format!("has {c:?} at byte {at}; allowed are the letters A-Z and a-z, digits, `_`, `.` and `-`");
        return Err(NameError::new(kind, name, reason));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(NameError::new(kind, name, "must start with a letter or a digit"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $longest:expr, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `name` and takes it.
            ///
            /// # Errors
            /// If it is empty, too long, reserved, or outside the alphabet.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check($kind, name, $longest)?;
                let reserved: &[&str] = $reserved;
                if reserved.contains(&name) {
                    return Err(NameError::new($kind, name, "is reserved"));
                }
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// A tenant. Comes from a validated token and from nowhere else.
    TenantId, "tenant", limits::NAME_BYTES, &[]
}

name! {
    /// A service of a tenant. `shared` is reserved: it is how stores spell the
    /// entries that belong to no service.
    ServiceName, "service", limits::NAME_BYTES, &["shared"]
}

name! {
    /// The key of an entry. Its prefix names the backend that owns it.
    Key, "key", limits::KEY_BYTES, &[]
}

name! {
    /// The beginning of keys: narrows a view, or routes to a backend.
    Prefix, "prefix", limits::KEY_BYTES, &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_strict() {
        for good in ["a", "tenant_config_x", "A.b-c_9", "0"] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "_a", ".", "..", "a/b", "a b", "a#b", "a|b", "a\0", "é", "а", "a\n"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert!(Key::new(&"k".repeat(256)).is_ok());
        assert!(Key::new(&"k".repeat(257)).is_err());
        assert!(ServiceName::new("shared").is_err());
    }

    #[test]
    fn the_error_names_the_value_and_the_reason_and_stays_short() {
        let error = Key::new("tenant config").unwrap_err().to_string();
        assert!(error.contains("`tenant config` has ' ' at byte 6"), "{error}");
        assert!(Key::new(&"\u{7}".repeat(9_999)).unwrap_err().to_string().len() < 500);
    }
}
