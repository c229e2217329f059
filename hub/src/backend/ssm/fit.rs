//! What Parameter Store can keep, told before it is asked.

use super::parameter::text_type;
use crate::config::{ParameterTier, StringLists};
use aws_sdk_ssm::types::ParameterType;
use confhub_proto::Content;

/// Largest value of the standard tier, in bytes.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
const STANDARD_BYTES: usize = 4_096;

/// Largest value of the advanced tier, in bytes (same page).
const ADVANCED_BYTES: usize = 8_192;

/// What a parameter is written as. Has no `Debug`, since it holds the value.
pub(super) struct Fitted {
    pub(super) kind: ParameterType,
    pub(super) value: String,
}

/// The settings that decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) tier: ParameterTier,
    pub(super) lists: StringLists,
}

impl Rules {
    /// What `content` is written as, over a parameter of type `existing` if there
    /// is one. A list stays a list, for those who read it as one.
    ///
    /// # Errors
    /// What cannot be kept, and what to do.
    pub(super) fn fit(self, content: &Content, existing: Option<&ParameterType>) -> Result<Fitted, String> {
        let Ok(text) = std::str::from_utf8(&content.value) else {
            return Err(
                "the value is not UTF-8, and Parameter Store keeps text alone: write it in Base64, or under a \
                        prefix of another backend"
                    .to_owned(),
            );
        };
        let fitted = if content.secret {
            check_secret_type(&content.content_type)?;
            Fitted { kind: ParameterType::SecureString, value: text.to_owned() }
        } else if existing == Some(&ParameterType::StringList) {
            self.list(text, &content.content_type)?
        } else {
            check_type(text, &content.content_type)?;
            Fitted { kind: ParameterType::String, value: text.to_owned() }
        };
        self.check_size(&fitted.value)?;
        Ok(fitted)
    }

    /// Checks the size of what would be written.
    ///
    /// # Errors
    /// If the tier does not take it; names sizes, tier and setting.
    pub(super) fn check_size(self, value: &str) -> Result<(), String> {
        let (limit, tier, help) = match self.tier {
            ParameterTier::Standard => {
                (STANDARD_BYTES, "standard", "; `aws.parameter-tier = \"intelligent\"` allows 8192")
            }
            ParameterTier::Advanced => (ADVANCED_BYTES, "advanced", ""),
            ParameterTier::Intelligent => (ADVANCED_BYTES, "intelligent", ""),
        };
        if value.is_empty() {
            return Err(
                "the value is empty, which Parameter Store does not keep: delete the entry, or write \
                        what stands for nothing, such as `null`"
                    .to_owned(),
            );
        }
        if value.len() > limit {
            return Err(format!(
                "the value has {} bytes, and the {tier} tier (`aws.parameter-tier`) takes at most {limit}{help}; \
                 larger values belong under a prefix of another backend",
                value.len()
            ));
        }
        Ok(())
    }

    fn list(self, text: &str, content_type: &str) -> Result<Fitted, String> {
        let kind = ParameterType::StringList;
        if self.lists == StringLists::Plain {
            check_given(content_type, Content::TEXT)?;
            return Ok(Fitted { kind, value: text.to_owned() });
        }
        check_given(content_type, Content::JSON)?;
        let parts: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        if parts.is_empty() || parts.iter().any(|part| part.contains(',')) {
            return Err("it is a StringList in Parameter Store, and the value is no JSON array of strings \
                        without commas: write one, or delete the entry first"
                .to_owned());
        }
        Ok(Fitted { kind, value: parts.join(",") })
    }
}

/// The media type must be one that is read back. A number or a word such as
/// `true` may be given as text too: it is the same value.
fn check_type(text: &str, given: &str) -> Result<(), String> {
    let read_back = text_type(text);
    let scalar = !text.trim_start().starts_with(['{', '[']);
    if given == Content::TEXT && scalar {
        return Ok(());
    }
    check_given(given, read_back)
}

