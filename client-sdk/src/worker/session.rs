//! One stream, from the dial to its end.

use super::end::End;
use super::{Origin, Visit, Worker};
use crate::credentials::Token;
use crate::endpoint::{Address, Connection};
use crate::{Status, limits};
use confhub_proto::frame::Assembler;
use confhub_proto::wire::config_service_client::ConfigServiceClient;
use confhub_proto::wire::{self, frame::Kind, goodbye::Reason};
use confhub_proto::{Digest, Update};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Streaming};

/// An open stream whose Welcome has arrived.
struct Opened {
    frames: Streaming<wire::Frame>,
    welcome: wire::Welcome,
}

/// What a stream was opened with.
struct With {
    connection: Connection,
    token: Token,
}

/// What is known of the stream at hand.
struct Follow {
    assembler: Assembler,
    /// The state is known to be the hub's.
    confirmed: bool,
    /// The one that the stream was opened with.
    token: Token,
    /// On the way to a newer one, since this one is about to expire.
    renewal: Option<BoxFuture<'static, Token>>,
}

impl Worker {
    /// Opens a stream at `address` and follows it to its end.
    pub(super) async fn visit(&mut self, address: &Address) -> Visit {
        self.store.counters.attempts.add_one();
        let (Opened { frames, welcome }, With { connection, token }) = match self.open(address).await {
            Ok(opened) => opened,
            Err(end) => return Visit { end, opened: false, worked: false },
        };
        self.store.counters.streams.add_one();
        let opened_at = Instant::now();
        let assembler = Assembler::new(self.place.max_bytes);
        let mut stream = Follow { assembler, confirmed: false, token, renewal: None };
        let end = match self.follow_stream(frames, welcome, &mut stream).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        end.blame(&connection);
        let good = stream.confirmed && !end.is_fault();
        Visit { opened: true, worked: good && self.backoff.worked(opened_at.elapsed()), end }
    }

    /// Dials first: no token is asked for that nobody would take.
    async fn open(&mut self, address: &Address) -> Result<(Opened, With), End> {
        let connection = self.endpoints.connect(address).await.map_err(End::Unreachable)?;
        let token = match self.next_token.take() {
            Some(token) => token,
            None => self.credentials.token(self.renew_token).await?,
        };
        self.renew_token = false;
        let mut request = Request::new(self.view.request(self.place.cursor));
        request.metadata_mut().insert("authorization", token.header()?);
        let limit = limits::WELCOME_TIMEOUT;
        let opened = timeout(limit, subscribe(connection.channel(), request)).await;
        let opened = opened.unwrap_or_else(|_| Err(no_answer("the request", limit)));
        match opened {
            Ok(opened) => Ok((opened, With { connection, token })),
            Err(end) => {
                end.blame(&connection);
                Err(end)
            }
        }
    }

    /// Applies frames until the stream ends.
    async fn follow_stream(
        &mut self,
        mut frames: Streaming<wire::Frame>,
        welcome: wire::Welcome,
        stream: &mut Follow,
    ) -> Result<std::convert::Infallible, End> {
        let patience = patience(&welcome);
        let origin = Origin { tenant: welcome.tenant, service: welcome.service };
        if let Err(end) = self.place.welcome(origin, &stream.token) {
            if let End::OtherTenant { asked, named } = &end {
                tracing::error!(%asked, named, "the token is another tenant's");
            }
            return Err(if self.forget_saved() { End::ForeignFile } else { end });
        }
        let mut last_frame = Instant::now();
        let mut alarm = pin!(sleep(patience));
        loop {
            let frame = tokio::select! {
                // Frames that are there count, even if this task was not run
                // for so long that the alarm has gone off too.
                biased;
                frame = frames.message() => frame?,
                token = renewed(&mut stream.renewal) => {
                    self.next_token = Some(token);
                    self.renew_token = false;
                    return Err(End::Renewed);
                }
                () = &mut alarm => {
                    if last_frame.elapsed() >= patience {
                        return Err(End::Silent(patience));
                    }
                    // Moved only when it goes off, which is cheaper than at
                    // each frame.
                    alarm.as_mut().reset(last_frame + patience);
                    continue;
                }
            };
            last_frame = Instant::now();
            let frame = frame.ok_or(End::Protocol("the stream ended without a status"))?;
            // A kind that this version does not know is not meant for it.
            if let Some(kind) = frame.kind {
                self.take(kind, stream)?;
            }
        }
    }

    fn take(&mut self, kind: Kind, stream: &mut Follow) -> Result<(), End> {
        match kind {
            Kind::Update(part) => {
                if let Some(update) = stream.assembler.push(part)? {
                    self.commit(&update)?;
                    self.confirm(stream);
                }
            }
            Kind::Heartbeat(heartbeat) => {
                let hub = Digest::from_wire(&heartbeat.cursor).ok().flatten();
                let hub = hub.ok_or(End::Protocol("a heartbeat without a cursor"))?;
                if self.place.heartbeat(hub, &self.store)? {
                    self.confirm(stream);
                }
            }
            Kind::Goodbye(goodbye) if goodbye.reason() == Reason::TokenExpiring => {
                // The stream is good until the token has expired, so there is
                // time to get another one.
                self.renew_token = true;
                let newer = self.credentials.clone().newer_than(stream.token.clone());
                stream.renewal.get_or_insert_with(|| newer.boxed());
            }
            Kind::Goodbye(goodbye) => {
                let retry_after = goodbye.retry_after.and_then(|wait| Duration::try_from(wait).ok());
                return Err(End::Goodbye(goodbye.reason(), retry_after.unwrap_or_default()));
            }
            Kind::Welcome(_) => return Err(End::Protocol("a second Welcome")),
        }
        Ok(())
    }

    fn commit(&mut self, update: &Update) -> Result<(), End> {
        self.place.commit(update, &self.store)?;
        if let (Some(disk), Some(good)) = (&self.disk, self.place.good(update.commit.hub_time)) {
            disk.offer(good);
        }
        Ok(())
    }

    /// The hub has confirmed that the state is current.
    fn confirm(&self, stream: &mut Follow) {
        if std::mem::replace(&mut stream.confirmed, true) {
            return;
        }
        tracing::info!(entries = self.place.state.len(), cursor = %self.place.state.digest(), "ready");
        self.store.change_status(|status| {
            let lost = !status.is_ready();
            lost.then(|| Status::Ready { since: Instant::now() })
        });
    }
}

/// The newer token, if one is on the way.
async fn renewed(renewal: &mut Option<BoxFuture<'static, Token>>) -> Token {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}

/// Sends the request and waits for the Welcome.
async fn subscribe(channel: Channel, request: Request<wire::SubscribeRequest>) -> Result<Opened, End> {
    let mut client =
        ConfigServiceClient::new(channel).max_decoding_message_size(confhub_proto::limits::FRAME_BYTES);
    let mut frames = client.subscribe(request).await?.into_inner();
    match frames.message().await? {
        Some(wire::Frame { kind: Some(Kind::Welcome(welcome)) }) => Ok(Opened { frames, welcome }),
        Some(_) => Err(End::Protocol("the first frame is no Welcome")),
        None => Err(End::Protocol("the stream ended before its Welcome")),
    }
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
