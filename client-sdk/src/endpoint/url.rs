//! An endpoint's URL, checked.

use super::channel::settings;
use super::secure::Secured;
use super::tls::{Material, Tls};
use crate::ConfigError;
use confhub_proto::url::{is_loopback, shown};
use http::Uri;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// `https://name[:port]`, or `http://…` on loopback.
#[derive(Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// How connections are set up now.
    settings: Mutex<Settings>,
    host: String,
    port: u16,
    /// `None`: plaintext.
    tls: Option<Tls>,
    /// A plaintext connection that must not leave the machine.
    loopback_only: bool,
}

/// How connections are set up, and from what.
struct Settings {
    endpoint: tonic::transport::Endpoint,
    /// `None`: plaintext.
    secured: Option<Secured>,
    material: Material,
}

impl Endpoint {
    /// Checks a URL. Plaintext is refused unless it stays on this machine or
    /// `allow_plaintext` is set: it would show the token to the network.
    pub(crate) fn new(url: &str, allow_plaintext: bool, with: &Tls) -> Result<Self, ConfigError> {
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
        if !tls && !is_loopback(&host) && !allow_plaintext {
            return refuse(
                "is plain http beyond this machine and would show the token to the network: use `https://`, or allow \
                 plaintext where something else encrypts",
            );
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let tls = tls.then(|| with.clone());
        let settings = Settings::of(&uri, &host, tls.as_ref())?;
        let settings = Mutex::new(settings);
        Ok(Self { uri, settings, host, port, loopback_only: tls.is_none() && !allow_plaintext, tls })
    }

    /// How the next connection is set up. The system's roots are read once, which
    /// takes milliseconds; files of the program's own are looked at each time, and
    /// as long as what they hold now is no good, what they held before is used.
    pub(super) async fn settings(&self) -> (tonic::transport::Endpoint, Option<Secured>) {
        if let Some(tls) = self.tls.as_ref().filter(|tls| tls.changes()) {
            let (uri, host, tls) = (self.uri.clone(), self.host.clone(), tls.clone());
            let known = self.current().material.clone();
            let renewed = tokio::task::spawn_blocking(move || {
                let material = tls.read()?;
                if material == known {
                    return Ok(None);
                }
                Settings::from(&uri, &host, Some(&tls), material).map(Some)
            });
            match renewed.await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(settings))) => *self.current() = settings,
                Ok(Err(error)) => {
                    tracing::warn!(%error, endpoint = %self, "goes on with what it has read before")
                }
                Err(error) => {
                    tracing::warn!(%error, endpoint = %self, "goes on with what it has read before")
                }
            }
        }
        let current = self.current();
        (current.endpoint.clone(), current.secured.clone())
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Settings> {
        // Nothing in between can leave it half done.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
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
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}")
    }
}

impl Settings {
    fn of(uri: &Uri, host: &str, tls: Option<&Tls>) -> Result<Self, ConfigError> {
        let material = tls.map(Tls::read).transpose()?.unwrap_or_default();
        Self::from(uri, host, tls, material)
    }

    fn from(uri: &Uri, host: &str, tls: Option<&Tls>, material: Material) -> Result<Self, ConfigError> {
        let secured = tls.map(|tls| Secured::new(tls, host, &material)).transpose()?;
        Ok(Self { endpoint: settings(uri), secured, material })
    }
}

/// A key is in it, which shows itself to nobody.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_stays_on_the_machine_unless_allowed() {
        for local in ["http://127.0.0.1:7600", "http://[::1]:7600", "http://localhost", "http://LOCALHOST:1/"]
        {
            assert!(Endpoint::new(local, false, &Tls::default()).is_ok(), "{local}");
        }
        for remote in ["http://10.0.0.1:7600", "http://hub", "http://localhost.example.com"] {
            let error = Endpoint::new(remote, false, &Tls::default()).unwrap_err().to_string();
            assert!(error.contains("plaintext") && error.contains(remote), "{error}");
            assert!(Endpoint::new(remote, true, &Tls::default()).is_ok(), "{remote}");
        }
        let localhost = Endpoint::new("http://localhost:7600", false, &Tls::default()).unwrap();
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
            let error = Endpoint::new(bad, true, &Tls::default()).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("pass@"), "{bad}: {error}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn ports_are_those_of_the_scheme_unless_named() {
        let port = |url| Endpoint::new(url, true, &Tls::default()).unwrap().port();
        assert_eq!((port("https://hub"), port("http://hub"), port("https://hub:7600")), (443, 80, 7600));
    }
}
