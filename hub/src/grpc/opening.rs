//! What a connection says first goes out together.
//!
//! HTTP/2 greets, acknowledges, makes room and answers in writes of its own, and each
//! costs more than all that the hub does for a call. While thousands connect at once,
//! what the peer sends has mostly arrived: so what is written is held until the first
//! call has had its turn. It is not held when the peer may be waiting for it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Most bytes that are held: settings, and an answer with its first frames. What is
/// larger goes out at once.
const HELD_BYTES: usize = 1_024;

/// How often there is nothing to read until the first call has had its turn: HTTP/2
/// looks twice in the turn in which it comes, and the answer is there in the next.
const PAUSES: u8 = 3;

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client of HTTP/2 may begin so. It has to say something.
pub(super) fn is_preface(come: &[u8]) -> bool {
    !come.is_empty() && (come.starts_with(PREFACE) || PREFACE.starts_with(come))
}

/// The bytes that a connection has begun with, not written yet.
#[derive(Default)]
pub(super) struct Opening {
    held: Vec<u8>,
    /// How often the peer had nothing more to say.
    pauses: u8,
}

impl Opening {
    /// Holds what is written, if there is room.
    pub(super) fn hold(&mut self, slices: &[IoSlice<'_>]) -> Option<usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if self.held.len() + bytes > HELD_BYTES {
            return None;
        }
        slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
        Some(bytes)
    }

    /// The peer has nothing more to say for now. Whoever drives the connection is woken,
    /// so that a call which has come meanwhile has its turn before.
    pub(super) fn pause(&mut self, cx: &Context<'_>) {
        if self.held.is_empty() {
            return;
        }
        self.pauses = self.pauses.saturating_add(1);
        if !self.is_over() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether a flush is meant: the first call has had its turn.
    pub(super) fn is_over(&self) -> bool {
        self.pauses >= PAUSES
    }

    /// Writes what is held.
    pub(super) fn poll_write_held(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(to.as_mut().poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.held.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held and what comes after it; how much of the latter was written.
    pub(super) fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut impl AsyncWrite>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let all: Vec<_> = std::iter::once(IoSlice::new(&self.held))
                .chain(slices.iter().map(|slice| IoSlice::new(slice)))
                .collect();
            let written = ready!(to.as_mut().poll_write_vectored(cx, &all))?;
            let held = self.held.len();
            match written.checked_sub(held) {
                Some(after) => {
                    self.held.clear();
                    if after > 0 {
                        return Poll::Ready(Ok(after));
                    }
                }
                None if written == 0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                None => drop(self.held.drain(..written)),
            }
        }
        to.poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    /// Takes so many bytes at a time.
    struct Narrow {
        taken: Vec<Vec<u8>>,
        most: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let bytes = &bytes[..bytes.len().min(self.most)];
            self.taken.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(opening: &mut Opening, most: usize, after: &[&[u8]]) -> (usize, Vec<Vec<u8>>) {
        let mut narrow = Narrow { taken: Vec::new(), most };
        let slices: Vec<_> = after.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut cx = Context::from_waker(noop_waker_ref());
        match opening.poll_write_with(&mut cx, Pin::new(&mut narrow), &slices) {
            Poll::Ready(Ok(written)) => (written, narrow.taken),
            other => panic!("{other:?}"),
        }
    }

    fn opening() -> Opening {
        let mut opening = Opening::default();
        assert_eq!(opening.hold(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]), Some(3));
        assert_eq!(opening.hold(&[IoSlice::new(&[0; HELD_BYTES])]), None);
        opening
    }

    #[test]
    fn what_is_held_goes_out_with_what_follows_in_order_however_little_is_taken() {
        assert_eq!(written(&mut opening(), 100, &[b"d", b"ef"]), (3, vec![b"abcdef".to_vec()]));
        for most in 1..=6 {
            let mut opening = opening();
            let (after, taken) = written(&mut opening, most, &[b"d", b"ef"]);
            let all = taken.concat();
            assert_eq!(all, b"abcdef"[..3 + after], "{most}");
            assert!(opening.held.is_empty() && after > 0);
        }
    }

    #[test]
    fn it_is_over_when_the_first_call_has_had_its_turn() {
        let cx = Context::from_waker(noop_waker_ref());
        let mut opening = Opening::default();
        (0..PAUSES).for_each(|_| opening.pause(&cx));
        assert!(!opening.is_over(), "nothing is held");
        let mut opening = self::opening();
        (1..PAUSES).for_each(|_| opening.pause(&cx));
        assert!(!opening.is_over());
        opening.pause(&cx);
        assert!(opening.is_over());
    }
}
