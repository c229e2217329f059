//! The keys that are accepted now, and their renewal.
//!
//! One task owns the renewal ([`Keyring::refresh`]): it reads the keys again at
//! the set interval, and once more when a token names a key that is not among
//! them. However many such tokens come, there is one read at a time, and the
//! next one that they cause is no sooner than [`limits::JWKS_REREAD_INTERVAL`]
//! later. A read that fails changes nothing: the last good keys stay, for at
//! most [`limits::JWKS_GRACE`].

use super::KeysError;
use super::fetch::Place;
use super::keys::Keys;
use crate::limits;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

/// Longest wait for an answer: two reads, the one that may be under way and the
/// one that is asked for, each of the issuer's document and of its keys.
const WAIT: Duration = limits::JWKS_TIMEOUT.saturating_mul(4);

pub(super) struct Keyring {
    keys: ArcSwap<Keys>,
    renewal: Option<Renewal>,
}

/// Present if the keys can change.
struct Renewal {
    place: Place,
    interval: Duration,
    /// Somebody met an unknown key.
    wanted: Notify,
    /// Counts the answers to that, whatever they were.
    answered: watch::Sender<u64>,
    /// Places for those who wait for that.
    waiting: Semaphore,
}

impl Keyring {
    /// Keys that never change.
    pub(super) fn fixed(keys: Keys) -> Self {
        Self { keys: ArcSwap::from_pointee(keys), renewal: None }
    }

    /// Keys that are read from `place`. There are none before [`Self::first_read`].
    pub(super) fn new(place: Place, interval: Duration) -> Self {
        let renewal = Renewal {
            place,
            interval,
            wanted: Notify::new(),
            answered: watch::Sender::new(0),
            waiting: Semaphore::new(limits::JWKS_WAITERS),
        };
        Self { keys: ArcSwap::from_pointee(Keys::given_up()), renewal: Some(renewal) }
    }

    /// Reads the keys for the first time. If that fails, [`Self::refresh`] tries
    /// it again.
    pub(super) async fn first_read(&self) -> Result<(), KeysError> {
        let Some(Renewal { place, .. }) = &self.renewal else { return Ok(()) };
        let keys = read(place).await?;
        if keys.len() == 0 {
            return Err(KeysError::Set { place: place.name(), reason: "it has no keys".to_owned() });
        }
        tracing::info!(place = place.name(), keys = keys.len(), "the issuer's keys are loaded");
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// The keys as they are.
    pub(super) fn current(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Tells the keys as they are from others ([`Keys::digest`]).
    pub(super) fn digest(&self) -> [u8; 32] {
        self.keys.load().digest()
    }

    /// The keys, after a look for `kid` at their source if it is not among them.
    pub(super) async fn with(&self, kid: &str) -> Arc<Keys> {
        let keys = self.current();
        let Some(renewal) = &self.renewal else { return keys };
        if keys.get(kid).is_some() {
            return keys;
        }
        let Ok(_place) = renewal.waiting.try_acquire() else { return keys };
        let mut answered = renewal.answered.subscribe();
        renewal.wanted.notify_one();
        let _ = tokio::time::timeout(WAIT, answered.changed()).await;
        self.current()
    }

    /// Keeps the keys fresh, for as long as it is polled.
    pub(super) async fn refresh(&self) {
        let Some(renewal) = &self.renewal else { return std::future::pending().await };
        let retry = renewal.interval.min(limits::JWKS_RETRY);
        let first = if self.current().are_given_up() { retry } else { renewal.interval };
        let mut due = Instant::now() + first;
        let mut last_asked: Option<Instant> = None;
        let mut last_good = Instant::now();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep_until(due) => false,
                () = renewal.wanted.notified() => true,
            };
            if asked && last_asked.is_some_and(|last| last.elapsed() < limits::JWKS_REREAD_INTERVAL) {
                renewal.answer();
                continue;
            }
            if asked {
                last_asked = Some(Instant::now());
            }
            let good = self.renew(&renewal.place).await;
            if good {
                last_good = Instant::now();
            } else if last_good.elapsed() >= renewal.interval + limits::JWKS_GRACE {
                self.give_up(&renewal.place);
            }
            // A read that nobody asked for may have begun before the key was published:
            // whoever waits, waits for the one after it.
            if asked {
                renewal.answer();
            }
            let wait = if good { renewal.interval } else { retry };
            due = Instant::now() + wait;
        }
    }

