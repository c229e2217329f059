//! A meter of the frames that a peer sends.
//!
//! HTTP/2 has frames that cost the receiver work and bring it nothing: a ping wants an
//! answer, a setting an acknowledgement, a reset undoes a call that was set up. Honest
//! peers send few. The meter sees the bytes as they pass, reads the nine bytes in front
//! of each frame (RFC 9113, 4.1) and holds each kind against an allowance: so many at
//! once, and so many a second from then on. It copies nothing, and judges nothing that
//! HTTP/2 itself does: malformed frames are none of its business.
//!
//! What answers something of ours is free. A client measures its line with a ping while
//! data arrives, and gives back what it has read: both are bounded by what was written.

use super::pace::Pace;
use crate::limits::FRAME_TIME;
use tokio::time::Instant;

/// Bytes in front of the first frame (RFC 9113, 3.4).
pub(super) const PREFACE_BYTES: usize = 24;

/// Bytes in front of a frame's payload.
const HEAD_BYTES: usize = 9;

/// Bytes of an answered ping, and of an acknowledged setting.
const PONG_BYTES: i64 = 17;

/// What an update of a window costs at least of what may be given back, in bytes: so
/// much is written for every frame of data, however little is in it.
const UPDATE_BYTES: i64 = 16;

/// Most that may be outstanding to be given back, in bytes: more than any window.
const OWED_BYTES: i64 = 1 << 30;

/// Type of the frame that resets a call (RFC 9113, 6.4).
const RST_STREAM: u8 = 0x3;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Kinds of frames that are counted, each by its name in the metrics.
const KINDS: [&str; 8] =
    ["ping", "settings", "reset", "priority", "continuation", "empty-data", "window-update", "unknown"];

/// How many of each kind at once, and a second from then on. The number of resets at
/// once comes from that of the streams.
///
/// - A ping that follows nothing of ours keeps a line alive: one in ten seconds is a lot.
/// - Settings are sent once, and by some when they have measured the line.
/// - Priorities are out of use (RFC 9113, 5.3.2); some old clients send a few at first.
/// - Headers of 16 KiB fit into one frame, and HTTP/2's own bound is five more a call.
/// - An empty frame of data that ends nothing says nothing; some end a chunk with one.
/// - Windows are made larger at the start of each stream by some.
/// - Unknown frames are sent to see that they are passed over (RFC 8701's idea).
const ALLOWED: [(usize, usize); 8] =
    [(64, 1), (64, 1), (0, 100), (256, 10), (32, 5), (256, 20), (4_096, 200), (64, 1)];

const PING: usize = 0;
const SETTINGS: usize = 1;
const RESET: usize = 2;
const PRIORITY: usize = 3;
const CONTINUATION: usize = 4;
const EMPTY_DATA: usize = 5;
const WINDOW_UPDATE: usize = 6;
const UNKNOWN: usize = 7;

/// The meter of one connection.
pub(super) struct FramesMeter {
    preface_left: usize,
    head: [u8; HEAD_BYTES],
    /// How much of `head` has come.
    come: usize,
    /// What is still to come of the payload.
    payload_left: usize,
    /// The increment of a window, as it comes.
    increment: Option<u32>,
    /// Since when the frame that is coming, or the headers of a call, are incomplete.
    incomplete: Option<Instant>,
    /// Whether the headers of a call are incomplete.
    in_headers: bool,
    rested: [Instant; 8],
    resets: usize,
    /// Bytes written that no ping or setting had asked for, since the last free ping.
    useful: i64,
    /// Bytes of which the peer may say that it has read them.
    owed: i64,
    /// Whether a call was reset since somebody asked.
    has_reset: bool,
}

/// Flag of data with padding, up to 255 bytes and a byte for its length (RFC 9113,
/// section 6.1). Nobody pads an honest call so that nothing else is in the frame.
const PADDED: u8 = 0x8;

