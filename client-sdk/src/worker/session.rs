//! One stream, from the dial to its end.

use super::end::End;
use super::moving::Way;
use super::reports::Event;
use super::{Origin, Visit, Worker};
use crate::credentials::Token;
use crate::endpoint::{Address, Connection};
use crate::{Status, limits};
use confhub_proto::frame::Assembler;
use confhub_proto::wire::config_service_client::ConfigServiceClient;
use confhub_proto::wire::{self, frame::Kind, goodbye::Reason};
use confhub_proto::{Digest, Update};
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::task::consume_budget;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

/// A call whose Welcome has arrived.
pub(super) struct Opened {
    pub(super) frames: Streaming<wire::Frame>,
    pub(super) welcome: wire::Welcome,
}

/// What a stream is opened with.
pub(super) struct With {
    pub(super) address: Address,
    pub(super) connection: Connection,
    pub(super) token: Token,
}

/// The stream at hand.
pub(super) struct Stream {
    frames: Streaming<wire::Frame>,
    pub(super) with: With,
    assembler: Assembler,
    /// How long the hub may be silent.
    patience: Duration,
    pub(super) opened_at: Instant,
    pub(super) last_frame: Instant,
    /// The state is known to be the hub's.
    confirmed: bool,
    /// The hub has announced the end, and has asked to be left alone for so long.
    announced: Option<(Reason, Duration)>,
    /// On the way to the stream that is to follow.
    pub(super) way: Option<Way>,
    /// The token that takes the place of this stream's at its source.
    rotation: Option<BoxFuture<'static, Token>>,
}

impl Stream {
    fn new(
        opened: Opened,
        with: With,
        assembler: Assembler,
        rotation: Option<BoxFuture<'static, Token>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            patience: patience(&opened.welcome),
            frames: opened.frames,
            with,
            assembler,
            opened_at: now,
            last_frame: now,
            confirmed: false,
            announced: None,
            way: None,
            rotation,
        }
    }

    /// What an end by this status is: maybe what was announced.
    fn ended(&self, status: tonic::Status) -> End {
        match (self.announced, End::from(status)) {
            (Some((Reason::MaxAge, pause)), End::Status(status)) if status.code() == Code::Unavailable => {
                End::Goodbye(Reason::MaxAge, pause)
            }
            (_, end) => end,
        }
    }
}

impl From<&wire::Welcome> for Origin {
    fn from(welcome: &wire::Welcome) -> Self {
        Self { tenant: welcome.tenant.clone(), service: welcome.service.clone() }
    }
}

impl Worker {
    /// Opens a stream at `address`, and follows it and those that take over from it
    /// to the end of the last one.
    pub(super) async fn visit(&mut self, address: &Address) -> Visit {
        self.store.counters.attempts.add_one();
        let (opened, with) = match self.open(address).await {
            Ok(opened) => opened,
            Err(end) => return Visit { end, address: address.clone(), opened: false, worked: false },
        };
        self.store.counters.streams.add_one();
        let origin = Origin::from(&opened.welcome);
        self.reports.opened(&opened.welcome);
        let mut stream = self.stream(opened, with, Assembler::new(self.place.max_bytes));
        let end = match self.welcomed(origin, &stream.with.token) {
            Ok(()) => match self.follow_stream(&mut stream).await {
                Ok(never) => match never {},
                Err(end) => end,
            },
            Err(end) => end,
        };
        if end.is_refusal() {
            let With { connection, token, .. } = &stream.with;
            self.reports.refuse(connection.channel(), token, self.place.cursor, &end);
        }
        end.blame(&stream.with.connection);
        let lived = stream.opened_at.elapsed();
        let refused_again = self.tokens.stream_ended(end.is_refused_token(), lived);
        let good = stream.confirmed && !end.is_fault() && !refused_again;
        let worked = good && self.backoff.worked(lived);
        Visit { end, address: stream.with.address, opened: true, worked }
    }

    /// Dials first: no token is asked for that nobody would take.
    async fn open(&mut self, address: &Address) -> Result<(Opened, With), End> {
        let connection = self.endpoints.connect(address).await.map_err(End::Unreachable)?;
        let token = self.tokens.take().await?;
        let request = self.request(&token)?;
        let limit = limits::WELCOME_TIMEOUT;
        let opened = timeout(limit, answer_of(connection.channel(), request)).await;
        let opened = opened.unwrap_or_else(|_| Err(no_answer("the request", limit)));
        match opened {
            Ok(opened) => Ok((opened, With { address: address.clone(), connection, token })),
            Err(end) => {
                end.blame(&connection);
                Err(end)
            }
        }
    }

