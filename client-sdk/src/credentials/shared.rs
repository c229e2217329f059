//! One source of tokens for any number of clients.
//!
//! What a source handed out is kept until a share of its life is over or somebody
//! was refused with it. All who want a token meanwhile get that one; all who want
//! another one wait for the same request. A renewal names the token that it is about,
//! so whoever comes second with the same one finds it renewed already. A source that
//! fails, or has nothing newer, is left alone for pauses that grow; whoever asks in
//! between is told what the last request was told.

use super::command::TokenCommand;
use super::file::TokenFile;
use super::{DynTokenSource, Issued, Pace, Token, TokenError, TokenSource, claims};
use crate::limits;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// One source of tokens for any number of clients, which ask it together: clones are
/// the same source.
///
/// ```no_run
/// use confhub_client::{Client, SharedTokens};
///
/// # async fn connect() -> Result<(), confhub_client::Error> {
/// let tokens = SharedTokens::file("/var/run/secrets/confhub/token");
/// let orders = Client::builder().endpoint("https://confhub.example.com:7600").service("order");
/// let orders = orders.shared_tokens(&tokens).connect().await?;
/// let carts = Client::builder().endpoint("https://confhub.example.com:7600").service("cart");
/// let carts = carts.shared_tokens(&tokens).connect().await?;
/// # Ok(())
/// # }
/// ```
///
/// However many clients want a token or were refused the same one, the source sees
/// one request. After one there is none for half a second at least; while they fail,
/// the pauses grow from a tenth of a second to half a minute. One request may take
/// ten seconds. A token is renewed after 70 to 90
/// percent of the life that it had left.
#[derive(Clone)]
pub struct SharedTokens(Arc<Inner>);

struct Inner {
    source: Box<dyn DynTokenSource>,
    known: Mutex<Known>,
    /// Moves with each other token.
    changed: watch::Sender<()>,
}

/// A request that all who want it wait for. It ends with the last of them.
type Flight = BoxFuture<'static, Result<Token, TokenError>>;

/// What is known of the source.
struct Known {
    held: Option<Held>,
    last: Last,
    /// Requests in a row that brought no other token.
    failures: u32,
    /// No request begins before.
    not_before: Option<Instant>,
    /// The request under way, and whether it is for a new token.
    flight: Option<(WeakShared<Flight>, bool)>,
    rng: fastrand::Rng,
}

struct Held {
    token: Token,
    /// From then on the source is asked again.
    due: Instant,
    /// `None`: it does not say.
    expires: Option<Instant>,
}

/// How the last request ended.
enum Last {
    /// With a token, or there was none yet.
    Good,
    /// With the token that was to be renewed.
    Same,
    Failed(TokenError),
}

/// What there is for somebody who wants a token.
enum Step {
    Done(Result<Token, TokenError>),
    /// Wait for this request, and look again if it was not for a new token and
    /// should have been.
    Wait(Shared<Flight>, bool),
}

impl SharedTokens {
    /// A source of the program's own.
    #[must_use]
    pub fn new(source: impl TokenSource) -> Self {
        Self::over(source)
    }

    /// A file with the token. It is looked at every two seconds.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::over(TokenFile(path.into()))
    }

    /// A command that prints the token: see [`Builder::token_command`].
    ///
    /// [`Builder::token_command`]: crate::Builder::token_command
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| OsString::from(arg.as_ref())).collect();
        Self::over(TokenCommand { program: program.as_ref().to_owned(), args })
    }

    fn over(source: impl DynTokenSource + 'static) -> Self {
        let known = Known {
            held: None,
            last: Last::Good,
            failures: 0,
            not_before: None,
            flight: None,
            rng: fastrand::Rng::new(),
        };
        let changed = watch::Sender::new(());
        Self(Arc::new(Inner { source: Box::new(source), known: Mutex::new(known), changed }))
    }

    /// A token that is not `refused`, unless the source has no other.
    pub(super) async fn get(&self, refused: Option<&Token>) -> Result<Token, TokenError> {
        loop {
            match self.0.step(refused) {
                Step::Done(done) => return done,
                Step::Wait(flight, fits) => {
                    let landed = flight.await;
                    match landed {
                        _ if !fits => {}
                        Ok(token) => return Ok(token),
                        // What is held is good for a while yet: the source was asked ahead.
                        Err(error) => return self.0.lock().usable(refused).cloned().ok_or(error),
                    }
                }
            }
        }
    }

    /// Waits for a token other than `old`.
    pub(super) async fn newer_than(&self, old: &Token) -> Token {
        loop {
            // A failure is logged where it happens, once for all who wait.
            if let Ok(token) = self.get(Some(old)).await
                && token != *old
            {
                return token;
            }
            let next = self.0.lock().next_request();
            sleep_until(next).await;
        }
    }

    /// Waits until there is another token than `old`, with no request but those that
    /// are due anyway.
    pub(super) async fn rotated(&self, old: &Token) -> Token {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let due = {
                let known = self.0.lock();
                match &known.held {
                    Some(held) if held.token != *old => return held.token.clone(),
                    Some(held) => held.due.max(known.not_before.unwrap_or(held.due)),
                    None => known.next_request(),
                }
            };
            tokio::select! {
                // The sender is in `self`.
                _ = changed.changed() => {}
                () = sleep_until(due) => drop(self.get(None).await),
            }
        }
    }
}

impl std::fmt::Debug for SharedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTokens").finish_non_exhaustive()
    }
}

