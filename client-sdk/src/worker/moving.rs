//! Moving over: from a stream that is about to end to the one that follows it.
//!
//! A hub says goodbye some seconds before it ends a stream for its age, or because its
//! token expires; and a source may have another token before that, since somebody has
//! replaced the file, and may withdraw the old one. The client moves in four steps:
//!
//! 1. It gets a token and a place on a connection, while the old stream is read and
//!    applied as before.
//! 2. It stops reading the old stream, and keeps it open. From here on the state that
//!    is held does not change. With its cursor it asks for the new stream.
//! 3. It waits, within a bound, for proof of where the new stream begins: the first
//!    whole update, or a heartbeat that names the cursor.
//! 4. It drops the old stream, commits that update, and goes on with the new one.
//!
//! Nothing is lost, doubled or out of order: the new stream's first difference starts
//! at the cursor that it was asked with, and that is still the one of the state held
//! when the difference is committed, since nothing was applied in between. What was
//! left unread on the old stream is part of that difference, or comes after it. If the
//! new hub does not know the cursor it sends a whole state; one with an older entry
//! than the one held is not taken, since that hub lags behind. If anything fails, the
//! new stream is dropped without a trace, and the old one is read on where it was
//! left, a half-sent update included; its end leads to an ordinary reconnect.

use super::end::End;
use super::session::{Opened, Stream, With, answer_of, goodbye_of, heartbeat_of};
use super::{Origin, Worker};
use crate::credentials::Token;
use crate::endpoint::{Address, Connection, Endpoints, Round};
use crate::limits;
use confhub_proto::frame::Assembler;
use confhub_proto::wire::{frame::Kind, goodbye::Reason};
use confhub_proto::{State, Update};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// On the way to all that a new stream needs.
pub(super) type Way = BoxFuture<'static, Result<With, End>>;

/// A stream that can take over.
struct Successor {
    opened: Opened,
    origin: Origin,
    assembler: Assembler,
    /// Where it begins, and what led there; `None`: at the state held.
    first: Option<(Arc<State>, Update)>,
}

impl Worker {
    /// Sets out from a stream that the hub is about to end.
    pub(super) fn set_out(&mut self, why: Reason, stream: &mut Stream) {
        if stream.way.is_some() {
            return;
        }
        let With { address, connection, token } = &stream.with;
        let (token, near) = match why {
            Reason::TokenExpiring => match self.tokens.newer_than(token) {
                Some(newer) => (newer, Some(address.clone())),
                None => return,
            },
            // The token is good. A new connection lets a balancer choose anew.
            _ => {
                connection.retire();
                (std::future::ready(token.clone()).boxed(), None)
            }
        };
        self.depart(token, near, stream);
    }

    /// Sets out with a token that its source has replaced the stream's with.
    pub(super) fn follow_token(&mut self, token: Token, stream: &mut Stream) {
        if stream.way.is_none() && token != stream.with.token && self.tokens.may_renew() {
            let near = Some(stream.with.address.clone());
            self.depart(std::future::ready(token).boxed(), near, stream);
        }
    }

    fn depart(&mut self, token: BoxFuture<'static, Token>, near: Option<Address>, stream: &mut Stream) {
        let (endpoints, rng) = (self.endpoints.clone(), self.rng.fork());
        let way = async move {
            let token = token.await;
            let (address, connection) = find_place(endpoints, near, rng).await?;
            Ok(With { address, connection, token })
        };
        stream.way = Some(way.boxed());
    }

    /// Moves over, or leaves all as it was.
    pub(super) async fn move_over(&mut self, found: Result<With, End>, stream: &mut Stream) {
        let with = match found {
            Ok(with) => with,
            Err(end) => return self.stay(&end),
        };
        match self.successor(&with).await {
            Ok(next) => self.adopt(next, with, stream),
            Err(end) => {
                end.blame(&with.connection);
                if end.is_refused_token() {
                    self.tokens.refused();
                } else if with.token != stream.with.token && !end.is_about_identity() {
                    self.tokens.keep(with.token);
                }
                self.stay(&end);
                // It was not listened to meanwhile.
                stream.last_frame = Instant::now();
            }
        }
    }

