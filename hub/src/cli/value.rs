//! The value of `put`: where it is read from, and what it is taken for.

use super::error::CliError;
use super::file;
use confhub_flags::Slot;
use confhub_proto::{Content, limits};
use std::path::Path;

/// Reads `VALUE`, `-` (standard input) or `@FILE`.
///
/// One line break at the end of standard input belongs to the shell, not to
/// the value; a file is taken byte for byte.
pub(crate) fn read(argument: &str) -> Result<Vec<u8>, CliError> {
    if argument == "-" {
        // Room for the line break that is taken off.
        let mut bytes = file::read_stdin(limits::VALUE_BYTES + 2)?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        return Ok(bytes);
    }
    match argument.strip_prefix('@') {
        Some(path) => file::read(Path::new(path), limits::VALUE_BYTES),
        None => Ok(argument.as_bytes().to_vec()),
    }
}

/// Whether the value itself stands on the command line.
pub(crate) fn is_typed(argument: &str) -> bool {
    argument != "-" && !argument.starts_with('@')
}

/// The type of the values of a key that is a flag's.
pub(crate) fn flag_type(key: &str) -> Option<&'static str> {
    Slot::of_key(key).ok().flatten().map(|slot| slot.content_type())
}

/// What a value without a stated type is: JSON if it parses as JSON, text if it
/// is UTF-8, otherwise bytes.
pub(crate) fn guess_type(value: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok() {
        return Content::JSON;
    }
    match std::str::from_utf8(value) {
        Ok(_) => Content::TEXT,
        Err(_) => Content::BINARY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_as_help_says() {
        for json in ["5", "-1.5e3", "true", "null", "{\"a\":1}", "[]", "\"quoted\"", " 5\n"] {
            assert_eq!(guess_type(json.as_bytes()), Content::JSON, "{json}");
        }
        for text in ["", "word", "kafka:9092", "True", "5 apples", "{a:1}", "01", "http://x"] {
            assert_eq!(guess_type(text.as_bytes()), Content::TEXT, "{text}");
        }
        assert_eq!(guess_type(&[0xff, 0xfe]), Content::BINARY);
    }

    #[test]
    fn files_are_taken_byte_for_byte_and_bounded() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"x\n").unwrap();
        let argument = format!("@{}", file.path().display());
        assert_eq!(read(&argument).unwrap(), b"x\n");
        std::io::Write::write_all(&mut file, &vec![b'x'; limits::VALUE_BYTES]).unwrap();
        let error = read(&argument).unwrap_err().to_string();
        assert!(error.contains("at most 524288 bytes"), "{error}");
        assert!(read("@/nowhere/at/all").unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