    /// A stream that has been opened.
    pub(super) fn stream(&self, opened: Opened, with: With, assembler: Assembler) -> Stream {
        let rotation = self.tokens.rotated(&with.token);
        Stream::new(opened, with, assembler, rotation)
    }

    /// Asks for all that comes after the state held.
    pub(super) fn request(&self, token: &Token) -> Result<Request<wire::SubscribeRequest>, End> {
        let mut request = Request::new(self.view.request(self.place.cursor, self.reports.id()));
        request.metadata_mut().insert("authorization", token.header()?);
        Ok(request)
    }

    /// Takes note of whose stream this is.
    fn welcomed(&mut self, origin: Origin, token: &Token) -> Result<(), End> {
        self.place.welcome(origin, token).map_err(|end| {
            if let End::OtherTenant { asked, named } = &end {
                tracing::error!(%asked, named, "the token is another tenant's");
            }
            if self.forget_saved() { End::ForeignFile } else { end }
        })
    }

    /// Applies frames until the stream ends, or another one has taken over and ends.
    async fn follow_stream(&mut self, stream: &mut Stream) -> Result<Infallible, End> {
        let mut alarm = pin!(sleep(stream.patience));
        loop {
            let frame = tokio::select! {
                biased;
                // Before the frames, of which a busy hub always has one. They are not
                // lost: the new stream begins at what is held.
                found = arrival(&mut stream.way) => {
                    stream.way = None;
                    self.move_over(found, stream).await;
                    alarm.as_mut().reset(Instant::now() + stream.patience);
                    continue;
                }
                token = arrival(&mut stream.rotation) => {
                    stream.rotation = None;
                    self.follow_token(token, stream);
                    continue;
                }
                // Frames that are there count, even if this task was not run
                // for so long that the alarm has gone off too.
                frame = stream.frames.message() => frame.map_err(|status| stream.ended(status))?,
                // What has come goes before what is told of it.
                event = self.reports.event() => {
                    self.report(event, stream);
                    continue;
                }
                () = &mut alarm => {
                    if stream.last_frame.elapsed() >= stream.patience {
                        return Err(End::Silent(stream.patience));
                    }
                    // Moved only when it goes off, which is cheaper than at
                    // each frame.
                    alarm.as_mut().reset(stream.last_frame + stream.patience);
                    continue;
                }
            };
            stream.last_frame = Instant::now();
            let frame = frame.ok_or(End::Protocol("the stream ended without a status"))?;
            // A kind that this version does not know is not meant for it.
            let Some(kind) = frame.kind else { continue };
            match self.take(kind, stream) {
                Err(End::Goodbye(Reason::Revoked, _)) => return Err(last_word(&mut stream.frames).await),
                taken => taken?,
            }
            if self.reports.is_overdue(stream.last_frame) {
                self.report(Event::Due, stream);
            }
            // A window may hold thousands of updates: other tasks of the program get
            // their turns in between, and so do the clients of other tenants.
            consume_budget().await;
        }
    }

    fn take(&mut self, kind: Kind, stream: &mut Stream) -> Result<(), End> {
        match kind {
            Kind::Update(part) => {
                if let Some(update) = stream.assembler.push(part)? {
                    self.place.commit(&update, &self.store)?;
                    self.save(&update);
                    self.confirm(stream);
                    self.reports.applied(self.place.cursor, &mut self.rng);
                }
            }
            Kind::Heartbeat(heartbeat) => {
                if self.place.heartbeat(heartbeat_of(&heartbeat)?, &self.store)? {
                    self.confirm(stream);
                    self.reports.applied(self.place.cursor, &mut self.rng);
                }
            }
            Kind::Goodbye(goodbye) => match goodbye_of(&goodbye) {
                // The stream is good for some time, in which another one can take over.
                End::Goodbye(why @ (Reason::TokenExpiring | Reason::MaxAge), pause) => {
                    stream.announced = Some((why, pause));
                    self.set_out(why, stream);
                }
                end => return Err(end),
            },
            Kind::Welcome(_) => return Err(End::Protocol("a second Welcome")),
        }
        Ok(())
    }

