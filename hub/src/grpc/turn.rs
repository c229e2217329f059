//! What the streams of a connection share while it is their turn: one look at the
//! clock, and one sum of what was delivered.

use crate::metrics::Metrics;
use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn { is_on: false, now: None, frames: 0, bytes: 0 }) };
}

#[derive(Clone, Copy)]
struct Turn {
    is_on: bool,
    now: Option<Instant>,
    frames: u64,
    bytes: u64,
}

/// Begins a turn on this thread. Whatever has woken a stream before it was before its
/// time, too.
pub(super) fn begin() {
    let turn = TURN.get();
    TURN.set(Turn { is_on: true, now: None, ..turn });
}

/// Ends the turn, and counts what was delivered in it.
pub(super) fn end(metrics: &Metrics) {
    let Turn { frames, bytes, .. } = TURN.replace(Turn { is_on: false, now: None, frames: 0, bytes: 0 });
    if frames > 0 {
        metrics.frames.inc_by(frames);
        metrics.frame_bytes.inc_by(bytes);
    }
}

/// The time at which the turn first asked for it; outside of a turn, the time.
pub(super) fn now() -> Instant {
    let turn = TURN.get();
    turn.now.unwrap_or_else(|| {
        let now = Instant::now();
        TURN.set(Turn { now: turn.is_on.then_some(now), ..turn });
        now
    })
}

/// Counts a frame of so many bytes.
pub(super) fn delivered(bytes: usize) {
    let turn = TURN.get();
    TURN.set(Turn { frames: turn.frames + 1, bytes: turn.bytes + bytes as u64, ..turn });
}
