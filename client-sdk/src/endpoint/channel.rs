//! One connection to one address, ready for calls.

use super::connections::{Sharing, Windows};
use super::link::{Link, Tracked};
use super::{Address, DynDialer, Endpoints, Round, chain};
use crate::{Error, limits};
use http::Uri;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// Opens a connection to `address`. The authority of requests, and the name
/// that TLS verifies, stay the endpoint's own, whichever address it is.
pub(super) async fn open(
    address: &Address,
    dialer: Arc<dyn DynDialer>,
    link: &Arc<Link>,
    windows: Windows,
) -> Result<Channel, String> {
    let (socket, link) = (address.socket, Arc::clone(link));
    let (settings, secured) = address.endpoint.settings().await;
    let dialed = Arc::new(AtomicBool::new(false));
    let connector = tower::service_fn(move |_| {
        let (dialer, link, dialed) = (Arc::clone(&dialer), Arc::clone(&link), Arc::clone(&dialed));
        let secured = secured.clone();
        async move {
            // A channel dials again by itself, unknown to those who count.
            if dialed.swap(true, Ordering::AcqRel) {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection is gone"));
            }
            let io = Box::new(Tracked::new(dialer.dyn_dial(socket).await?, link));
            match secured {
                Some(secured) => secured.handshake(io).await.map(TokioIo::new),
                None => Ok(TokioIo::new(io as _)),
            }
        }
    });
    let settings = settings.initial_stream_window_size(windows.stream);
    let settings = settings.initial_connection_window_size(windows.connection);
    settings.connect_with_connector(connector).await.map_err(|error| chain(&error))
}

/// Opens a connection to the first address that takes one, going through all of
/// them once.
pub(crate) async fn open_any(
    mut endpoints: Endpoints,
    shown: &str,
    limit: Duration,
    rng: &mut fastrand::Rng,
) -> Result<Channel, Error> {
    let mut last = format!("no answer within {limit:?}");
    let found = async {
        let mut addresses = match endpoints.round(rng).await {
            Round::Try(addresses) => addresses.into_iter().peekable(),
            Round::Unresolved(reason) => {
                last = reason;
                return None;
            }
            // None has been asked yet, so none has asked to be left alone.
            Round::Wait(_) => return None,
        };
        while let Some(address) = addresses.next() {
            // The last one has all the time that is left.
            let share = addresses.peek().map_or(limit, |_| limits::DIAL_TIMEOUT);
            let link = Link::new();
            let dialing = open(&address, endpoints.dialer(), &link, Sharing::ALONE.windows);
            match timeout(share, dialing).await {
                Ok(Ok(channel)) => return Some(channel),
                Ok(Err(reason)) => last = reason,
                Err(_) => last = format!("no answer within {share:?}"),
            }
        }
        None
    };
    let found = timeout(limit, found).await.ok().flatten();
    found.ok_or_else(|| Error::Unreachable { endpoints: shown.to_owned(), last })
}

/// Where the transport believes to connect to: who connects, and whether with TLS, is
/// [`open`]'s.
const ANYWHERE: &str = "http://hub";

/// How connections of an endpoint are set up, but for TLS.
pub(super) fn settings(uri: &Uri) -> Endpoint {
    Endpoint::from_static(ANYWHERE)
        .origin(uri.clone())
        .http2_keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT)
        // A connection of a pool that waits for its next stream must be known to be
        // there. One ping in `PING_INTERVAL` is far below what hubs allow.
        .keep_alive_while_idle(true)
}
