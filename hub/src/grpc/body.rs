//! Bodies made of frames that are encoded already.

use super::alarm::Alarm;
use super::flags::{self, Follower};
use super::outgoing::Source;
use super::stall::{Over, Reading};
use super::turn;
use crate::fanout::{End, Frames, GroupWaker, Next, message};
use crate::metrics::{EndLabel, EndReason, Metrics};
use crate::tenant::Listener;
use bytes::Bytes;
use confhub_proto::wire::{self, frame::Kind, goodbye::Reason};
use http_body::{Body, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// How long before its end a stream says so, if that is known: time for the client
/// to get a new token, if that is why, and to move over.
const NOTICE: Duration = Duration::from_secs(10);

/// Clients of a hub that drains come back within this time, each at its own
/// moment, so that they do not all come at once.
const DRAIN_SPREAD: Duration = Duration::from_secs(2);

/// The body of a `Subscribe` stream. It holds a place in a topic, one timer and
/// at most one frame; what is not written yet stays where all share it.
///
/// What a step touches lies at the front.
#[repr(C)]
pub(super) struct Live {
    stage: Stage,
    /// When a step was last taken, which is as good as a heartbeat.
    stepped: Instant,
    listener: Listener,
    /// Sent before anything else.
    welcome: Option<Bytes>,
    /// It says flags, as providers of flagd take them, and nothing else.
    flags: Option<Box<Follower>>,
    heartbeat: Heartbeat,
    lifetime: Lifetime,
    reading: Arc<Reading>,
    alarm: Alarm,
    metrics: Arc<Metrics>,
}

struct Heartbeat {
    interval: Duration,
    due: Instant,
}

impl Heartbeat {
    /// What is sent now proves as much. One that is due already stays due:
    /// it tells the client that it is current.
    fn put_off(&mut self, now: Instant) {
        if self.due > now {
            self.due = now + self.interval;
        }
    }

    /// What was sent at `stepped` has proved as much.
    fn was_put_off(&mut self, stepped: Instant) {
        self.due = self.due.max(stepped + self.interval);
    }
}

/// When and why a stream ends that nothing else ends before.
struct Lifetime {
    /// When to say goodbye; `None`: it is said.
    notice: Option<Instant>,
    at: Instant,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Expiry,
    Age,
}

impl Lifetime {
    fn new(expires: Instant, oldest: Option<Instant>) -> Self {
        let (at, why) = match oldest {
            Some(oldest) if oldest < expires => (oldest, Why::Age),
            _ => (expires, Why::Expiry),
        };
        let now = Instant::now();
        let left = at.duration_since(now);
        let notice = now + left.saturating_sub(NOTICE.min(left / 2));
        Self { notice: Some(notice), at, why }
    }

    fn reason(&self) -> Reason {
        match self.why {
            Why::Expiry => Reason::TokenExpiring,
            Why::Age => Reason::MaxAge,
        }
    }

    fn end(&self) -> (Status, EndReason) {
        match self.why {
            Why::Expiry => (expired(), EndReason::Expired),
            Why::Age => {
                let status = Status::unavailable("the stream has reached its maximum age: connect again");
                (status, EndReason::Age)
            }
        }
    }
}

enum Stage {
    Open,
    /// The goodbye is sent; this is left.
    Ending(Status, EndReason),
    Done(EndReason),
}

/// What ends a stream.
pub(super) struct Ends {
    /// When its token expires.
    pub(super) expires: Instant,
    /// When it is too old, if streams can be.
    pub(super) oldest: Option<Instant>,
    /// Where it learns that its right was withdrawn.
    pub(super) reading: Arc<Reading>,
}

impl Live {
    pub(super) fn new(
        listener: Listener,
        welcome: Bytes,
        interval: Duration,
        ends: Ends,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stage: Stage::Open,
            // Before the first heartbeat can have been put off by a step.
            stepped: now.checked_sub(interval).unwrap_or(now),
            listener,
            welcome: Some(welcome),
            flags: None,
            // The first one follows what the client lacks, at once: it tells a
            // client that lacks nothing that it is current.
            heartbeat: Heartbeat { interval, due: now },
            lifetime: Lifetime::new(ends.expires, ends.oldest),
            reading: ends.reading,
            alarm: Alarm::new(now),
            metrics,
        }
    }

    /// A stream of flags: no welcome, no heartbeat, no goodbye.
    pub(super) fn of_flags(listener: Listener, flags: Follower, ends: Ends, metrics: Arc<Metrics>) -> Self {
        let mut live = Self::new(listener, Bytes::new(), Duration::ZERO, ends, metrics);
        live.welcome = None;
        live.flags = Some(Box::new(flags));
        live
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Some(welcome) = self.welcome.take() {
            return Poll::Ready(welcome);
        }
        // Not that of the turn: see `Alarm::set`.
        let now = Instant::now();
        self.heartbeat.was_put_off(self.stepped);
        if now >= self.lifetime.at {
            let (mut status, reason) = self.lifetime.end();
            if self.flags.is_some() {
                // Some of flagd's providers give up for good on UNAUTHENTICATED. One that has
                // no new token is told so when it comes back.
                status = Status::unavailable(status.message());
            }
            return Poll::Ready(self.end(status, reason, None));
        }
        if self.flags.is_some() {
            return self.poll_flags(cx, now);
        }
        match self.listener.subscriber.poll_next(cx) {
            Poll::Ready(Next::Frame(frame)) => {
                turn::delivered(frame.len());
                self.heartbeat.put_off(now);
                return Poll::Ready(frame);
            }
            Poll::Ready(Next::End(end)) => return Poll::Ready(self.ended(end)),
            Poll::Pending => {}
        }
        if self.lifetime.notice.is_some_and(|at| at <= now) {
            self.lifetime.notice = None;
            return Poll::Ready(goodbye(self.lifetime.reason(), Duration::ZERO));
        }
        if self.heartbeat.due <= now {
            self.heartbeat.due = now + self.heartbeat.interval;
            return Poll::Ready(heartbeat(self.listener.subscriber.cursor()));
        }
        let next = self.heartbeat.due.min(self.lifetime.notice.unwrap_or(self.lifetime.at));
        self.alarm.set(next, now, cx);
        Poll::Pending
    }

    fn poll_flags(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Bytes> {
        let Some(flags) = &mut self.flags else { return Poll::Pending };
        match flags.poll_next(&mut self.listener.subscriber, cx) {
            Poll::Ready(Ok(message)) => {
                turn::delivered(message.len());
                Poll::Ready(message)
            }
            Poll::Ready(Err(flags::Over::Ended(end))) => Poll::Ready(self.ended(end)),
            Poll::Ready(Err(flags::Over::TooLarge(error))) => {
                let status = Status::resource_exhausted(error.to_string());
                Poll::Ready(self.end(status, EndReason::TooLarge, None))
            }
            Poll::Pending => {
                self.alarm.set(self.lifetime.at, now, cx);
                Poll::Pending
            }
        }
    }

    fn ended(&mut self, end: End) -> Bytes {
        match end {
            End::Drain => {
                let status = Status::unavailable("the hub is shutting down");
                let retry_after = DRAIN_SPREAD.mul_f64(fastrand::f64());
                let last = self.flags.is_none().then(|| goodbye(Reason::Drain, retry_after));
                self.end(status, EndReason::Drain, last)
            }
            End::TooLarge => {
                let status = Status::resource_exhausted(flags::TENANT_TOO_LARGE);
                self.end(status, EndReason::TooLarge, None)
            }
        }
    }

    /// Ends the stream; what is returned goes out before the status.
    fn end(&mut self, status: Status, reason: EndReason, last: Option<Bytes>) -> Bytes {
        self.stage = Stage::Ending(status, reason);
        last.unwrap_or_default()
    }
}

impl Body for Live {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if matches!(self.stage, Stage::Open) {
            let bytes = ready!(self.poll_open(cx));
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Done(EndReason::Left)) {
            Stage::Ending(status, reason) => {
                self.stage = Stage::Done(reason);
                Poll::Ready(Some(Ok(trailers(&status))))
            }
            done => {
                self.stage = done;
                Poll::Ready(None)
            }
        }
    }
}

