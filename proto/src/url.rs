//! What both ends hold of a URL that something precious travels to.

use std::net::IpAddr;

/// Whether a URL's host, with or without brackets, says this machine. Where a name
/// leads is another question: whoever dials in plaintext asks the addresses too.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A URL as an error repeats it: without what may be a password.
#[must_use]
pub fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        for here in ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost"] {
            assert!(is_loopback(here), "{here}");
        }
        for beyond in ["", "10.0.0.1", "0.0.0.0", "::", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(!is_loopback(beyond), "{beyond}");
        }
    }
}