    fn stay(&self, end: &End) {
        self.store.counters.failed_moves.add_one();
        tracing::info!(reason = %end, "could not move to a new stream; the old one is read to its end");
    }

    /// Opens a stream and waits until it has shown where it begins.
    async fn successor(&self, with: &With) -> Result<Successor, End> {
        self.store.counters.attempts.add_one();
        let request = self.request(&with.token)?;
        let limit = limits::WELCOME_TIMEOUT;
        let proof = async {
            let mut opened = answer_of(with.connection.channel(), request).await?;
            let origin = Origin::from(&opened.welcome);
            self.place.check(&origin)?;
            let mut assembler = Assembler::new(self.place.max_bytes);
            let first = self.first(&mut opened, &mut assembler).await?;
            Ok(Successor { opened, origin, assembler, first })
        };
        let proof = timeout(limit, proof).await;
        proof.unwrap_or_else(|_| Err(End::Unreachable(format!("no new stream within {limit:?}"))))
    }

    /// Where the stream begins.
    async fn first(
        &self,
        opened: &mut Opened,
        assembler: &mut Assembler,
    ) -> Result<Option<(Arc<State>, Update)>, End> {
        loop {
            let frame = opened.frames.message().await?;
            let frame = frame.ok_or(End::Protocol("the stream ended without a status"))?;
            match frame.kind {
                Some(Kind::Update(part)) => {
                    let Some(update) = assembler.push(part)? else { continue };
                    let state = self.place.after(&update, &self.store)?;
                    if update.reset && self.place.goes_back(&state) {
                        self.store.share.resize(self.place.state.bytes())?;
                        return Err(End::Behind);
                    }
                    return Ok(Some((state, update)));
                }
                Some(Kind::Heartbeat(heartbeat)) => {
                    let hub = heartbeat_of(&heartbeat)?;
                    match self.place.cursor {
                        // The whole state was asked for and is still to come.
                        None => {}
                        Some(own) if own == hub => return Ok(None),
                        Some(_) => return Err(End::Diverged),
                    }
                }
                Some(Kind::Goodbye(goodbye)) => return Err(goodbye_of(&goodbye)),
                Some(Kind::Welcome(_)) => return Err(End::Protocol("a second Welcome")),
                None => {}
            }
        }
    }

    /// Goes on with the new stream. Nothing here can fail.
    fn adopt(&mut self, next: Successor, with: With, stream: &mut Stream) {
        let Successor { opened, origin, assembler, first } = next;
        self.place.adopt(origin, &with.token);
        self.reports.opened(&opened.welcome);
        let next = self.stream(opened, with, assembler);
        tracing::debug!(from = %stream.with.address, to = %next.with.address, "moved to a new stream");
        // The old stream, and its place on its connection, are given up here.
        let old = std::mem::replace(stream, next);
        self.backoff.worked(old.opened_at.elapsed());
        self.tokens.stream_ended(false, old.opened_at.elapsed());
        drop(old);
        self.store.counters.streams.add_one();
        self.store.counters.moves.add_one();
        if let Some((state, update)) = first {
            self.place.publish(state, &update, &self.store);
            self.save(&update);
        }
        self.confirm(stream);
        self.reports.applied(self.place.cursor, &mut self.rng);
    }
}

/// A place on a connection to the address near by, or to any.
async fn find_place(
    mut endpoints: Endpoints,
    near: Option<Address>,
    mut rng: fastrand::Rng,
) -> Result<(Address, Connection), End> {
    if let Some(address) = near
        && let Ok(connection) = endpoints.connect(&address).await
    {
        return Ok((address, connection));
    }
    let addresses = match endpoints.round(&mut rng).await {
        Round::Try(addresses) => addresses,
        Round::Unresolved(reason) => return Err(End::Unreachable(reason)),
        Round::Wait(_) => return Err(End::Unreachable("all hubs have asked to be left alone".to_owned())),
    };
    let mut last = String::new();
    for address in addresses {
        match endpoints.connect(&address).await {
            Ok(connection) => return Ok((address, connection)),
            Err(reason) => last = reason,
        }
    }
    Err(End::Unreachable(last))
}
