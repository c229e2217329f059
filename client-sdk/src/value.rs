//! From the bytes of an entry to a type of the program.

use crate::ValueError;
use confhub_proto::Entry;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

/// Parses the value of an entry: as JSON, whatever its content type, except
/// that `text/plain` is taken as a string where `T` takes one, so that a text
/// need not be quoted, and as JSON otherwise (numbers, booleans).
///
/// # Errors
/// If the entry is a secret, or the value is no `T`.
pub fn parse<T: DeserializeOwned>(entry: &Entry) -> Result<T, ValueError> {
    if entry.is_secret() {
        return Err(ValueError::Secret { key: entry.key().clone() });
    }
    if is_text(entry.content_type())
        && let Ok(text) = std::str::from_utf8(entry.value())
        && let Ok(value) = from_text(text)
    {
        return Ok(value);
    }
    serde_json::from_slice(entry.value())
        .map_err(|error| malformed::<T>(entry, (error.line(), error.column()), &error.to_string()))
}

/// The error of an entry that is no `T`, at a line and a column.
pub(crate) fn malformed<T>(entry: &Entry, (line, column): (usize, usize), reason: &str) -> ValueError {
    ValueError::Malformed {
        key: entry.key().clone(),
        version: entry.version(),
        content_type: entry.content_type().into(),
        expected: std::any::type_name::<T>(),
        line,
        column,
        reason: reason.into(),
    }
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, serde::de::value::Error> {
    let text: StrDeserializer<'_, _> = text.into_deserializer();
    T::deserialize(text)
}

/// Whether a media type is `text/plain`, with or without parameters.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::entry;
    use confhub_proto::Content;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Safe,
    }

    #[test]
    fn json_is_parsed_whatever_the_content_type_says() {
        for content_type in [Content::JSON, Content::BINARY, "application/vnd.x+json"] {
            assert_eq!(parse::<Vec<u8>>(&entry("k", 1, "[1,2]", content_type)), Ok(vec![1, 2]));
        }
    }

    #[test]
    fn text_is_a_string_where_one_is_wanted_and_json_elsewhere() {
        let text = |value| entry("k", 1, value, Content::TEXT);
        assert_eq!(parse::<String>(&text("plain")), Ok("plain".to_owned()));
        assert_eq!(parse::<String>(&text("42")), Ok("42".to_owned()));
        assert_eq!(parse::<String>(&text("\"quoted\"")), Ok("\"quoted\"".to_owned()));
        assert_eq!(parse::<u32>(&text("42")), Ok(42));
        assert_eq!(parse::<f64>(&text("0.5")), Ok(0.5));
        assert_eq!(parse::<bool>(&text("true")), Ok(true));
        assert_eq!(parse::<Mode>(&text("safe")), Ok(Mode::Safe));
        assert_eq!(parse::<Mode>(&entry("k", 1, "\"fast\"", Content::JSON)), Ok(Mode::Fast));
        assert_eq!(parse::<std::net::IpAddr>(&text("::1")), Ok([0, 0, 0, 0, 0, 0, 0, 1].into()));
    }

    #[test]
    fn the_error_names_key_version_and_expected_type() {
        let error = parse::<u32>(&entry("tenant_config_max", 7, "many", Content::TEXT)).unwrap_err();
        let quoting = parse::<u32>(&entry("k", 1, "\n\"hunter2\"", Content::JSON)).unwrap_err();
        assert!(quoting.to_string().contains("hunter2") && !quoting.without_value().contains("hunter2"));
        assert!(quoting.without_value().contains("line 2"), "{}", quoting.without_value());
        let error = error.to_string();
        assert!(error.contains("`tenant_config_max` version 7 (text/plain"), "{error}");
        assert!(error.contains("u32"), "{error}");
        assert!(parse::<String>(&entry("k", 1, "unquoted", Content::JSON)).is_err());
    }
}
