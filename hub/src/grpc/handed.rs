//! What is handed over beside a response, past all that would wrap its body.

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Extensions of responses can be cloned; what is handed over is taken once.
struct Handed<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Handed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Sends `thing` along with a response.
pub(super) fn over<B, T: Send + 'static>(response: &mut Response<B>, thing: T) {
    response.extensions_mut().insert(Handed(Arc::new(Mutex::new(Some(thing)))));
}

/// Takes what was sent along, if anything of that kind was.
pub(super) fn take<B, T: Send + 'static>(response: &mut Response<B>) -> Option<T> {
    let handed = response.extensions_mut().remove::<Handed<T>>()?;
    handed.0.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The body of a response whose own one is handed over beside it. Nobody can tell how
/// long it will be.
pub(super) struct Elsewhere;

impl Body for Elsewhere {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}
