//! Which token the next attempt is made with, and how often a new one is asked for.
//!
//! A refusal is followed by one renewal; if the new token is refused too, the pauses
//! grow as after any failure. The number of renewals in a minute is bounded whatever
//! hubs say; beside them there is only the one on its way for a stream that is about to
//! end, which asks its source again, at the pace of that, while there is no newer token.

use crate::credentials::{Credentials, Token, TokenError};
use crate::limits;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;
use tokio::time::Instant;

/// The tokens of one client.
pub(crate) struct Tokens {
    credentials: Credentials,
    /// For the next attempt: got for the file on disk, or for a move that failed.
    next: Option<Token>,
    /// The hub has refused the last one.
    renew: bool,
    /// The one before it was refused, too, with no stream in between.
    refused_again: bool,
    /// The last stream ended because its token was refused.
    ended_by_refusal: bool,
    /// When renewals were asked for, of those that still count.
    renewals: VecDeque<Instant>,
}

impl Tokens {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            next: None,
            renew: false,
            refused_again: false,
            ended_by_refusal: false,
            renewals: VecDeque::new(),
        }
    }

    /// Whether there will never be another token.
    pub(super) fn are_fixed(&self) -> bool {
        self.credentials.are_fixed()
    }

    /// The token for an attempt.
    pub(super) async fn take(&mut self) -> Result<Token, TokenError> {
        if let Some(token) = self.next.take() {
            return Ok(token);
        }
        let renew = self.renew && self.may_renew();
        let token = self.credentials.token(renew).await?;
        self.renew = false;
        Ok(token)
    }

    /// Has a token ready for the next attempt.
    pub(super) fn keep(&mut self, token: Token) {
        self.next = Some(token);
    }

    /// Drops what was kept: nobody knows how long it will be until a hub is there.
    pub(super) fn forget_kept(&mut self) {
        self.next = None;
    }

    /// The hub has refused the last one. True: and so it had the one before, with no
    /// stream in between, so that another renewal is in no hurry.
    pub(super) fn refused(&mut self) -> bool {
        self.renew = true;
        std::mem::replace(&mut self.refused_again, true)
    }

    /// A token newer than `old`, once there is one. `None`: there will be none, or too
    /// many were asked for.
    pub(super) fn newer_than(&mut self, old: &Token) -> Option<BoxFuture<'static, Token>> {
        let may = !self.are_fixed() && self.may_renew();
        may.then(|| self.credentials.clone().newer_than(old.clone()).boxed())
    }

    /// Another token than `old`, once the source has one of its own accord. `None`: it
    /// never will.
    pub(super) fn rotated(&self, old: &Token) -> Option<BoxFuture<'static, Token>> {
        (!self.are_fixed()).then(|| self.credentials.clone().rotated(old.clone()).boxed())
    }

    /// Waits until the source has another token than the refused one of its own accord,
    /// which is then the next. Never, if the last one was not refused, or too many were
    /// asked for.
    pub(super) async fn replaced(&mut self) {
        if self.renew {
            let token = self.credentials.last_rotated().await;
            if self.may_renew() {
                self.renew = false;
                self.keep(token);
                return;
            }
        }
        pending().await
    }

    /// Takes note of how a stream ended that had lived so long. True: it is the second
    /// in a row that ended with its token refused, and so no success.
    pub(super) fn stream_ended(&mut self, by_refusal: bool, lived: Duration) -> bool {
        self.refused_again = false;
        let before = std::mem::replace(&mut self.ended_by_refusal, by_refusal);
        by_refusal && before && lived < limits::RENEWALS_WITHIN
    }

    /// Whether one more renewal is within what is asked for in a minute.
    pub(super) fn may_renew(&mut self) -> bool {
        let now = Instant::now();
        while self.renewals.front().is_some_and(|at| now.duration_since(*at) >= limits::RENEWALS_WITHIN) {
            self.renewals.pop_front();
        }
        let may = self.renewals.len() < limits::RENEWALS;
        if may {
            self.renewals.push_back(now);
        } else {
            tracing::warn!(limit = limits::RENEWALS, "too many tokens were renewed within a minute");
        }
        may
    }
}
