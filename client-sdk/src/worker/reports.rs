//! Tells the hub what the client has applied, at the pace that the hub asks for.
//!
//! A report is about the newest state alone, so nothing is queued: what is applied while
//! one is under way or not due yet is in the next. It is a call of its own in a task of
//! its own, on the connection of the stream; the stream is read meanwhile. A hub that
//! names no pace takes no reports. One that is lost is made up for by the next.

use crate::credentials::Token;
use crate::limits;
use confhub_proto::wire::fleet_service_client::FleetServiceClient;
use confhub_proto::{Cursor, retry, wire};
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// What the hub is told, and when.
pub(crate) struct Reports {
    id: [u8; 16],
    /// `None`: the hub of this stream takes none.
    pace: Option<Pace>,
    /// When the whole burst will be there again.
    rested: Instant,
    last_sent: Option<Instant>,
    /// What the hub of this stream has been told.
    told: Option<Option<Cursor>>,
    due: Option<Instant>,
    flight: Option<Flight>,
    /// Something was applied while one was under way.
    again: bool,
    /// The update that could not be applied, until another one was.
    refused: Option<Arc<str>>,
}

/// A report that is under way.
struct Flight {
    cursor: Option<Cursor>,
    answer: JoinHandle<Result<Option<wire::ReportPace>, Status>>,
}

/// How the hub wants to be told, within what makes sense.
#[derive(Debug, Clone, Copy)]
struct Pace {
    burst: u32,
    interval: Duration,
    spread: Duration,
}

/// What happens with reports.
pub(super) enum Event {
    /// One is due.
    Due,
    /// One was answered.
    Answered(Result<Option<wire::ReportPace>, Status>),
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self {
            id: any_id(),
            pace: None,
            rested: Instant::now(),
            last_sent: None,
            told: None,
            due: None,
            flight: None,
            again: false,
            refused: None,
        }
    }

    /// What the client is named by.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// A stream was opened, whose hub has been told nothing yet.
    pub(super) fn opened(&mut self, welcome: &wire::Welcome) {
        self.pace = welcome.reports.as_ref().map(Pace::from);
        (self.told, self.due, self.flight, self.again) = (None, None, None, false);
    }

    /// The state is at `cursor`, and is good.
    pub(super) fn applied(&mut self, cursor: Option<Cursor>, rng: &mut fastrand::Rng) {
        let recovered = self.refused.take().is_some();
        if self.told != Some(cursor) || recovered {
            self.schedule(rng);
        }
    }

    fn schedule(&mut self, rng: &mut fastrand::Rng) {
        let Some(pace) = self.pace else { return };
        if self.flight.is_some() {
            self.again = true;
        } else if self.due.is_none() {
            let now = Instant::now();
            let wait = pace.wait(self.rested, now).max(pace.spread.mul_f64(rng.f64()));
            let gap = self.last_sent.map_or(now, |sent| sent + limits::REPORT_GAP);
            self.due = Some((now + wait).max(gap));
        }
    }

    /// Waits for what happens next, if anything will.
    pub(super) async fn event(&mut self) -> Event {
        if let Some(flight) = &mut self.flight {
            let answer = (&mut flight.answer).await;
            return Event::Answered(answer.unwrap_or_else(|_| Err(Status::cancelled("it was given up"))));
        }
        match self.due {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
        Event::Due
    }

    /// Whether one has been due for so long that it goes before the next frame.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due + limits::REPORT_PATIENCE <= now)
    }

    /// Sends the report that is due.
    pub(super) fn send(
        &mut self,
        channel: Channel,
        token: &Token,
        cursor: Option<Cursor>,
        problems: Vec<wire::Problem>,
    ) {
        self.due = None;
        let now = Instant::now();
        if let Some(pace) = self.pace {
            self.rested = self.rested.max(now) + pace.interval;
        }
        self.last_sent = Some(now);
        let request = wire::ReportRequest {
            id: self.id.to_vec(),
            cursor: cursor.map(|cursor| cursor.to_bytes().to_vec()).unwrap_or_default(),
            problems,
            refused: self.refused.as_deref().unwrap_or_default().to_owned(),
        };
        self.flight = Some(Flight { cursor, answer: tokio::spawn(told(channel, token.clone(), request)) });
    }

    /// Says at once that an update could not be applied: the stream is about to end.
    pub(super) fn refuse(
        &mut self,
        channel: Channel,
        token: &Token,
        cursor: Option<Cursor>,
        why: &impl ToString,
    ) {
        if self.pace.is_some() {
            self.refused = Some(cut(why.to_string()).into());
            self.send(channel, token, cursor, Vec::new());
        }
    }

    /// Takes the answer to a report.
    pub(super) fn answered(
        &mut self,
        answer: Result<Option<wire::ReportPace>, Status>,
        rng: &mut fastrand::Rng,
    ) {
        let flight = self.flight.take();
        let again = std::mem::take(&mut self.again);
        match answer {
            Ok(pace) => {
                self.told = flight.map(|flight| flight.cursor);
                self.pace = pace.as_ref().map(Pace::from).or(self.pace);
                if again {
                    self.schedule(rng);
                }
            }
            Err(status) => {
                tracing::debug!(%status, "the hub did not take a report");
                match status.code() {
                    // Not before the next stream.
                    Code::Unimplemented | Code::NotFound | Code::PermissionDenied | Code::InvalidArgument => {
                        self.pace = None;
                    }
                    _ => {
                        let delay = retry::delay(&status).unwrap_or_default();
                        let interval = self.pace.map_or(delay, |pace| pace.interval.max(delay));
                        // Up to half as much again, since others were refused as well.
                        self.due = Some(Instant::now() + interval.mul_f64(1.0 + rng.f64() / 2.0));
                    }
                }
            }
        }
    }
}

