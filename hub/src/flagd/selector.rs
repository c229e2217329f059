//! What a provider asks for: it narrows, and never widens.

use confhub_flags::Served;
use confhub_proto::{Prefix, ServiceName, flagd};
use http::HeaderMap;

/// Longest selector, in bytes: a service's name, a flag's name, and what is around them.
const BYTES: usize = 512;

/// A service, a beginning of flags' names, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The service whose view is meant; `None`: that of the token, or shared flags.
    pub(crate) service: Option<ServiceName>,
    /// What the names of the flags begin with.
    pub(crate) names: String,
}

/// A selector that selects nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the selector `{shown}` {wrong}: write `service=NAME`, `prefix=TEXT` (of the flags' names), both with a \
     comma between, or the name of a service"
)]
pub(crate) struct SelectorError {
    shown: String,
    wrong: String,
}

impl Selector {
    /// Reads the selector of a call: the header's if there is one, as in flagd, and
    /// otherwise that of the message.
    ///
    /// # Errors
    /// If it is none of the forms that there are.
    pub(crate) fn of_call(headers: &HeaderMap, message: &str) -> Result<Self, SelectorError> {
        let Some(header) = headers.get(flagd::SELECTOR_METADATA) else { return Self::parse(message) };
        let text = header.to_str().map_err(|_| wrong("", "of the metadata is no text".to_owned()))?;
        Self::parse(text)
    }

    /// Reads a selector; empty: everything.
    ///
    /// # Errors
    /// If it is none of the forms that there are.
    pub(crate) fn parse(text: &str) -> Result<Self, SelectorError> {
        let wrong = |reason: String| wrong(text, reason);
        let mut selector = Self::default();
        if text.is_empty() {
            return Ok(selector);
        }
        if text.len() > BYTES {
            return Err(wrong(format!("has {} bytes; at most {BYTES} are allowed", text.len())));
        }
        let mut seen = Vec::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or(("service", part));
            if seen.contains(&name) {
                return Err(wrong(format!("has `{name}` twice")));
            }
            seen.push(name);
            match name {
                "service" => {
                    let service =
                        ServiceName::new(value).map_err(|error| wrong(format!("is bad: {error}")))?;
                    selector.service = Some(service);
                }
                "prefix" => value.clone_into(&mut selector.names),
                _ => return Err(wrong(format!("has `{name}`, which nothing is selected by"))),
            }
        }
        // Told here rather than where it is used.
        selector.prefixes()?;
        Ok(selector)
    }

    /// What the keys of all entries that matter begin with.
    ///
    /// # Errors
    /// If no flag's name can begin as it was asked for.
    pub(crate) fn prefixes(&self) -> Result<Vec<Prefix>, SelectorError> {
        let wrong = |error: String| wrong(&self.names, format!("is bad: {error}"));
        let prefixes = Served::prefixes(&self.names).map_err(|error| wrong(error.to_string()))?;
        let prefix = |prefix: &String| Prefix::new(prefix).map_err(|error| wrong(error.to_string()));
        prefixes.iter().map(prefix).collect()
    }
}

fn wrong(text: &str, wrong: String) -> SelectorError {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    SelectorError { shown, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_names_a_service_a_beginning_or_both() {
        let read = |text: &str| {
            let selector = Selector::parse(text).unwrap();
            (selector.service.map(|service| service.to_string()).unwrap_or_default(), selector.names)
        };
        let is = |service: &str, names: &str| (service.to_owned(), names.to_owned());
        assert_eq!(read(""), is("", ""));
        assert_eq!(read("ad"), is("ad", ""));
        assert_eq!(read("service=ad"), is("ad", ""));
        assert_eq!(read("prefix=pay.=é"), is("", "pay.=é"));
        assert_eq!(read("prefix=pay,service=ad"), is("ad", "pay"));
        assert_eq!(read("prefix="), is("", ""));
    }

    #[test]
    fn what_selects_nothing_is_refused_with_what_could_be_written() {
        let long = "x".repeat(600);
        for bad in
            ["source=a", "ad,ad", "prefix=a,prefix=b", "service=", "service=a b", ",", "a/b", "shared", &long]
        {
            let refused = Selector::parse(bad).unwrap_err().to_string();
            assert!(refused.contains("`prefix=TEXT`") && refused.len() < 600, "{refused}");
        }
        let long = format!("prefix={}", "é".repeat(100));
        assert!(Selector::parse(&long).unwrap_err().to_string().contains("takes 800 bytes"));
    }

    #[test]
    fn the_metadata_goes_first() {
        let mut headers = HeaderMap::new();
        assert_eq!(Selector::of_call(&headers, "a").unwrap(), Selector::parse("a").unwrap());
        headers.insert(flagd::SELECTOR_METADATA, "b".parse().unwrap());
        assert_eq!(Selector::of_call(&headers, "a").unwrap(), Selector::parse("b").unwrap());
    }
}
