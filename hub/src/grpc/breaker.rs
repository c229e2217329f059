//! Breaks a connection from outside: its task may be waiting for a peer that does nothing.

use super::peer::Peer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

/// Breaks one connection.
#[derive(Clone, Default)]
pub(super) struct Breaker(Arc<State>);

/// What is asked for with every write lies at the front.
#[derive(Default)]
#[repr(C)]
struct State {
    broken: AtomicBool,
    reader: Mutex<Option<Waker>>,
    peer: Peer,
    address: Option<SocketAddr>,
}

impl Breaker {
    /// Breaks the connection to this peer.
    pub(super) fn to(peer: SocketAddr) -> Self {
        Self(Arc::new(State { address: Some(peer), ..State::default() }))
    }

    /// The address of the peer.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// What is known of the peer.
    pub(super) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Whether the connection is broken, or about to be.
    pub(super) fn is_tripped(&self) -> bool {
        self.0.broken.load(Ordering::SeqCst)
    }

    /// Breaks the connection, once.
    pub(super) fn trip(&self, why: &'static str) {
        if self.0.broken.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::info!("broke a connection: {why}");
        let reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the connection is broken; if not, its reader is woken when it is.
    pub(super) fn is_broken(&self, cx: &Context<'_>) -> bool {
        let mut reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *reader {
            Some(known) => known.clone_from(cx.waker()),
            None => *reader = Some(cx.waker().clone()),
        }
        drop(reader);
        self.0.broken.load(Ordering::SeqCst)
    }
}
