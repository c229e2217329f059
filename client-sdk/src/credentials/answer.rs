//! What commands and issuers answer, read and made fit to be told.

use super::Issued;
use crate::limits;
use serde_json::Value;
use std::time::Duration;

/// The first of these fields that is a string, and `expires_in` in seconds (RFC 6749
/// section 5.1; some issuers write it as a string). `None`: it is no such object.
pub(super) fn issued(answer: &Value, fields: &[&str]) -> Option<Issued> {
    let token = fields.iter().find_map(|field| answer.get(field)?.as_str())?;
    let issued = Issued::new(token.to_owned());
    let seconds = answer.get("expires_in").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    });
    Some(match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(lives) => issued.lives(lives),
        None => issued,
    })
}

/// Somebody else's words, as an error repeats them: on one line, cut short, and
/// without what is secret.
pub(super) fn words(said: &str, secrets: &[&str]) -> String {
    let mut said = said.trim().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        said = said.replace(secret, "…");
    }
    let mut words: String = said
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(limits::TOKEN_WORDS)
        .collect();
    if words.len() < said.len() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_field_that_there_is_counts_and_its_life_in_any_spelling() {
        let fields = ["access_token", "id_token"];
        for (answer, token, lives) in [
            (json!({"access_token": "a", "id_token": "b", "expires_in": 60}), Some("a"), Some(60)),
            (json!({"id_token": "b", "expires_in": "60"}), Some("b"), Some(60)),
            (json!({"id_token": "b", "expires_in": -1}), Some("b"), None),
            (json!({"id_token": 7}), None, None),
            (json!(["access_token"]), None, None),
        ] {
            let issued = issued(&answer, &fields);
            assert_eq!(issued.as_ref().map(|issued| issued.token.as_str()), token, "{answer}");
            assert_eq!(issued.and_then(|issued| issued.lives), lives.map(Duration::from_secs), "{answer}");
        }
    }

    #[test]
    fn words_are_short_on_one_line_and_without_secrets() {
        assert_eq!(words(" no\nluck with hunter2\u{1b}[1m ", &["hunter2", ""]), "no luck with … [1m");
        let long = words(&"é".repeat(1_000), &[]);
        assert_eq!(long.chars().count(), limits::TOKEN_WORDS + 1);
    }
}
