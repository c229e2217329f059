//! Names of flags, and how one becomes the key of an entry.
//!
//! Keys have a strict alphabet and flag names have none, so the bytes outside it
//! are escaped. The escape is one to one: a name has one key, and a key that no
//! name has is no flag's.

use crate::limits::SHOWN_CHARS;
use confhub_proto::{Key, limits::KEY_BYTES};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What the key of every flag begins with.
pub(crate) const PREFIX: &str = "tenant_config_flag.";

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The name of a flag, which flagd calls its key: any text that is not empty and,
/// once escaped, fits into the key of an entry.
#[derive(Clone)]
pub struct FlagName {
    name: Arc<str>,
    /// Follows from the name.
    key: Key,
}

/// A name that no flag can have, or a key that no flag has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagNameError {
    /// There is nothing.
    #[error("a flag's name must not be empty")]
    Empty,
    /// It does not fit into the key of an entry.
    #[error("the flag name `{shown}` takes {bytes} bytes in a key; at most {} are allowed: shorten it \
             (a character outside A-Z, a-z, 0-9, `_`, `.` and `-` takes four for each of its bytes)",
            KEY_BYTES - PREFIX.len())]
    Long {
        /// The beginning of the name.
        shown: String,
        /// What it takes, in bytes.
        bytes: usize,
    },
    /// The part of the key after its prefix is no name's.
    #[error("the key `{key}` is no flag's: write it as {meant}")]
    Key {
        /// The key.
        key: String,
        /// What the writer may have meant.
        meant: String,
    },
}

impl FlagName {
    /// Takes a name.
    ///
    /// # Errors
    /// If it is empty or, once escaped, too long for a key.
    pub fn new(name: &str) -> Result<Self, FlagNameError> {
        if name.is_empty() {
            return Err(FlagNameError::Empty);
        }
        let key = format!("{PREFIX}{}", escape(name));
        // The alphabet is kept, so only its length can be wrong.
        let key = Key::new(&key)
            .map_err(|_| FlagNameError::Long { shown: shown(name), bytes: key.len() - PREFIX.len() })?;
        Ok(Self { name: name.into(), key })
    }

    /// The name whose key this is; `None` if it does not begin as those of flags do.
    ///
    /// # Errors
    /// If it does, but no name has this key.
    pub fn of_key(key: &str) -> Option<Result<Self, FlagNameError>> {
        let escaped = key.strip_prefix(PREFIX)?;
        let read = unescape(escaped).and_then(|name| Self::new(&name).ok());
        Some(match read {
            Some(name) if name.key.as_str() == key => Ok(name),
            other => {
                let meant = other.map_or_else(
                    || {
                        format!(
                            "{PREFIX}NAME, where each byte outside the alphabet is `..` and two hex digits"
                        )
                    },
                    |name| format!("`{}`", name.key),
                );
                Err(FlagNameError::Key { key: shown(key), meant })
            }
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The key of the flag's entry.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl PartialEq for FlagName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for FlagName {}

impl PartialOrd for FlagName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FlagName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Hash for FlagName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Borrow<str> for FlagName {
    fn borrow(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for FlagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for FlagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.name, f)
    }
}

/// The beginning of a text, fit for an error or a log.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Every byte outside the alphabet becomes `..HH`. So does a dot before another or
/// before such a byte, since it would be read as the beginning of an escape.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [byte, after @ ..] = rest {
        let ambiguous = *byte == b'.' && after.first().is_some_and(|next| *next == b'.' || !is_plain(*next));
        if is_plain(*byte) && !ambiguous {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str("..");
            escaped.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        rest = after;
    }
    escaped
}

/// Undoes [`escape`], and some of what it does not give: the caller compares.
fn unescape(escaped: &str) -> Option<String> {
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    loop {
        match rest {
            [] => return String::from_utf8(name).ok(),
            [b'.', b'.', high, low, after @ ..] => {
                let digit =
                    |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                name.push(digit(high)? << 4 | digit(low)?);
                rest = after;
            }
            [byte, after @ ..] => {
                name.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> String {
        FlagName::new(name).unwrap().key().as_str().to_owned()
    }

    #[test]
    fn common_names_are_their_keys() {
        for name in ["adFailure", "a.b.c", "new-checkout_2", "trailing.", ".leading"] {
            assert_eq!(key(name), format!("tenant_config_flag.{name}"));
        }
    }

    #[test]
    fn bytes_outside_the_alphabet_are_escaped() {
        assert_eq!(key("a/b"), "tenant_config_flag.a..2Fb");
        assert_eq!(key("é"), "tenant_config_flag...C3..A9");
        assert_eq!(key("a..b"), "tenant_config_flag.a..2E.b");
        assert_eq!(key("a./b"), "tenant_config_flag.a..2E..2Fb");
    }

    #[test]
    fn keys_that_no_name_has_are_refused_with_what_was_meant() {
        let refused = |key: &str| FlagName::of_key(key).unwrap().unwrap_err().to_string();
        assert!(refused("tenant_config_flag.a..2fb").contains("`tenant_config_flag.a..2Fb`"));
        assert!(refused("tenant_config_flag.a..41").contains("`tenant_config_flag.aA`"));
        for bad in ["", "..", "..2", "..GG", "..FF", "a..b", "..2E"] {
            refused(&format!("{PREFIX}{bad}"));
        }
        assert!(FlagName::of_key("tenant_config_flags").is_none());
        assert!(FlagName::of_key("tenant_config_other").is_none());
    }

    #[test]
    fn a_name_is_neither_empty_nor_longer_than_a_key_takes() {
        assert_eq!(FlagName::new(""), Err(FlagNameError::Empty));
        assert!(FlagName::new(&"a".repeat(237)).is_ok());
        let long = FlagName::new(&"é".repeat(30)).unwrap_err().to_string();
        assert!(long.contains("takes 240 bytes") && long.contains("at most 237"), "{long}");
    }

    proptest! {
        #[test]
        fn a_name_has_one_key_and_the_key_that_name(name in "[ab./\u{e9}]{1,12}|\\PC{1,20}") {
            let flag = FlagName::new(&name).unwrap();
            let read = FlagName::of_key(flag.key().as_str()).unwrap().unwrap();
            prop_assert_eq!(read.as_str(), name);
        }

        #[test]
        fn a_key_is_that_of_its_name_or_refused(rest in "[.A2EFf-]{0,12}") {
            let key = format!("{PREFIX}{rest}");
            if let Some(Ok(name)) = FlagName::of_key(&key) {
                prop_assert_eq!(name.key().as_str(), key);
            }
        }
    }
}
