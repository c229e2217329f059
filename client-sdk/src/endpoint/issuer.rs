//! An issuer of tokens, asked over HTTP.

use super::dialer::Io;
use super::secure::Secured;
use super::tls::{Material, Pem, Tls};
use super::words::chain;
use crate::{ConfigError, TokenError, limits};
use confhub_proto::url::{is_loopback, shown};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// An address that tokens are asked for at, by `POST` over HTTP/1.1: what
/// [`ClientCredentials`](crate::oauth2::ClientCredentials) asks, and what sources of
/// a program's own can ask that speak another dialect.
///
/// Each request has a connection of its own; redirects are not followed, and an
/// answer has at most 64 KiB.
#[derive(Clone)]
pub struct Issuer {
    uri: Uri,
    host: String,
    port: u16,
    /// `None`: plaintext, on this machine alone.
    tls: Option<Arc<(Tls, Secured)>>,
}

impl Issuer {
    /// An issuer at `url`: `https://…`, verified against the system's roots or the CA
    /// in `ca_file` (PEM), which is read anew for each request; or `http://` on this
    /// machine.
    ///
    /// # Errors
    /// What is wrong with the URL or the CA.
    pub fn new(url: &str, ca_file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let refuse = |reason: &str| ConfigError::Endpoint { endpoint: shown(url), reason: reason.to_owned() };
        let uri: Uri = url
            .parse()
            .map_err(|_| refuse("is no URL; write for example `https://login.example.com/oauth2/token`"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse("must start with `https://`")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("must not name a user: secrets are set apart"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        if !secure && !is_loopback(&host) {
            return Err(refuse(
                "is plain http beyond this machine and would show the secret to the network: use `https://`",
            ));
        }
        let tls = Tls { ca: ca_file.map(Pem::File), ..Tls::default() };
        let tls = match secure {
            true => Some(Arc::new((tls.clone(), secured(&tls, &host, &tls.read()?)?))),
            false => None,
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }

    /// Sends `body` and returns status and body of the answer, whatever the status
    /// is. [`TokenSource`](crate::TokenSource)s are bounded in time, so this is not.
    ///
    /// # Errors
    /// If there is no answer, or one that is too large. What was sent is not in it.
    pub async fn post(
        &self,
        content_type: &'static str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), TokenError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|error| self.error(&error))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        headers.insert(HOST, authority.parse().map_err(|error| self.error(&error))?);
        *request.headers_mut() = headers;
        let io = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(|error| self.failed(&chain(&error)))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| self.failed(&chain(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), limits::TOKEN_ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| self.error(&error))?.to_bytes()))
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The answer may be there all the same.
            _ = connection => exchange.await,
        }
    }

    async fn connect(&self) -> Result<Box<dyn Io>, TokenError> {
        let found = timeout(limits::RESOLVE_TIMEOUT, lookup_host((self.host.as_str(), self.port))).await;
        let found = found.map_err(|_| self.failed("its name was not resolved in time"))?;
        let found = found.map_err(|error| self.error(&error))?;
        let may_dial = |address: &std::net::SocketAddr| self.tls.is_some() || address.ip().is_loopback();
        let mut last = self.failed("its name has no address that may be used");
        for address in found.filter(may_dial).take(limits::TOKEN_ADDRESSES) {
            match timeout(limits::DIAL_TIMEOUT, self.dial(address)).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) => last = error,
                Err(_) => last = self.failed(&format!("no answer within {:?}", limits::DIAL_TIMEOUT)),
            }
        }
        Err(last)
    }

    async fn dial(&self, address: std::net::SocketAddr) -> Result<Box<dyn Io>, TokenError> {
        let stream = TcpStream::connect(address).await.map_err(|error| self.error(&error))?;
        let Some(tls) = self.tls.clone() else { return Ok(Box::new(stream)) };
        let secured = if tls.0.changes() {
            let host = self.host.clone();
            let read = tokio::task::spawn_blocking(move || {
                let material = tls.0.read()?;
                secured(&tls.0, &host, &material)
            });
            read.await.map_err(|error| self.error(&error))?.map_err(|error| self.error(&error))?
        } else {
            tls.1.clone()
        };
        secured.connect(Box::new(stream)).await.map_err(|error| self.failed(&chain(&error)))
    }

    fn error(&self, error: &dyn fmt::Display) -> TokenError {
        self.failed(&error.to_string())
    }

    fn failed(&self, reason: &str) -> TokenError {
        TokenError::new(format!("{self} cannot be asked: {reason}"))
    }
}

fn secured(tls: &Tls, host: &str, material: &Material) -> Result<Secured, ConfigError> {
    Secured::new(tls, host, material).map(Secured::for_http1)
}

impl fmt::Display for Issuer {
    /// Without the query, which may be nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({self})")
    }
}
