//! URLs that something precious travels to or comes from: a token, an issuer's
//! keys. `https`, or plain `http` that stays on this machine.
//!
//! A text may say this machine and its name lead elsewhere: whoever dials plain
//! `http` resolves with [`resolve_here`].

use confhub_proto::url::is_loopback;
use http::Uri;
use std::io;
use std::net::SocketAddr;

pub(crate) use confhub_proto::url::shown;

/// Checks a URL. `plaintext`: `http` may leave this machine.
///
/// # Errors
/// What is wrong, to follow the URL in a sentence.
pub(crate) fn check(url: &str, plaintext: bool) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("is no URL with a host")?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must not name a user");
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if plaintext || is_loopback(host) => Ok(uri),
        Some("http") => Err("is not on this machine, and plain http is for loopback alone: use https"),
        _ => Err("must start with https:// (or http://, on this machine)"),
    }
}

/// The addresses of a host on this machine, whatever else the resolver says.
///
/// # Errors
/// If it has none here.
pub(crate) async fn resolve_here(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let here: Vec<_> = found.filter(|address| address.ip().is_loopback()).collect();
    match here.is_empty() {
        true => Err(io::Error::other(format!("`{host}` is not this machine: use https"))),
        false => Ok(here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in [
            "https://idp.example/jwks.json",
            "http://127.0.0.1:4566/keys",
            "http://[::1]/keys",
            "http://localhost:1/",
            "http://LOCALHOST",
        ] {
            assert!(check(good, false).is_ok(), "{good}");
        }
        for far in ["http://idp.example/jwks", "http://127.0.0.1.evil.example/", "http://10.0.0.1/"] {
            assert!(check(far, false).is_err_and(|reason| reason.contains("loopback")), "{far}");
            assert!(check(far, true).is_ok(), "{far}");
        }
        for bad in ["ftp://localhost/", "/jwks.json", "localhost:1", "127.0.0.1:1", "", "https://", "http://"]
        {
            assert!(check(bad, true).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_a_name_leads_to_is_looked_at() {
        assert!(
            resolve_here("localhost", 1).await.is_ok_and(|all| all.iter().all(|one| one.ip().is_loopback()))
        );
        let error = resolve_here("192.0.2.1", 1).await.unwrap_err().to_string();
        assert!(error.contains("192.0.2.1` is not this machine"), "{error}");
    }

    #[test]
    fn a_user_is_refused_and_no_password_is_repeated() {
        for url in ["http://u:p@127.0.0.1", "https://u:p@hub.example", "https://u@hub.example"] {
            assert_eq!(check(url, true), Err("must not name a user"), "{url}");
            assert!(!shown(url).contains("u:p") && shown(url).starts_with("…@"), "{url}");
        }
        assert_eq!(shown("http://hub"), "http://hub");
    }
}
