//! The certificate in force, and how it comes to be another.

use super::TlsError;
use super::load::{Files, Pair, date, seconds};
use crate::clock::Clock;
use crate::config::TlsSettings;
use crate::metrics::{Metrics, Outcome, OutcomeLabel};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The certificate in force.
pub struct Tls {
    files: Files,
    every: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    current: ArcSwap<Pair>,
    /// What the files held when it was read.
    digest: blake3::Hash,
}

/// What the looks at the files have found so far.
#[derive(Default)]
struct Seen {
    /// What was wrong at the last look.
    wrong: Option<String>,
    /// What has been told of it.
    told: Option<String>,
    /// Whether it has been told that the certificate in force has expired.
    expired: bool,
}

impl Tls {
    /// Reads the files; `None`: the settings name none, and ports speak plaintext.
    ///
    /// # Errors
    /// If they cannot be used as they are.
    pub async fn open(
        settings: &TlsSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(files) = Files::of(settings)? else {
            return Ok(None);
        };
        let content = files.read().await?;
        let pair = files.pair(&content, clock())?;
        metrics.tls.expiry.set(i64::try_from(pair.expiry).unwrap_or(i64::MAX));
        let digest = content.digest();
        tracing::info!(expires = date(pair.expiry), "TLS is on");
        Ok(Some(Arc::new(Self {
            files,
            every: settings.reload,
            clock,
            metrics,
            current: ArcSwap::from_pointee(pair),
            digest,
        })))
    }

    /// What the next connection is opened with.
    pub(super) fn current(&self) -> Arc<Pair> {
        self.current.load_full()
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Follows the files. Never ends.
    ///
    /// They are read whole each time, since they are small and every other sign of
    /// a change lies somewhere: a mounted secret swaps a symbolic link, a copy may
    /// keep the time of the original.
    pub async fn follow(self: Arc<Self>) {
        let mut looks = interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut digest, mut seen) = (self.digest, Seen::default());
        loop {
            looks.tick().await;
            self.look(&mut digest, &mut seen).await;
        }
    }

    async fn look(&self, in_force: &mut blake3::Hash, seen: &mut Seen) {
        match self.files.read().await {
            Ok(content) if content.digest() == *in_force => {
                *seen = Seen { expired: seen.expired, ..Seen::default() }
            }
            Ok(content) => match self.files.pair(&content, (self.clock)()) {
                Ok(pair) => {
                    *in_force = content.digest();
                    *seen = Seen::default();
                    self.replace(pair);
                }
                Err(error) => self.refuse(&error, seen),
            },
            Err(error) => self.refuse(&error, seen),
        }
        let expiry = self.current.load().expiry;
        if seconds((self.clock)()) > expiry && !std::mem::replace(&mut seen.expired, true) {
            tracing::error!(
                expired = date(expiry),
                "the certificate in force has expired: clients refuse it"
            );
        }
    }

    fn replace(&self, pair: Pair) {
        self.metrics.tls.expiry.set(i64::try_from(pair.expiry).unwrap_or(i64::MAX));
        self.metrics.tls.reloads.get_or_create(&OutcomeLabel { outcome: Outcome::Done }).inc();
        tracing::info!(expires = date(pair.expiry), "new connections get the new certificate");
        self.current.store(Arc::new(pair));
    }

    /// Tells what is wrong, once, if it is still so at a second look: certificate and
    /// key are two files, and whoever writes them is between the two for a moment.
    fn refuse(&self, error: &TlsError, seen: &mut Seen) {
        let wrong = Some(error.to_string());
        if seen.wrong == wrong && seen.told != wrong {
            let outcome = if error.is_unreadable() { Outcome::Failed } else { Outcome::Refused };
            self.metrics.tls.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
            tracing::error!(%error, "the new certificate cannot be used: the old one stays in force");
            seen.told.clone_from(&wrong);
        }
        seen.wrong = wrong;
    }
}
