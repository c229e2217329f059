//! One connection to one address, ready for calls.

use super::{Address, DynDialer};
use crate::limits;
use http::Uri;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};

/// Opens a connection to `address`. The authority of requests, and the name
/// that TLS verifies, stay the endpoint's own, whichever address it is.
pub(crate) async fn open(address: &Address, dialer: Arc<dyn DynDialer>) -> Result<Channel, String> {
    let socket = address.socket;
    let connector = tower::service_fn(move |_| {
        let dialer = Arc::clone(&dialer);
        async move { dialer.dyn_dial(socket).await.map(TokioIo::new) }
    });
    let connecting = address.endpoint.settings().connect_with_connector(connector);
    connecting.await.map_err(|error| chain(&error))
}

/// How connections of an endpoint are set up; with TLS if there is a name to
/// verify.
pub(super) fn settings(uri: &Uri, verify: Option<&String>) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from(uri.clone())
        .initial_stream_window_size(limits::WINDOW_BYTES)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .http2_keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT);
    match verify {
        Some(name) => secure(endpoint, name),
        None => Ok(endpoint),
    }
}

#[cfg(feature = "tls")]
fn secure(endpoint: Endpoint, name: &str) -> Result<Endpoint, tonic::transport::Error> {
    let tls = tonic::transport::ClientTlsConfig::new().with_enabled_roots();
    endpoint.tls_config(tls.domain_name(name))
}

/// Never reached: without the feature no endpoint asks for TLS.
#[cfg(not(feature = "tls"))]
fn secure(endpoint: Endpoint, _: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(endpoint)
}

/// An error with its causes: the outermost alone says only "transport error".
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
