//! Which entries are flags: by their keys, and what their content type is then.

use crate::name::shown;
use crate::{FlagName, FlagNameError};
use std::fmt;

/// Media type of a flag's definition.
pub const FLAG_TYPE: &str = "application/vnd.confhub.flag+json";

/// Media type of what a flagd file says beside its flags.
pub const SET_TYPE: &str = "application/vnd.confhub.flag-set+json";

/// Key of what a flagd file says beside its flags.
pub const SET_KEY: &str = "tenant_config_flags";

/// What an entry is to flags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// What belongs to no flag: evaluators, metadata, the schema's name.
    Set,
    /// One flag's definition.
    Flag(FlagName),
}

/// An entry that claims to be a flag's and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The key is that of no flag.
    #[error(transparent)]
    Name(#[from] FlagNameError),
    /// The content type is a flag's and the key is not, or is one of another kind.
    #[error(
        "the key `{key}` and the content type `{content_type}` do not belong together: \
         `tenant_config_flag.NAME` has {FLAG_TYPE}, `{SET_KEY}` has {SET_TYPE}, and no other key has either"
    )]
    Type {
        /// The key.
        key: String,
        /// The content type.
        content_type: String,
    },
    /// The entry is marked as a secret.
    #[error("`{key}` is a flag and cannot be a secret: services have to read it. Write it without the mark")]
    Secret {
        /// The key.
        key: String,
    },
}

impl Slot {
    /// What the entry with this key is; `None`: no flag.
    ///
    /// # Errors
    /// If it begins as the keys of flags do, but is none of them.
    pub fn of_key(key: &str) -> Result<Option<Self>, FlagNameError> {
        if key == SET_KEY {
            return Ok(Some(Self::Set));
        }
        FlagName::of_key(key).transpose().map(|name| name.map(Self::Flag))
    }

    /// What an entry that somebody wants to write is, by all but its value. A hub
    /// asks this before it checks the value.
    ///
    /// # Errors
    /// If key, content type and mark do not go together.
    pub fn of_write(key: &str, content_type: &str, secret: bool) -> Result<Option<Self>, SlotError> {
        let slot = Self::of_key(key)?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |media_type: &str| essence.eq_ignore_ascii_case(media_type);
        let fits = match &slot {
            None => !is(FLAG_TYPE) && !is(SET_TYPE),
            Some(slot) => is(slot.content_type()),
        };
        if !fits {
            let content_type = shown(content_type);
            return Err(SlotError::Type { key: key.to_owned(), content_type });
        }
        if secret && slot.is_some() {
            return Err(SlotError::Secret { key: key.to_owned() });
        }
        Ok(slot)
    }

    /// The key of the entry.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Flag(name) => name.key().as_str(),
            Self::Set => SET_KEY,
        }
    }

    /// The content type of the entry.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Flag(_) => FLAG_TYPE,
            Self::Set => SET_TYPE,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag `{}`", shown(name.as_str())),
            Self::Set => f.write_str("the flag set"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_has_a_flags_key_and_type_and_is_no_secret() {
        let flag = Slot::Flag(FlagName::new("a/b").unwrap());
        assert_eq!(Slot::of_write(flag.key(), FLAG_TYPE, false), Ok(Some(flag.clone())));
        assert_eq!(Slot::of_write(SET_KEY, &format!("{SET_TYPE}; v=1"), false), Ok(Some(Slot::Set)));
        assert_eq!(Slot::of_write("tenant_config_other", "text/plain", true), Ok(None));
        for (key, content_type) in [
            ("tenant_config_other", FLAG_TYPE),
            ("tenant_config_other", SET_TYPE),
            (flag.key(), "application/json"),
            (flag.key(), SET_TYPE),
            (SET_KEY, FLAG_TYPE),
        ] {
            let refused = Slot::of_write(key, content_type, false).unwrap_err().to_string();
            assert!(refused.contains(key) && refused.contains(content_type), "{refused}");
        }
        assert!(matches!(Slot::of_write(flag.key(), FLAG_TYPE, true), Err(SlotError::Secret { .. })));
        assert!(matches!(
            Slot::of_write("tenant_config_flag.a..b", FLAG_TYPE, false),
            Err(SlotError::Name(_))
        ));
    }
}