impl From<&wire::ReportPace> for Pace {
    fn from(pace: &wire::ReportPace) -> Self {
        let time = |time: &Option<prost_types::Duration>| {
            time.and_then(|time| Duration::try_from(time).ok()).unwrap_or_default()
        };
        Self {
            burst: pace.burst.clamp(1, limits::REPORT_BURST),
            interval: time(&pace.interval)
                .clamp(*limits::REPORT_INTERVAL.start(), *limits::REPORT_INTERVAL.end()),
            spread: time(&pace.spread).min(limits::REPORT_SPREAD),
        }
    }
}

impl Pace {
    /// How long until one may be made.
    fn wait(&self, rested: Instant, now: Instant) -> Duration {
        let ahead = (rested.max(now) + self.interval) - now;
        ahead.saturating_sub(self.interval * self.burst)
    }
}

/// Not one of the random choices that a seed repeats: two programs with the same seed are
/// not the same instance. The standard library asks the system for the keys of its hashes.
fn any_id() -> [u8; 16] {
    let half = || u128::from(RandomState::new().hash_one(0_u8));
    (half() << 64 | half()).to_be_bytes()
}

/// Makes the call.
async fn told(
    channel: Channel,
    token: Token,
    request: wire::ReportRequest,
) -> Result<Option<wire::ReportPace>, Status> {
    let mut request = Request::new(request);
    let header = token.header().map_err(|error| Status::unauthenticated(error.to_string()))?;
    request.metadata_mut().insert("authorization", header);
    let mut client = FleetServiceClient::new(channel);
    match timeout(limits::REPORT_TIMEOUT, client.report(request)).await {
        Ok(answer) => answer.map(|answer| answer.into_inner().pace),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

/// As much of a reason as a report has room for.
pub(crate) fn cut(mut reason: String) -> String {
    let end =
        (0..=limits::REPORT_REASON_BYTES.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
    reason.truncate(end.unwrap_or_default());
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(burst: u32, seconds: i64) -> Pace {
        let time = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        Pace::from(&wire::ReportPace { burst, interval: time(seconds), spread: time(0) })
    }

    #[test]
    fn no_two_clients_have_the_same_id() {
        let ids: std::collections::HashSet<_> = (0..100).map(|_| any_id()).collect();
        assert_eq!(ids.len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_one_for_each_interval() {
        let (pace, now) = (pace(3, 10), Instant::now());
        let (mut rested, mut waits) = (now, Vec::new());
        for _ in 0..5 {
            let wait = pace.wait(rested, now);
            waits.push(wait.as_secs());
            rested = rested.max(now) + pace.interval;
        }
        assert_eq!(waits, [0, 0, 0, 10, 20]);
    }

    #[test]
    fn a_hub_cannot_ask_for_what_makes_no_sense() {
        let odd = pace(0, -5);
        assert_eq!((odd.burst, odd.interval), (1, *limits::REPORT_INTERVAL.start()));
        let odd = pace(u32::MAX, i64::MAX);
        assert_eq!((odd.burst, odd.interval), (limits::REPORT_BURST, *limits::REPORT_INTERVAL.end()));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut("é".repeat(200)).len(), limits::REPORT_REASON_BYTES);
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut(format!("x{}", "é".repeat(200))).len(), limits::REPORT_REASON_BYTES - 1);
    }
}
