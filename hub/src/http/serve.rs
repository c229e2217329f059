//! Connections of the HTTP port, bounded in number, silence and age.
//!
//! Whoever can reach the port may hold a connection for as long as it says something,
//! and none for longer than `HTTP_AGE`: what a client does not read ends with it.

use crate::grpc::outside::Guest;
use crate::limits::{HTTP_AGE, HTTP_HEAD, HTTP_SILENCE};
use crate::metrics::{LimitLabel, Metrics};
use crate::tls::{Io, Listener};
use axum::Router;
use axum::body::Body;
use axum::serve::Listener as _;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

/// How long an answer may take that is under way when its connection is to end.
const ENDING: Duration = Duration::from_secs(30);

/// Serves `routes` on at most so many connections until `shutdown`, then lets those end
/// that are under way.
pub(super) async fn serve(
    mut listener: Listener,
    routes: Router,
    connections: usize,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(connections));
    let (drain, draining) = watch::channel(false);
    let mut open = JoinSet::new();
    {
        let mut shutdown = pin!(shutdown);
        loop {
            let (io, peer) = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
                Some(_) = open.join_next() => continue,
            };
            // Its client tries again, or another hub, rather than waiting here.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                metrics.limited.get_or_create(&LimitLabel { limit: "limits.http-connections" }).inc();
                continue;
            };
            open.spawn(drive(io, peer, routes.clone(), draining.clone(), place));
        }
    }
    drop(listener);
    drain.send_replace(true);
    while open.join_next().await.is_some() {}
}

/// Drives one connection to its end.
async fn drive(
    io: Io,
    peer: SocketAddr,
    routes: Router,
    mut draining: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let guest = Guest::from(peer);
    let asked = Arc::<AtomicBool>::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(guest.clone());
        let (routes, guest) = (routes.clone(), guest.clone());
        async move {
            let mut response = routes.oneshot(request.map(Body::new)).await?;
            if guest.is_unwelcome() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HTTP_SILENCE).max_buf_size(HTTP_HEAD);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
    let over = async {
        tokio::select! {
            _ = draining.wait_for(|draining| *draining) => true,
            () = sleep(HTTP_AGE) => false,
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        drains = over => {
            if drains && !asked.load(Ordering::Relaxed) {
                // It has nothing to lose.
                return;
            }
            connection.as_mut().graceful_shutdown();
            timeout(ENDING, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the HTTP port ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Acceptor;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    /// A server, its address, and what stops it.
    async fn started() -> (tokio::task::JoinHandle<()>, SocketAddr, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let routes = Router::new().route("/", get(|| async { "ok" }));
        let listener = Listener { listener, acceptor: Acceptor::http(None) };
        let metrics = Arc::new(Metrics::new("test"));
        let serving = tokio::spawn(serve(listener, routes, 8, metrics, async move { drop(stopped.await) }));
        (serving, address, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_never_ends_a_head_is_closed() {
        let (_serving, address, _stop) = started().await;
        for said in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(said.as_bytes()).await.unwrap();
            // The clock goes on by itself when nobody has anything to do.
            let mut rest = Vec::new();
            let read = timeout(2 * HTTP_SILENCE, silent.read_to_end(&mut rest)).await;
            assert!(read.is_ok(), "still open after {said:?}");
        }
    }

    #[tokio::test]
    async fn a_drain_waits_for_nobody_who_has_not_asked() {
        let (serving, address, stop) = started().await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stop.send(()).unwrap();
        timeout(Duration::from_secs(60), serving).await.unwrap().unwrap();
    }
}
