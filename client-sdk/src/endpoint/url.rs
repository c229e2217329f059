//! An endpoint's URL, checked.

use super::channel::{chain, settings};
use crate::ConfigError;
use http::Uri;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// `https://name[:port]`, or `http://…` on loopback.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    uri: Uri,
    settings: tonic::transport::Endpoint,
    host: String,
    port: u16,
    tls: bool,
    /// A plaintext connection that must not leave the machine.
    loopback_only: bool,
}

impl Endpoint {
    /// Checks a URL. Plaintext is refused unless it stays on this machine or
    /// `allow_plaintext` is set: it would show the token to the network.
    pub(crate) fn new(url: &str, allow_plaintext: bool) -> Result<Self, ConfigError> {
        let refuse =
            |reason: &str| Err(ConfigError::Endpoint { endpoint: shown(url), reason: reason.to_owned() });
        let Ok(uri) = url.parse::<Uri>() else {
            return refuse("is no URL; write for example `https://confhub.example.com:7600`");
        };
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return refuse("must start with `https://` or `http://`"),
        };
        if tls && cfg!(not(feature = "tls")) {
            return refuse("needs the cargo feature `tls` of confhub-client");
        }
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return refuse("must end after the port: a hub has no path");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return refuse("must not name a user: tokens are set apart");
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return refuse("names no host");
        }
        let local = match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        if !tls && !local && !allow_plaintext {
            return refuse("would send the token in plaintext: use `https://`, or `.allow_plaintext(true)`");
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let settings = match settings(&uri, tls.then_some(&host)) {
            Ok(settings) => settings,
            Err(error) => return refuse(&format!("cannot be used: {}", chain(&error))),
        };
        Ok(Self { uri, settings, host, port, tls, loopback_only: !tls && !allow_plaintext })
    }

    /// How connections are set up. Made once: reading the system's roots takes
    /// milliseconds.
    pub(crate) fn settings(&self) -> &tonic::transport::Endpoint {
        &self.settings
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether an address that the name resolved to may be dialed.
    pub(crate) fn may_dial(&self, socket: SocketAddr) -> bool {
        !self.loopback_only || socket.ip().is_loopback()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}")
    }
}

/// A refused URL as an error repeats it: without what may be a password.
fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_stays_on_the_machine_unless_allowed() {
        for local in ["http://127.0.0.1:7600", "http://[::1]:7600", "http://localhost", "http://LOCALHOST:1/"]
        {
            assert!(Endpoint::new(local, false).is_ok(), "{local}");
        }
        for remote in ["http://10.0.0.1:7600", "http://hub", "http://localhost.example.com"] {
            let error = Endpoint::new(remote, false).unwrap_err().to_string();
            assert!(error.contains("plaintext") && error.contains(remote), "{error}");
            assert!(Endpoint::new(remote, true).is_ok(), "{remote}");
        }
        let localhost = Endpoint::new("http://localhost:7600", false).unwrap();
        assert!(localhost.may_dial(([127, 0, 0, 1], 7600).into()));
        assert!(!localhost.may_dial(([10, 0, 0, 1], 7600).into()), "a resolver that lies");
    }

    #[test]
    fn what_is_no_endpoint_is_named_with_the_reason() {
        for (bad, reason) in [
            ("", "is no URL"),
            ("127.0.0.1:7600", "must start with"),
            ("hub", "must start with"),
            ("grpc://hub", "must start with"),
            ("http://127.0.0.1:7600/v1", "has no path"),
            ("http://127.0.0.1:7600?x", "has no path"),
            ("http://me:pass@127.0.0.1", "must not name a user"),
        ] {
            let error = Endpoint::new(bad, true).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("pass@"), "{bad}: {error}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn ports_are_those_of_the_scheme_unless_named() {
        let port = |url| Endpoint::new(url, true).unwrap().port();
        assert_eq!((port("https://hub"), port("http://hub"), port("https://hub:7600")), (443, 80, 7600));
    }
}
