//! Where an issuer says that its keys are: OpenID Connect Discovery 1.0,
//! section 4, which RFC 8414 (section 5) keeps as it was.
//!
//! The document is believed only if it is of the issuer that was asked for, and
//! leads only where the settings could lead: `https`, or `http` on this machine.

use crate::url;
use http::Uri;

/// Where the document of `issuer` is.
///
/// # Errors
/// The reason why it can be nowhere.
pub fn document_of(issuer: &str) -> Result<Uri, String> {
    let refused = |reason| format!("it {reason}");
    let uri = url::check(issuer, false).map_err(refused)?;
    // Section 2 of RFC 8414: an issuer has neither.
    if uri.query().is_some() || issuer.contains('#') {
        return Err("it has a query or a fragment, which no issuer has".to_owned());
    }
    let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    url::check(&document, false).map_err(refused)
}

/// Where the keys are, by the document that was read for `issuer`.
///
/// # Errors
/// What is wrong with the document.
pub(super) fn keys_of(issuer: &str, document: &[u8]) -> Result<Uri, String> {
    #[derive(serde::Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let document: Document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    if document.issuer != issuer {
        let other = super::error::shown(&document.issuer);
        return Err(format!("it is the document of the issuer `{other}`, not of `{issuer}`"));
    }
    let keys = url::check(&document.jwks_uri, false).map_err(|reason| format!("its `jwks_uri` {reason}"))?;
    if issuer.starts_with("https:") && keys.scheme_str() != Some("https") {
        return Err("its `jwks_uri` is plain http, though the issuer is https".to_owned());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_below_the_issuer() {
        for (issuer, document) in [
            ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
            ("https://idp.example/", "https://idp.example/.well-known/openid-configuration"),
            ("https://idp.example/a/b", "https://idp.example/a/b/.well-known/openid-configuration"),
            ("http://127.0.0.1:1/p", "http://127.0.0.1:1/p/.well-known/openid-configuration"),
        ] {
            assert_eq!(document_of(issuer).unwrap().to_string(), document, "{issuer}");
        }
        for bad in
            ["confhub", "http://idp.example", "https://idp.example?a=b", "https://u@idp.example", "ftp://x"]
        {
            assert!(document_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_leads_to_the_keys_of_its_own_issuer_over_a_safe_way() {
        let issuer = "https://idp.example/pool";
        let read = |issuer: &str, said: &str, keys: &str| {
            keys_of(
                issuer,
                serde_json::json!({ "issuer": said, "jwks_uri": keys, "x": 1 }).to_string().as_bytes(),
            )
        };
        let keys = read(issuer, issuer, "https://keys.example/k").unwrap();
        assert_eq!(keys.to_string(), "https://keys.example/k");
        assert!(read("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:2/k").is_ok());
        for (said, keys, part) in [
            (
                "https://idp.example/pool/",
                "https://keys.example/k",
                "of the issuer `https://idp.example/pool/`",
            ),
            ("https://evil.example", "https://keys.example/k", "not of `https://idp.example/pool`"),
            (issuer, "http://keys.example/k", "loopback"),
            (issuer, "http://127.0.0.1:1/k", "plain http"),
            (issuer, "file:///etc/passwd", "`jwks_uri`"),
            (issuer, "https://u:p@keys.example/k", "must not name a user"),
            (issuer, "", "no URL"),
        ] {
            let error = read(issuer, said, keys).unwrap_err();
            assert!(error.contains(part), "{said} {keys}: {error}");
        }
        for text in ["", "[]", "<html>", r#"{"issuer":"https://idp.example/pool"}"#] {
            assert!(keys_of(issuer, text.as_bytes()).is_err(), "{text}");
        }
    }
}