impl Source for Live {
    fn join_group(&mut self, group: Arc<dyn GroupWaker>, bit: u64) {
        // Flags are no step: such a stream is woken by itself, and looks.
        if self.flags.is_none() {
            self.listener.subscriber.join_group(group, bit);
        }
    }

    fn can_step(&self) -> bool {
        // Neither the heartbeat nor the end is due: the alarm would have rung.
        matches!(self.stage, Stage::Open) && self.listener.subscriber.can_step()
    }

    fn step(&mut self) -> Option<Bytes> {
        let frame = self.listener.subscriber.step()?;
        turn::delivered(frame.len());
        self.stepped = turn::now();
        Some(frame)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let reason = match self.stage {
            Stage::Open => match self.reading.over() {
                None => EndReason::Left,
                Some(Over::Refused(_)) => EndReason::Withdrawn,
                Some(Over::Expired) => EndReason::Expired,
                Some(Over::Stalled) => EndReason::Stalled,
            },
            Stage::Ending(_, reason) | Stage::Done(reason) => reason,
        };
        self.metrics.stream_ends.get_or_create(&EndLabel { reason }).inc();
    }
}

/// The body of a `GetSnapshot` answer.
pub(crate) struct Finite {
    frames: Arc<Frames>,
    next: usize,
    /// `None`: it does not.
    expires: Option<Instant>,
    done: bool,
}

impl Finite {
    pub(super) fn new(frames: Arc<Frames>, expires: Instant) -> Self {
        Self { frames, next: 0, expires: Some(expires), done: false }
    }

    /// The same for somebody whose right to it does not expire.
    pub(crate) fn for_good(frames: Arc<Frames>) -> Self {
        Self { frames, next: 0, expires: None, done: false }
    }
}

impl Body for Finite {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let frame = self.frames.get(self.next);
        self.next += 1;
        let status = match frame {
            _ if self.expires.is_some_and(|at| Instant::now() >= at) => expired(),
            Some(frame) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => Status::ok(""),
        };
        self.done = true;
        Poll::Ready(Some(Ok(trailers(&status))))
    }
}

pub(super) fn expired() -> Status {
    Status::unauthenticated("the token has expired: connect again with a new one")
}

/// A status as the last frame of a body.
pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = http::HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Its words do not fit into a header: the code does.
        trailers.insert("grpc-status", (status.code() as i32).into());
    }
    Frame::trailers(trailers)
}

fn heartbeat(cursor: confhub_proto::Digest) -> Bytes {
    let heartbeat = wire::Heartbeat { cursor: cursor.to_bytes().to_vec() };
    message(&wire::Frame { kind: Some(Kind::Heartbeat(heartbeat)) })
}

pub(super) fn goodbye(reason: Reason, retry_after: Duration) -> Bytes {
    let retry_after = prost_types::Duration::try_from(retry_after).ok();
    let goodbye = wire::Goodbye { reason: reason.into(), retry_after };
    message(&wire::Frame { kind: Some(Kind::Goodbye(goodbye)) })
}
