//! One connection to one address, ready for calls.

use super::{Address, DynDialer};
use crate::limits;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};

/// Opens a connection to `address`. The authority of requests, and the name
/// that TLS verifies, stay the endpoint's own, whichever address it is.
pub(crate) async fn open(address: &Address, dialer: Arc<dyn DynDialer>) -> Result<Channel, String> {
    let endpoint = Endpoint::from(address.endpoint.uri().clone())
        .connect_timeout(limits::DIAL_TIMEOUT)
        .initial_stream_window_size(limits::WINDOW_BYTES)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .http2_keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT);
    let endpoint = secure(endpoint, address).map_err(|error| chain(&error))?;
    let socket = address.socket;
    let connector = tower::service_fn(move |_| {
        let dialer = Arc::clone(&dialer);
        async move { dialer.dyn_dial(socket).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(|error| chain(&error))
}

#[cfg(feature = "tls")]
fn secure(endpoint: Endpoint, address: &Address) -> Result<Endpoint, tonic::transport::Error> {
    if !address.endpoint.tls() {
        return Ok(endpoint);
    }
    let tls = tonic::transport::ClientTlsConfig::new().with_enabled_roots();
    endpoint.tls_config(tls.domain_name(address.endpoint.host()))
}

#[cfg(not(feature = "tls"))]
fn secure(endpoint: Endpoint, _: &Address) -> Result<Endpoint, tonic::transport::Error> {
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