fn check_given(given: &str, read_back: &str) -> Result<(), String> {
    // Bytes of unknown meaning are whatever they are read as.
    if given == read_back || given == Content::BINARY {
        return Ok(());
    }
    Err(format!(
        "its content type is `{given}`, and Parameter Store keeps none, so that it would be read back as \
         `{read_back}`: write it as that, or under a prefix of another backend"
    ))
}

/// What is in a secret cannot be told without decrypting it, so that any of
/// these is read back as text.
fn check_secret_type(given: &str) -> Result<(), String> {
    if given == Content::JSON { Ok(()) } else { check_given(given, Content::TEXT) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const RULES: Rules = Rules { tier: ParameterTier::Standard, lists: StringLists::Json };

    fn content(value: &[u8], content_type: &str, secret: bool) -> Content {
        Content { value: Bytes::copy_from_slice(value), content_type: content_type.into(), secret }
    }

    fn fit(value: &str, content_type: &str, existing: Option<&ParameterType>) -> Result<String, String> {
        let fitted = RULES.fit(&content(value.as_bytes(), content_type, false), existing)?;
        Ok(format!("{} {}", fitted.kind, fitted.value))
    }

    #[test]
    fn what_is_read_back_the_same_is_kept() {
        for (value, content_type) in [
            ("hello", Content::TEXT),
            ("5", Content::TEXT),
            ("5", Content::JSON),
            ("{\"a\":1}", Content::JSON),
            ("{\"a\":1}", Content::BINARY),
            ("{a", Content::TEXT),
        ] {
            assert_eq!(
                fit(value, content_type, None),
                Ok(format!("String {value}")),
                "{value} {content_type}"
            );
        }
        for (value, content_type) in
            [("{\"a\":1}", Content::TEXT), ("hello", Content::JSON), ("a: 1", "application/yaml")]
        {
            let error = fit(value, content_type, None).unwrap_err();
            assert!(error.contains(content_type) && error.contains("write it as"), "{error}");
        }
        let secret = RULES.fit(&content(b"{\"a\":1}", Content::JSON, true), None).map(|fitted| fitted.kind);
        assert_eq!(secret, Ok(ParameterType::SecureString));
    }

    #[test]
    fn lists_stay_lists() {
        let list = Some(&ParameterType::StringList);
        assert_eq!(fit("[\"a\", \"b\"]", Content::JSON, list), Ok("StringList a,b".to_owned()));
        for value in ["[]", "[\"a,b\"]", "[1]", "{}", "[\"\"]"] {
            assert!(fit(value, Content::JSON, list).is_err(), "{value}");
        }
        assert!(fit("a,b", Content::TEXT, list).is_err());
        let plain = Rules { lists: StringLists::Plain, ..RULES };
        let fitted = plain.fit(&content(b"a,b", Content::TEXT, false), list).map(|fitted| fitted.value);
        assert_eq!(fitted, Ok("a,b".to_owned()));
    }

    #[test]
    fn sizes_are_told_with_tier_and_setting() {
        let fit = |tier, bytes: usize| {
            let rules = Rules { tier, ..RULES };
            rules
                .fit(&content(&vec![b'x'; bytes], Content::TEXT, false), None)
                .map(|fitted| fitted.value.len())
        };
        assert_eq!(fit(ParameterTier::Standard, 4_096), Ok(4_096));
        let error = fit(ParameterTier::Standard, 4_097).unwrap_err();
        for part in ["4097", "standard", "aws.parameter-tier", "4096", "intelligent"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(fit(ParameterTier::Intelligent, 8_192), Ok(8_192));
        assert!(fit(ParameterTier::Advanced, 8_193).is_err());
        assert!(fit(ParameterTier::Standard, 0).unwrap_err().contains("empty"));
        assert!(RULES.fit(&content(&[0xff], Content::BINARY, false), None).is_err());
    }
}
