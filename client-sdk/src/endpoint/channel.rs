//! One connection to one address, ready for calls.

use super::link::{Link, Tracked};
use super::{Address, DynDialer};
use crate::limits;
use http::Uri;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::transport::{Channel, Endpoint};

/// Opens a connection to `address`. The authority of requests, and the name
/// that TLS verifies, stay the endpoint's own, whichever address it is.
pub(super) async fn open(
    address: &Address,
    dialer: Arc<dyn DynDialer>,
    link: &Arc<Link>,
    window: u32,
) -> Result<Channel, String> {
    let (socket, link) = (address.socket, Arc::clone(link));
    let dialed = Arc::new(AtomicBool::new(false));
    let connector = tower::service_fn(move |_| {
        let (dialer, link, dialed) = (Arc::clone(&dialer), Arc::clone(&link), Arc::clone(&dialed));
        async move {
            // A channel dials again by itself, unknown to those who count.
            if dialed.swap(true, Ordering::AcqRel) {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection is gone"));
            }
            let io = dialer.dyn_dial(socket).await?;
            Ok(TokioIo::new(Tracked::new(io, link)))
        }
    });
    let settings = address.endpoint.settings().clone().initial_connection_window_size(window);
    settings.connect_with_connector(connector).await.map_err(|error| chain(&error))
}

/// How connections of an endpoint are set up; with TLS if there is a name to
/// verify.
pub(super) fn settings(uri: &Uri, verify: Option<&String>) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from(uri.clone())
        .initial_stream_window_size(limits::WINDOW_BYTES)
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