    async fn renew(&self, place: &Place) -> bool {
        match read(place).await {
            Ok(keys) => {
                if !keys.same_as(&self.current()) {
                    match keys.len() {
                        0 => tracing::warn!(place = place.name(), "the issuer has withdrawn all its keys"),
                        keys => tracing::info!(place = place.name(), keys, "the issuer's keys have changed"),
                    }
                    self.keys.store(Arc::new(keys));
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the issuer's keys could not be read again");
                false
            }
        }
    }

    fn give_up(&self, place: &Place) {
        if !self.current().are_given_up() {
            let grace_s = limits::JWKS_GRACE.as_secs();
            tracing::error!(
                place = place.name(),
                grace_s,
                "an issuer's keys could not be read for too long: its tokens are refused"
            );
            self.keys.store(Arc::new(Keys::given_up()));
        }
    }
}

impl Renewal {
    fn answer(&self) {
        self.answered.send_modify(|count| *count = count.wrapping_add(1));
    }
}

async fn read(place: &Place) -> Result<Keys, KeysError> {
    let text = place.read().await?;
    Keys::parse(&text).map_err(|reason| KeysError::Set { place: place.name(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::testing::{SigningKey, jwks};
    use crate::config::JwksLocation;

    async fn opened(place: Place, interval: Duration) -> Keyring {
        let keyring = Keyring::new(place, interval);
        keyring.first_read().await.unwrap();
        keyring
    }

    /// Waits until `kid` is there (or is not), and gives how long it took.
    async fn wait_for(keyring: &Keyring, kid: &str) -> Duration {
        let start = Instant::now();
        while keyring.current().get(kid).is_none() {
            assert!(start.elapsed() < Duration::from_secs(3_600), "`{kid}` never came");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_read_at_the_interval_and_sooner_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let write = |kid| std::fs::write(&path, jwks(&[SigningKey::ed25519(kid)])).unwrap();
        write("first");
        let place = Place::new("issuer", Some(&JwksLocation::File(path.clone()))).unwrap();
        let interval = Duration::from_secs(300);
        let keyring = Arc::new(opened(place, interval).await);
        let owner = Arc::clone(&keyring);
        let task = tokio::spawn(async move { owner.refresh().await });

        write("second");
        let took = wait_for(&keyring, "second").await;
        assert!(took >= interval - Duration::from_secs(1) && took <= interval + Duration::from_secs(1));

        // The next reading fails: the key stays, and the one after comes soon.
        std::fs::write(&path, "not a key set").unwrap();
        tokio::time::sleep(interval + Duration::from_secs(1)).await;
        assert!(keyring.current().get("second").is_some());
        write("third");
        assert!(wait_for(&keyring, "third").await <= limits::JWKS_RETRY);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_were_not_there_at_the_start_come_soon_after_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let place = Place::new("issuer", Some(&JwksLocation::File(path.clone()))).unwrap();
        let keyring = Arc::new(Keyring::new(place, Duration::from_secs(3_600)));
        assert!(keyring.first_read().await.is_err());
        assert!(keyring.current().are_given_up());
        let owner = Arc::clone(&keyring);
        let task = tokio::spawn(async move { owner.refresh().await });
        std::fs::write(&path, jwks(&[SigningKey::ed25519("first")])).unwrap();
        assert!(wait_for(&keyring, "first").await <= limits::JWKS_RETRY + Duration::from_secs(1));
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_can_cause_a_read_again_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let write = |kid| std::fs::write(&path, jwks(&[SigningKey::ed25519(kid)])).unwrap();
        write("first");
        let place = Place::new("issuer", Some(&JwksLocation::File(path.clone()))).unwrap();
        let keyring = Arc::new(opened(place, Duration::from_secs(3_600)).await);
        let owner = Arc::clone(&keyring);
        let task = tokio::spawn(async move { owner.refresh().await });

        write("second");
        assert!(keyring.with("second").await.get("second").is_some());
        write("third");
        assert!(keyring.with("third").await.get("third").is_none(), "too soon");
        tokio::time::sleep(limits::JWKS_REREAD_INTERVAL).await;
        assert!(keyring.with("third").await.get("third").is_some());
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_within_a_bound_even_if_nobody_renews() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, jwks(&[SigningKey::ed25519("first")])).unwrap();
        let place = Place::new("issuer", Some(&JwksLocation::File(path))).unwrap();
        let keyring = opened(place, Duration::from_secs(300)).await;
        let start = Instant::now();
        assert!(keyring.with("other").await.get("other").is_none());
        assert_eq!(start.elapsed(), WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn more_callers_than_may_wait_are_answered_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, jwks(&[SigningKey::ed25519("first")])).unwrap();
        let place = Place::new("issuer", Some(&JwksLocation::File(path))).unwrap();
        let keyring = Arc::new(opened(place, Duration::from_secs(300)).await);
        let start = Instant::now();
        let mut waiters = tokio::task::JoinSet::new();
        for _ in 0..limits::JWKS_WAITERS {
            let keyring = Arc::clone(&keyring);
            waiters.spawn(async move { keyring.with("other").await });
        }
        while keyring.renewal.as_ref().unwrap().waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        keyring.with("other").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        waiters.join_all().await;
        keyring.with("other").await;
        assert_eq!(start.elapsed(), WAIT * 2, "the places are free again");
    }
}