    /// Tells the hub of the state, or hears what it says to that.
    fn report(&mut self, event: Event, stream: &Stream) {
        match event {
            Event::Due => {
                let With { connection, token, .. } = &stream.with;
                let problems = self.store.problems(limits::REPORT_PROBLEMS);
                let problems = problems.into_iter().map(|(key, reason)| wire::Problem { key, reason });
                self.reports.send(connection.channel(), token, self.place.cursor, problems.collect());
            }
            Event::Answered(answer) => self.reports.answered(answer, &mut self.rng),
        }
    }

    /// Has the state after `update` written to disk in time.
    pub(super) fn save(&self, update: &Update) {
        let Some(disk) = &self.disk else { return };
        if let Some(good) = self.place.good(update.commit.hub_time) {
            disk.offer(good);
        }
    }

    /// The hub has confirmed that the state is current.
    pub(super) fn confirm(&self, stream: &mut Stream) {
        if std::mem::replace(&mut stream.confirmed, true) {
            return;
        }
        self.store.change_status(|status| {
            if status.is_ready() {
                return None;
            }
            tracing::info!(entries = self.place.state.len(), cursor = %self.place.state.digest(), "ready");
            Some(Status::Ready { since: Instant::now() })
        });
    }
}

/// What is waited for, if anything is.
async fn arrival<T>(awaited: &mut Option<BoxFuture<'static, T>>) -> T {
    match awaited {
        Some(awaited) => awaited.await,
        None => std::future::pending().await,
    }
}

/// Sends the request and waits for the Welcome.
pub(super) async fn answer_of(
    channel: Channel,
    request: Request<wire::SubscribeRequest>,
) -> Result<Opened, End> {
    let mut client =
        ConfigServiceClient::new(channel).max_decoding_message_size(confhub_proto::limits::FRAME_BYTES);
    let mut frames = client.subscribe(request).await?.into_inner();
    match frames.message().await? {
        Some(wire::Frame { kind: Some(Kind::Welcome(welcome)) }) => Ok(Opened { frames, welcome }),
        Some(_) => Err(End::Protocol("the first frame is no Welcome")),
        None => Err(End::Protocol("the stream ended before its Welcome")),
    }
}

/// Why the right to listen was withdrawn: a tenant that is suspended may come back, a
/// token that is revoked may not. The status that follows the goodbye tells them apart.
async fn last_word(frames: &mut Streaming<wire::Frame>) -> End {
    let status = async {
        loop {
            match frames.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(End::from(status)),
            }
        }
    };
    match timeout(limits::LAST_WORD_TIMEOUT, status).await.ok().flatten() {
        // A hub that gives no reason means just this.
        Some(End::Status(status))
            if status.code() == Code::PermissionDenied && reason_of(&status).is_none() =>
        {
            End::Goodbye(Reason::Revoked, Duration::ZERO)
        }
        Some(end) => end,
        None => End::Protocol("the right to listen was withdrawn, and no status says why"),
    }
}

/// What a hub says of why it does not let a caller in.
pub(super) fn reason_of(status: &tonic::Status) -> Option<&str> {
    status.metadata().get(wire::REASON_METADATA)?.to_str().ok()
}

/// The cursor that a heartbeat names.
pub(super) fn heartbeat_of(heartbeat: &wire::Heartbeat) -> Result<Digest, End> {
    let cursor = Digest::from_wire(&heartbeat.cursor).ok().flatten();
    cursor.ok_or(End::Protocol("a heartbeat without a cursor"))
}

/// What a goodbye means, if the stream is left for it.
pub(super) fn goodbye_of(goodbye: &wire::Goodbye) -> End {
    let retry_after = goodbye.retry_after.and_then(|wait| Duration::try_from(wait).ok());
    End::Goodbye(goodbye.reason(), retry_after.unwrap_or_default())
}

/// How long the hub may be silent.
fn patience(welcome: &wire::Welcome) -> Duration {
    let named = welcome.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
    let (shortest, longest) = (*limits::HEARTBEAT.start(), *limits::HEARTBEAT.end());
    named.unwrap_or(longest).clamp(shortest, longest) * limits::SILENT_HEARTBEATS
}

fn no_answer(to: &str, limit: Duration) -> End {
    End::Unreachable(format!("no answer to {to} within {limit:?}"))
}
