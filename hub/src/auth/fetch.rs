//! Reads the text of a key set within bounds: from a file, from a URL, or from
//! where its issuer says that it is.
//!
//! `https` is verified against the system's roots; plain `http` is for loopback
//! alone, since whoever can change the answer can sign in as anyone.
//! Redirects are not followed.

use super::{KeysError, discovery};
use crate::config::JwksLocation;
use crate::limits;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::task::{Context, Poll};

/// Plain on loopback, where no root certificates are needed.
pub(super) enum HttpClient {
    Plain(Client<HttpConnector<Here>, Empty<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
}

/// Resolves a name to this machine or not at all.
#[derive(Clone)]
pub(super) struct Here;

impl tower::Service<Name> for Here {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        // The connector puts the port in.
        Box::pin(async move { Ok(crate::url::resolve_here(name.as_str(), 0).await?.into_iter()) })
    }
}

/// Where a key set is read from.
pub(super) enum Place {
    File(PathBuf),
    Url {
        uri: Uri,
        client: Box<HttpClient>,
    },
    /// Where the issuer's document says, which is read each time too.
    Discovered {
        issuer: String,
        document: Uri,
        client: Box<HttpClient>,
    },
}

impl Place {
    /// The place that is set, or else the one that `issuer` publishes.
    pub(super) fn new(issuer: &str, set: Option<&JwksLocation>) -> Result<Self, KeysError> {
        let refused = |url: &str, reason| KeysError::Url { url: crate::url::shown(url), reason };
        match set {
            Some(JwksLocation::File(path)) => Ok(Self::File(path.clone())),
            Some(JwksLocation::Url(url)) => {
                let uri = check_url(url).map_err(|reason| refused(url, reason))?;
                Ok(Self::Url { client: Box::new(HttpClient::new(&uri)?), uri })
            }
            None => {
                let document = discovery::document_of(issuer).map_err(|reason| refused(issuer, reason))?;
                let client = Box::new(HttpClient::new(&document)?);
                Ok(Self::Discovered { issuer: issuer.to_owned(), document, client })
            }
        }
    }

    /// How logs and errors name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url { uri, .. } | Self::Discovered { document: uri, .. } => uri.to_string(),
        }
    }

    /// Reads the text.
    pub(super) async fn read(&self) -> Result<Bytes, KeysError> {
        match self {
            Self::File(path) => {
                let text = read_file(path.clone()).await;
                text.map_err(|error| KeysError::File { path: path.display().to_string(), error })
            }
            Self::Url { uri, client } => in_time(uri, client.get(uri)).await,
            Self::Discovered { issuer, document, client } => {
                let text = in_time(document, client.get(document)).await?;
                let uri = discovery::keys_of(issuer, &text)
                    .map_err(|reason| KeysError::Discovery { url: document.to_string(), reason })?;
                if uri.scheme() == document.scheme() {
                    return in_time(&uri, client.get(&uri)).await;
                }
                in_time(&uri, HttpClient::new(&uri)?.get(&uri)).await
            }
        }
    }
}

/// What `get` gives of `uri`, if it does so in time.
async fn in_time(uri: &Uri, get: impl Future<Output = Result<Bytes, String>>) -> Result<Bytes, KeysError> {
    let seconds = limits::JWKS_TIMEOUT.as_secs();
    let answer = tokio::time::timeout(limits::JWKS_TIMEOUT, get).await;
    answer
        .unwrap_or_else(|_| Err(format!("no complete answer within {seconds} s")))
        .map_err(|reason| KeysError::Get { url: uri.to_string(), reason })
}

/// Whether `url` may be a key set's address: `https`, or `http` on loopback.
///
/// # Errors
/// The reason why it may not.
pub fn check_url(url: &str) -> Result<Uri, String> {
    crate::url::check(url, false).map_err(|reason| format!("it {reason}"))
}

async fn read_file(path: PathBuf) -> std::io::Result<Bytes> {
    use tokio::io::AsyncReadExt;
    let most = u64::try_from(limits::JWKS_BYTES).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    tokio::fs::File::open(path).await?.take(most.saturating_add(1)).read_to_end(&mut text).await?;
    if text.len() > limits::JWKS_BYTES {
        return Err(std::io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(text.into())
}

impl HttpClient {
    fn new(uri: &Uri) -> Result<Self, KeysError> {
        let mut builder = Client::builder(TokioExecutor::new());
        // A connection is used once in minutes: none is kept.
        builder.pool_max_idle_per_host(0);
        if uri.scheme_str() == Some("http") {
            return Ok(Self::Plain(builder.build(HttpConnector::new_with_resolver(Here))));
        }
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(KeysError::Roots)?;
        Ok(Self::Tls(builder.build(connector.https_only().enable_http1().build())))
    }

    async fn get(&self, uri: &Uri) -> Result<Bytes, String> {
        let answer = match self {
            Self::Plain(client) => client.get(uri.clone()).await,
            Self::Tls(client) => client.get(uri.clone()).await,
        };
        read_answer(answer.map_err(|error| with_causes(&error))?).await
    }
}

async fn read_answer<B>(answer: http::Response<B>) -> Result<Bytes, String>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if answer.status().is_redirection() {
        return Err(format!("it answers {}: set the address that it redirects to", answer.status()));
    }
    if answer.status() != http::StatusCode::OK {
        return Err(format!("it answers {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), limits::JWKS_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

/// The HTTP client's errors say little by themselves: the causes follow.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_missing_or_too_large_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let place = Place::new("issuer", Some(&JwksLocation::File(path.clone()))).unwrap();
        assert!(place.read().await.unwrap_err().to_string().contains("keys.json"));
        std::fs::write(&path, vec![b' '; limits::JWKS_BYTES + 1]).unwrap();
        assert!(place.read().await.unwrap_err().to_string().contains("more than"));
    }

    #[tokio::test]
    async fn plain_http_leads_to_this_machine_by_name_too() {
        use tower::Service;
        let resolve = |name: &str| Here.call(name.parse().unwrap());
        assert!(resolve("localhost").await.unwrap().all(|address| address.ip().is_loopback()));
        assert!(resolve("192.0.2.1").await.is_err());
        let place =
            Place::new("issuer", Some(&JwksLocation::Url("http://localhost:1/jwks".to_owned()))).unwrap();
        let error = place.read().await.unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn https_is_set_up_and_a_closed_port_is_named() {
        // A machine without root certificates says so instead.
        match Place::new("issuer", Some(&JwksLocation::Url("https://127.0.0.1:1/jwks".to_owned()))) {
            Ok(place) => {
                let error = place.read().await.unwrap_err().to_string();
                assert!(error.contains("https://127.0.0.1:1/jwks"), "{error}");
            }
            Err(error) => assert!(matches!(error, KeysError::Roots(_)), "{error}"),
        }
    }
}
