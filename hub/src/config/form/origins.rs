//! Origins of web pages.

use super::super::source::Raw;
use super::{Form, Words};
use http::Uri;

/// Origins (RFC 6454), or `*` for any.
pub(in crate::config) struct Origins;

impl Form for Origins {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        "origins such as `https://shop.example.com` or `http://localhost:3000`, or `*` for any (empty: none)"
            .to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Vec<String>, Option<String>> {
        let origins = Words.parse(raw)?;
        match origins.iter().find(|origin| *origin != "*" && !is_origin(origin)) {
            Some(other) => Err(Some(format!("`{other}` is none"))),
            None => Ok(origins),
        }
    }

    fn show(&self, value: &Vec<String>) -> String {
        Words.show(value)
    }
}

/// Whether browsers would send a text as an origin: a scheme, a host, and perhaps a port.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    matches!(scheme, "https" | "http")
        && !authority.as_str().contains('@')
        && text == format!("{scheme}://{}", authority.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_browser_would_send_is_refused() {
        let parse = |text: &str| Origins.parse(&Raw::Text(text.to_owned()));
        let good = parse("https://shop.example.com, http://localhost:3000").unwrap();
        assert_eq!(Origins.show(&good), r#"["https://shop.example.com", "http://localhost:3000"]"#);
        assert_eq!(parse("*").unwrap(), ["*"]);
        assert_eq!(parse("").unwrap(), [""; 0]);
        for bad in
            ["https://a/", "https://a/b", "a.example", "https://A.example", "ftp://a", "https://u@a", "null"]
        {
            let refused = parse(bad).unwrap_err().unwrap();
            assert!(refused.contains(bad), "{refused}");
        }
    }
}
