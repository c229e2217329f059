//! One rollout, driven.

use super::book::{RolloutError, ms};
use super::driver::{LOOK, RETRY, Shared};
use super::model::{Lease, Phase, Rollout, State};
use super::turn::{Do, Fleet, Seen};
use crate::backend::{Action, Change, WriteError};
use crate::fleet::{Marked, Moves, Row, Verdict};
use crate::limits::VALUE_BYTES;
use crate::source::{Address, Hint, Sink as _};
use confhub_flags::{DefinitionText, FLAG_TYPE, FlagName, set_percentage_of_text};
use confhub_proto::{Content, Entry, ServiceName, TenantId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a hub has the right to drive a rollout, unless it says again that it does:
/// so long does a rollout stand still when its hub has died.
const LEASE: Duration = Duration::from_secs(10);

/// What has to be left of it for something to be written: longer than a write takes.
const LEASE_LEFT: Duration = Duration::from_secs(5);

/// Shortest time between two looks.
const REST: Duration = Duration::from_millis(20);

/// How long the tenant may take to be read after a step was written.
const READ: Duration = Duration::from_secs(2);

/// Instances that a reason names.
const NAMED: usize = 3;

/// One rollout that this hub drives.
pub(super) struct Drive {
    shared: Arc<Shared>,
    tenant: TenantId,
    id: String,
    address: Address,
    name: FlagName,
    /// Where views stand that have this version of the flag.
    mark: Option<(u64, Marked)>,
}

impl Drive {
    pub(super) fn new(shared: Arc<Shared>, tenant: TenantId, id: String, rollout: &Rollout) -> Option<Self> {
        let name = FlagName::new(&rollout.plan.flag).ok()?;
        let service = match rollout.plan.service.as_str() {
            "" => None,
            service => Some(ServiceName::new(service).ok()?),
        };
        let address = Address { service, key: name.key().clone() };
        Some(Self { shared, tenant, id, address, name, mark: None })
    }

    /// Drives until there is nothing more to do, or somebody else does it.
    pub(super) async fn run(&mut self) {
        loop {
            // From before the look, so that nothing that comes during it is slept through.
            let seen = (self.shared.fleet.moves(&self.tenant), self.shared.book.changes());
            match self.turn().await {
                Ok(Some(pause)) => self.rest(pause, seen).await,
                Ok(None) => return,
                Err(RolloutError::Unknown(_)) => return,
                // Somebody was faster: look again.
                Err(error) if error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(tenant = %self.tenant, rollout = self.id, %error, "a rollout does not go on");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// One look, and what follows; then how long to rest. `None`: it is over here.
    async fn turn(&mut self) -> Result<Option<Duration>, RolloutError> {
        let (version, mut rollout) = self.shared.book.read(&self.tenant, &self.id).await?;
        if !self.shared.may_drive(&rollout) {
            return Ok(None);
        }
        let before = rollout.clone();
        let now = ms((self.shared.clock)());
        let left =
            |lease: &Lease| lease.hub == self.shared.hub && lease.until_ms >= now + whole_ms(LEASE_LEFT);
        if !rollout.lease.as_ref().is_some_and(left) {
            let lease = Lease { hub: self.shared.hub.clone(), until_ms: now + whole_ms(LEASE) };
            rollout.lease = Some(lease);
            // Nothing is done before it is held.
            self.shared.book.save(&self.tenant, &rollout, version).await?;
            return Ok(Some(Duration::ZERO));
        }
        let entry = self.entry().await?;
        let seen = self.look(&rollout, entry.as_ref()).await?;
        let next = rollout.turn(&seen);
        match (next, entry) {
            (Do::Write, Some(entry)) => self.write(&rollout, &entry).await?,
            (Do::Write, None) => self.stuck("there is no such flag").await?,
            (Do::Restore, _) => self.restore(&rollout).await?,
            (Do::Wait | Do::Again, _) if rollout != before => {
                self.shared.book.save(&self.tenant, &rollout, version).await?;
            }
            (Do::Wait | Do::Again, _) => {}
        }
        Ok(Some(match next {
            Do::Wait => {
                rollout.wakes_at().map_or(LOOK, |at| Duration::from_millis(at.saturating_sub(seen.now)))
            }
            _ => Duration::ZERO,
        }))
    }

    /// Waits until there may be something new since `seen`, but not for longer than that.
    async fn rest(&self, pause: Duration, seen: (Moves, watch::Receiver<u64>)) {
        if pause.is_zero() {
            return;
        }
        sleep(REST).await;
        let (mut moves, mut records) = seen;
        tokio::select! {
            () = sleep(pause.min(LOOK)) => {}
            () = self.shared.fleet.moved(&mut moves) => {}
            _ = records.changed() => {}
        }
    }

    async fn entry(&self) -> Result<Option<Entry>, RolloutError> {
        let Some(backend) = self.shared.backend(&self.address) else { return Ok(None) };
        let found = backend.read(&self.tenant, std::slice::from_ref(&self.address)).await?;
        Ok(found.into_iter().flatten().next())
    }

    async fn look(&mut self, rollout: &Rollout, entry: Option<&Entry>) -> Result<Seen, RolloutError> {
        let version = entry.map_or(0, Entry::version);
        let foreign = version != rollout.version;
        let as_wanted = foreign && entry.is_some_and(|entry| self.is_wanted(rollout, entry));
        let undoing = matches!(rollout.state, State::Undoing { .. });
        let as_before = match entry.filter(|_| foreign && undoing) {
            Some(entry) => self.was(rollout.before, entry).await?,
            None => false,
        };
        let waits =
            matches!(rollout.state, State::Running { phase: Phase::Applying { .. } | Phase::Holding { .. } });
        let fleet = if waits && !foreign { self.fleet(rollout).await } else { Fleet::Unknown };
        Ok(Seen { now: ms((self.shared.clock)()), version, as_wanted, as_before, fleet })
    }

    /// Whether an entry is what the present step makes of it.
    fn is_wanted(&self, rollout: &Rollout, entry: &Entry) -> bool {
        self.definition(rollout, entry).is_ok_and(|text| text == *entry.value())
    }

    /// Whether an entry has the content of an earlier version.
    async fn was(&self, version: u64, entry: &Entry) -> Result<bool, RolloutError> {
        let Some(backend) = self.shared.backend(&self.address) else { return Ok(false) };
        let next = version.saturating_add(1);
        let kept = backend.history(&self.tenant, &self.address, next, 1).await?;
        Ok(kept.first().is_some_and(|kept| {
            kept.entry.version() == version && !kept.deleted && kept.entry.value() == entry.value()
        }))
    }

    /// How far the version that the rollout has left has come.
    async fn fleet(&mut self, rollout: &Rollout) -> Fleet {
        let version = rollout.version;
        if self.mark.as_ref().is_none_or(|(of, _)| *of != version) {
            let written = [(self.address.clone(), version)];
            match timeout(READ, self.shared.fleet.mark(&self.tenant, &written)).await {
                Ok(Some(mark)) => self.mark = Some((version, mark)),
                // Nobody follows the tenant.
                Ok(None) => return Fleet::Applied(0),
                Err(_) => return Fleet::Pending("the hub, which cannot read it back".to_owned()),
            }
        }
        let Some((_, mark)) = &self.mark else { return Fleet::Applied(0) };
        let services = &rollout.plan.services;
        let wanted = |service: Option<&ServiceName>| {
            services.is_empty()
                || service.is_some_and(|service| services.iter().any(|one| one == service.as_str()))
        };
        self.shared
            .fleet
            .verdict(&self.tenant, mark, wanted)
            .map_or(Fleet::Applied(0), |verdict| words(&verdict))
    }

    /// What the present step makes of the flag. Of what it has made itself, it makes the
    /// same, byte for byte.
    fn definition(&self, rollout: &Rollout, entry: &Entry) -> Result<Vec<u8>, String> {
        let mut text = DefinitionText::parse(entry.value()).map_err(|faults| faults.to_string())?;
        let share =
            rollout.share().parse().map_err(|error: confhub_flags::PercentageError| error.to_string())?;
        let (on, off) = (&rollout.plan.on, &rollout.plan.off);
        set_percentage_of_text(&self.name, &mut text, share, on, off).map_err(|faults| faults.to_string())?;
        Ok(text.to_string().into_bytes())
    }

    async fn write(&self, rollout: &Rollout, entry: &Entry) -> Result<(), RolloutError> {
        let content = self.definition(rollout, entry).and_then(|text| {
            Content::new(text.into(), FLAG_TYPE, false, VALUE_BYTES).map_err(|error| error.to_string())
        });
        match content {
            Ok(content) => self.change(rollout, Action::Put(content), Rollout::wrote).await,
            Err(reason) => self.stuck(&reason).await,
        }
    }

    async fn restore(&self, rollout: &Rollout) -> Result<(), RolloutError> {
        self.change(rollout, Action::Restore(rollout.before), Rollout::restored).await
    }

    /// Changes the flag, if it is as the rollout has left it, and notes that in the record.
    async fn change(
        &self,
        rollout: &Rollout,
        action: Action,
        note: fn(&mut Rollout, u64, u64),
    ) -> Result<(), RolloutError> {
        let Some(backend) = self.shared.backend(&self.address).cloned() else {
            return self.stuck("no backend owns the key of the flag").await;
        };
        let change = Change { address: self.address.clone(), action, expected: Some(rollout.version) };
        let (tenant, author) = (self.tenant.clone(), format!("{} by rollout {}", rollout.author, rollout.id));
        let hint = Hint { tenant: tenant.clone(), addresses: vec![self.address.clone()] };
        let (tenants, held) =
            (self.shared.tenants.clone(), Arc::clone(&self.shared.writes).read_owned().await);
        // Once begun it is carried to its end, though the hub may be about to leave.
        let written = tokio::spawn(async move {
            let written = backend.apply(&tenant, &author, vec![change]).await;
            if !backend.nature().announces {
                drop(tenants.hint(hint));
            }
            drop(held);
            written
        });
        match written.await {
            Ok(Ok(versions)) => {
                let version = versions.first().copied().unwrap_or_default();
                let now = ms((self.shared.clock)());
                self.shared
                    .book
                    .change(&self.tenant, &self.id, |rollout| {
                        note(rollout, version, now);
                        Ok(())
                    })
                    .await
                    .map(drop)
            }
            // What is there now says what comes next.
            Ok(Err(WriteError::Conflict { .. } | WriteError::Contended(_) | WriteError::LostRace { .. })) => {
                Ok(())
            }
            Ok(Err(error @ WriteError::Backend(_))) => Err(error.into()),
            Ok(Err(error)) => self.stuck(&error.to_string()).await,
            Err(_) => Ok(()),
        }
    }

    async fn stuck(&self, why: &str) -> Result<(), RolloutError> {
        let now = ms((self.shared.clock)());
        let stuck = |rollout: &mut Rollout| {
            rollout.stuck(why, now);
            Ok(())
        };
        self.shared.book.change(&self.tenant, &self.id, stuck).await.map(drop)
    }
}

/// A verdict, as a rollout takes it.
fn words(verdict: &Verdict) -> Fleet {
    if !verdict.refused.is_empty() {
        return Fleet::Refused(named(&verdict.refused));
    }
    if !verdict.pending.is_empty() {
        return Fleet::Pending(named(&verdict.pending));
    }
    Fleet::Applied(verdict.instances)
}

/// The first instances by name, and how many more there are.
fn named(rows: &[Row]) -> String {
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    lines.sort();
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    let lines = lines.join(", ");
    if more == 0 { lines } else { format!("{lines} and {more} more") }
}

fn line(row: &Row) -> String {
    let service = row.service.as_ref().map_or("shared", ServiceName::as_str);
    let report = row.report.as_ref().map(|(report, _)| report);
    let problem = report.and_then(|report| match &*report.refused {
        "" => report.problems.first().map(|problem| problem.reason.as_str()),
        refused => Some(refused),
    });
    let problem = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
    format!("`{}` of {service}{problem}", row.about.name)
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