impl Inner {
    fn step(self: &Arc<Self>, refused: Option<&Token>) -> Step {
        let mut known = self.lock();
        let now = Instant::now();
        let held = known.held.as_ref().filter(|held| Some(&held.token) != refused);
        if let Some(held) = held.filter(|held| now < held.due) {
            return Step::Done(Ok(held.token.clone()));
        }
        let under_way = known.flight.as_ref().and_then(|(flight, new)| Some((flight.upgrade()?, *new)));
        if let Some((flight, new)) = under_way {
            return Step::Wait(flight, new || refused.is_none());
        }
        if let Some(at) = known.not_before.filter(|at| now < *at) {
            // No request now.
            if let Some(token) = known.usable(refused) {
                return Step::Done(Ok(token.clone()));
            }
            match (&known.last, refused) {
                (Last::Failed(error), _) if at > now + limits::TOKEN_PATIENCE => {
                    return Step::Done(Err(error.clone()));
                }
                (Last::Same, Some(refused)) => return Step::Done(Ok(refused.clone())),
                // What is left of the pause is part of the request.
                _ => {}
            }
        }
        let renew = refused.is_some() || known.held.as_ref().is_some_and(|held| held.expires.is_some());
        let flight = Arc::clone(self).request(renew, known.not_before).boxed().shared();
        known.flight = flight.downgrade().map(|weak| (weak, renew));
        Step::Wait(flight, true)
    }

    /// Asks the source, at `not_before` at the earliest.
    async fn request(self: Arc<Self>, renew: bool, not_before: Option<Instant>) -> Result<Token, TokenError> {
        if let Some(at) = not_before {
            sleep_until(at).await;
        }
        // If all who wait give up meanwhile, this stays: the source did not answer.
        self.lock().failed(self.source.pace(), TokenError::new("the source did not answer in time"));
        let limit = limits::TOKEN_TIMEOUT;
        let issued = timeout(limit, self.source.dyn_token(renew)).await;
        let issued = issued
            .unwrap_or_else(|_| Err(TokenError::new(format!("the source took over {limit:?}"))))
            .and_then(|Issued { token, lives }| Ok((Token::new(&token)?, lives)));
        let mut known = self.lock();
        known.flight = None;
        match issued {
            Ok((token, lives)) => {
                let other = known.held.as_ref().is_none_or(|held| held.token != token);
                known.take(token.clone(), lives, self.source.pace(), renew && !other);
                drop(known);
                if other {
                    self.changed.send_replace(());
                }
                Ok(token)
            }
            Err(error) => {
                if known.held.is_some() {
                    tracing::warn!(%error, "cannot renew the token; goes on with the one before");
                }
                known.last = Last::Failed(error.clone());
                // Counted from its end: it may have taken longer than the pause.
                known.pause_failed(self.source.pace(), *limits::TOKEN_PAUSE.end());
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing in between can leave it half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What may still be sent, though it may be due.
    fn usable(&self, refused: Option<&Token>) -> Option<&Token> {
        let held = self.held.as_ref().filter(|held| Some(&held.token) != refused)?;
        held.expires.is_none_or(|at| Instant::now() < at).then_some(&held.token)
    }

    /// When there may be a request again; never right now.
    fn next_request(&self) -> Instant {
        let soon = Instant::now() + limits::TOKEN_FILE_PAUSE;
        self.not_before.map_or(soon, |at| at.max(soon))
    }

    /// A request has failed, or is about to begin and did not succeed yet.
    fn failed(&mut self, pace: Pace, error: TokenError) {
        self.last = Last::Failed(error);
        self.failures = self.failures.saturating_add(1);
        self.pause_failed(pace, *limits::TOKEN_PAUSE.end());
    }

    /// The pause after so many failures.
    fn pause_failed(&mut self, pace: Pace, most: Duration) {
        let doublings = self.failures.saturating_sub(1).min(16);
        self.pause(pace, (*limits::TOKEN_PAUSE.start() * 2_u32.pow(doublings)).min(most));
    }

    fn pause(&mut self, pace: Pace, bound: Duration) {
        let pause = match pace {
            Pace::Cheap => limits::TOKEN_FILE_PAUSE,
            Pace::Careful => bound.mul_f64(0.5 + self.rng.f64() / 2.0),
        };
        self.not_before = Some(Instant::now() + pause);
    }

    /// The source has answered. `same`: with the token that it was to renew.
    fn take(&mut self, token: Token, lives: Option<Duration>, pace: Pace, same: bool) {
        let now = Instant::now();
        let says = claims::expires(&token);
        // One that has expired by this clock, and was handed out all the same, tells
        // that the clock is wrong.
        let says = says.and_then(|at| at.duration_since(SystemTime::now()).ok());
        let left = [lives, says].into_iter().flatten().filter(|left| !left.is_zero()).min();
        let left = left.map(|left| left.min(limits::TOKEN_LONGEST_LIFE));
        let (least, most) = limits::TOKEN_SHARE.into_inner();
        let share = least + (most - least) * self.rng.f64();
        let due = match (pace, left) {
            (Pace::Cheap, _) => limits::TOKEN_FILE_INTERVAL,
            (_, Some(left)) if left >= limits::TOKEN_SHORT => left.mul_f64(share),
            _ => limits::TOKEN_UNKNOWN_LIFE,
        };
        self.held = Some(Held { token, due: now + due, expires: left.map(|left| now + left) });
        if same && pace == Pace::Careful {
            self.last = Last::Same;
            self.pause_failed(pace, limits::TOKEN_SAME_PAUSE);
        } else {
            self.last = Last::Good;
            self.failures = 0;
            self.pause(pace, limits::TOKEN_LEAST_PAUSE);
        }
    }
}