impl FramesMeter {
    /// Of a connection with at most so many streams.
    pub(super) fn new(streams: usize) -> Self {
        let now = Instant::now();
        Self {
            preface_left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            come: 0,
            payload_left: 0,
            increment: None,
            incomplete: None,
            in_headers: false,
            rested: [now; 8],
            // All streams may be left at once, twice over.
            resets: streams.saturating_mul(2),
            useful: 0,
            owed: 0,
            has_reset: false,
        }
    }

    /// Whether the preface has come.
    pub(super) fn has_spoken(&self) -> bool {
        self.preface_left == 0
    }

    /// Until when what is incomplete has to be whole.
    pub(super) fn due(&self) -> Option<Instant> {
        self.incomplete.map(|since| since + FRAME_TIME)
    }

    /// Whether the peer has reset calls since this was asked last.
    pub(super) fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.has_reset)
    }

    /// Bytes were written to the peer.
    pub(super) fn wrote(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(OWED_BYTES);
        self.useful = self.useful.saturating_add(bytes);
        // Of the stream and of the connection: each has a window.
        self.owed = self.owed.saturating_add(2 * bytes.min(OWED_BYTES)).min(OWED_BYTES);
    }

    /// Bytes have come from the peer.
    ///
    /// # Errors
    /// The name of the kind of which there were too many.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        if bytes.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        while !bytes.is_empty() {
            if self.come < HEAD_BYTES {
                let taken = bytes.len().min(HEAD_BYTES - self.come);
                self.head[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
                self.come += taken;
                bytes = &bytes[taken..];
                self.incomplete.get_or_insert(now);
                if self.come < HEAD_BYTES {
                    break;
                }
                self.began(now)?;
            } else {
                let taken = bytes.len().min(self.payload_left);
                if let Some(increment) = &mut self.increment {
                    *increment =
                        bytes[..taken].iter().fold(*increment, |sum, byte| sum << 8 | u32::from(*byte));
                }
                self.payload_left -= taken;
                bytes = &bytes[taken..];
            }
            if self.payload_left == 0 {
                self.ended(now)?;
            }
        }
        Ok(())
    }

    /// The head of a frame is whole.
    fn began(&mut self, now: Instant) -> Result<(), &'static str> {
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.payload_left = usize::try_from(length).unwrap_or(usize::MAX);
        match kind {
            0x0 => {
                // Of a request's body the call itself waits for the end.
                self.incomplete = None;
                let most = if flags & PADDED == 0 { 0 } else { 256 };
                if length <= most && flags & END_STREAM == 0 {
                    return self.count(EMPTY_DATA, now);
                }
            }
            0x1 => self.in_headers = flags & END_HEADERS == 0,
            0x2 => return self.count(PRIORITY, now),
            RST_STREAM => return self.count(RESET, now),
            0x4 if flags & ACK == 0 => {
                self.useful -= HEAD_BYTES as i64;
                return self.count(SETTINGS, now);
            }
            0x6 if flags & ACK == 0 => {
                let free = self.useful > 0;
                self.useful = self.useful.min(0) - PONG_BYTES;
                return if free { Ok(()) } else { self.count(PING, now) };
            }
            0x4 | 0x6 => {}
            0x8 => self.increment = Some(0),
            0x9 => {
                self.in_headers = flags & END_HEADERS == 0;
                return self.count(CONTINUATION, now);
            }
            _ => return self.count(UNKNOWN, now),
        }
        Ok(())
    }

    /// A frame is whole.
    fn ended(&mut self, now: Instant) -> Result<(), &'static str> {
        self.come = 0;
        self.has_reset |= self.head[3] == RST_STREAM;
        if !self.in_headers {
            self.incomplete = None;
        }
        let Some(increment) = self.increment.take() else { return Ok(()) };
        let returned = i64::from(increment).max(UPDATE_BYTES);
        if returned <= self.owed {
            self.owed -= returned;
            return Ok(());
        }
        self.count(WINDOW_UPDATE, now)
    }

    fn count(&mut self, kind: usize, now: Instant) -> Result<(), &'static str> {
        let (burst, per_second) = ALLOWED[kind];
        let burst = if kind == RESET { self.resets } else { burst };
        Pace::new(burst, per_second).take(&mut self.rested[kind], now).map_err(|_| KINDS[kind])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn meter() -> FramesMeter {
        let mut meter = FramesMeter::new(10);
        meter.read(&[0; PREFACE_BYTES]).unwrap();
        meter
    }

    /// How many of such frames pass.
    fn passing(meter: &mut FramesMeter, frame: &[u8]) -> usize {
        (0..100_000).take_while(|_| meter.read(frame).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_has_its_allowance_and_its_name() {
        let update = [0, 0, 0, 1];
        let cases = [
            (frame(6, 0, &[0; 8]), 64, "ping"),
            (frame(4, 0, &[]), 64, "settings"),
            (frame(3, 0, &[0; 4]), 20, "reset"),
            (frame(2, 0, &[0; 5]), 256, "priority"),
            (frame(9, 0, &[1]), 32, "continuation"),
            (frame(0, 0, &[]), 256, "empty-data"),
            (frame(8, 0, &update), 4_096, "window-update"),
            (frame(0xbe, 0, &[7; 3]), 64, "unknown"),
        ];
        for (frame, allowed, name) in cases {
            let mut meter = meter();
            for _ in 0..allowed {
                assert_eq!(meter.read(&frame), Ok(()), "{name}");
            }
            assert_eq!(meter.read(&frame), Err(name));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_data_and_whole_headers_are_free() {
        let mut meter = meter();
        for frame in
            [frame(6, ACK, &[0; 8]), frame(4, ACK, &[]), frame(0, 0, &[1; 10]), frame(0, END_STREAM, &[])]
        {
            assert_eq!(passing(&mut meter, &frame), 100_000);
        }
        assert_eq!(passing(&mut meter, &frame(1, END_HEADERS, &[1; 10])), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn however_the_bytes_are_cut_the_count_is_the_same() {
        let bytes =
            [frame(1, END_HEADERS, &[3; 20]), frame(6, 0, &[0; 8]), frame(8, 0, &[0, 1, 0, 0])].concat();
        for cut in 1..bytes.len() {
            let mut meter = meter();
            let mut rounds = 0;
            while bytes.chunks(cut).all(|part| meter.read(part).is_ok()) {
                rounds += 1;
            }
            assert_eq!(rounds, 64, "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_and_windows_that_answer_what_was_written_are_free() {
        let mut meter = meter();
        for _ in 0..10_000 {
            meter.wrote(29);
            meter.read(&frame(6, 0, &[0; 8])).unwrap();
            // The answer to the ping, which earns no other.
            meter.wrote(17);
            meter.read(&frame(8, 0, &[0, 0, 0, 20])).unwrap();
            meter.read(&frame(8, 0, &[0, 0, 0, 20])).unwrap();
        }
        let ping = frame(6, 0, &[0; 8]);
        let mut passed = 0;
        while meter.read(&ping).is_ok() {
            meter.wrote(17);
            passed += 1;
        }
        assert!(passed <= 66, "{passed}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_incomplete_is_due() {
        let mut meter = meter();
        assert_eq!(meter.due(), None);
        let began = Instant::now();
        meter.read(&frame(1, 0, &[1; 4])).unwrap();
        advance(Duration::from_secs(1)).await;
        meter.read(&frame(9, 0, &[1; 4])[..10]).unwrap();
        assert_eq!(meter.due(), Some(began + FRAME_TIME), "each part does not begin anew");
        meter.read(&frame(9, 0, &[1; 4])[10..]).unwrap();
        assert_eq!(meter.due(), Some(began + FRAME_TIME));
        meter.read(&frame(9, END_HEADERS, &[1; 4])).unwrap();
        assert_eq!(meter.due(), None);
        // A body may take its time: the call has a limit of its own.
        meter.read(&frame(0, 0, &[1; 4])[..10]).unwrap();
        assert_eq!(meter.due(), None);
        meter.read(&[1; 3]).unwrap();
        meter.read(&[0; 2]).unwrap();
        assert!(meter.due().is_some());
    }
}
