//! The instances of one tenant on this hub.

use super::pace::{Reporters, Reporting};
use super::{GRACE, GRACE_OF_REFUSED, InstanceId, Report, Unknown};
use crate::fanout::{Position, Topic};
use crate::tenant::View;
use confhub_proto::ServiceName;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// Who an instance is, in its own words but for its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Name and version of its SDK.
    pub sdk: String,
    /// Where its connection comes from.
    pub address: Option<SocketAddr>,
}

/// The instances of one tenant on this hub, and what each has reported last.
#[derive(Debug)]
pub struct Crew {
    members: Mutex<HashMap<InstanceId, Member>>,
    /// Counts what happens, for those who wait.
    moves: watch::Sender<u64>,
    reporters: Reporters,
    /// Most members.
    most: usize,
}

/// One instance. It takes about half a kilobyte, next to the 20 of its stream.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) about: Arc<About>,
    pub(super) view: View,
    pub(super) topic: Weak<Topic>,
    /// It reports what it applies.
    pub(super) reports: bool,
    /// Two while it moves from one stream to the next.
    streams: usize,
    connected_at: SystemTime,
    /// When its last stream ended.
    left: Option<Instant>,
    pub(super) last: Option<Last>,
}

/// The last report.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) report: Report,
    /// Where its state stood; `None`: nowhere that the hub knows.
    pub(super) position: Option<Position>,
    pub(super) at: SystemTime,
}

/// One instance, for those who look.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id; made up here if it has none.
    pub id: InstanceId,
    /// Who it is.
    pub about: Arc<About>,
    /// Whose view it has; `None`: shared entries alone.
    pub service: Option<ServiceName>,
    /// Since when it is connected.
    pub connected_at: SystemTime,
    /// It is not connected just now.
    pub away: bool,
    /// Its last report, and when it came.
    pub report: Option<(Report, SystemTime)>,
    /// States of its view that came after the one that it has; `None`: not known.
    pub changes_behind: Option<u64>,
    /// When the first of them was published.
    pub behind_since: Option<SystemTime>,
}

/// One instance, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: InstanceId,
    pub(super) about: Arc<About>,
    pub(super) view: View,
    pub(super) connected_at: SystemTime,
    pub(super) away: bool,
    pub(super) report: Option<(Report, SystemTime)>,
}

impl Listed {
    /// For those who look; `topic` is that of its view, if there is one here.
    pub(super) fn row(&self, topic: Option<&Arc<Topic>>) -> Row {
        let cursor = self.report.as_ref().and_then(|(report, _)| report.cursor);
        let standing = topic.zip(cursor);
        let standing = standing.and_then(|(topic, cursor)| Some((topic, topic.position_of(cursor)?)));
        Row {
            id: self.id,
            about: Arc::clone(&self.about),
            service: self.view.service().cloned(),
            connected_at: self.connected_at,
            away: self.away,
            report: self.report.clone(),
            changes_behind: standing.map(|(topic, position)| topic.position().saturating_sub(position)),
            behind_since: standing.and_then(|(topic, position)| topic.followed_at(position)),
        }
    }
}

/// Keeps an instance listed for as long as it is held.
#[derive(Debug)]
pub struct Membership {
    crew: Arc<Crew>,
    id: InstanceId,
    _reporting: Option<Reporting>,
}

impl Crew {
    /// Nobody yet, of at most so many.
    #[must_use]
    pub fn new(reporters: Reporters, most: usize) -> Self {
        Self { members: Mutex::default(), moves: watch::Sender::new(0), reporters, most }
    }

    /// Lists an instance that follows `view`; one without an id is listed all the same,
    /// and cannot report. `None`: there are too many.
    pub fn join(
        self: &Arc<Self>,
        id: Option<InstanceId>,
        about: About,
        view: &View,
        topic: &Arc<Topic>,
        now: SystemTime,
    ) -> Option<Membership> {
        let mut members = self.lock();
        if members.len() >= self.most {
            members.retain(|_, member| member.is_listed());
        }
        // Another view's client has no claim to an id that is in use.
        let own = |id: &InstanceId| members.get(id).is_none_or(|known| known.view == *view);
        let (id, reports) = match id.filter(own) {
            Some(id) => (id, true),
            None => (InstanceId(fastrand::u128(..).to_be_bytes()), false),
        };
        if members.len() >= self.most && !members.contains_key(&id) {
            return None;
        }
        let about = Arc::new(about);
        let member = members.entry(id).or_insert_with(|| Member {
            about: Arc::clone(&about),
            view: view.clone(),
            topic: Weak::new(),
            reports,
            streams: 0,
            connected_at: now,
            left: None,
            last: None,
        });
        if member.streams == 0 {
            member.connected_at = now;
        }
        member.about = about;
        member.streams += 1;
        member.left = None;
        member.stand(topic);
        drop(members);
        self.moved();
        let _reporting = reports.then(|| self.reporters.join());
        Some(Membership { crew: Arc::clone(self), id, _reporting })
    }

    /// Takes what an instance reports, if `may` the caller speak for its service.
    ///
    /// # Errors
    /// If there is no such instance.
    pub fn report(
        &self,
        id: InstanceId,
        report: Report,
        now: SystemTime,
        may: impl FnOnce(Option<&ServiceName>) -> bool,
    ) -> Result<(), Unknown> {
        let mut members = self.lock();
        let member = members.get_mut(&id).filter(|member| member.reports).ok_or(Unknown)?;
        if !may(member.view.service()) {
            return Err(Unknown);
        }
        let topic = member.topic.upgrade();
        let position = topic.zip(report.cursor).and_then(|(topic, cursor)| topic.position_of(cursor));
        member.last = Some(Last { report, position, at: now });
        drop(members);
        self.moved();
        Ok(())
    }

    /// The instances of the services that are wanted, in no order.
    pub fn rows(&self, wanted: impl Fn(Option<&ServiceName>) -> bool) -> Vec<Row> {
        let members = self.lock();
        let listed = members.iter().filter(|(_, member)| member.is_listed() && wanted(member.view.service()));
        listed.map(|(id, member)| member.row(*id)).collect()
    }

    /// Those who report, as they are told to other hubs: at most so many.
    pub(super) fn roster(&self, most: usize) -> Vec<Listed> {
        let members = self.lock();
        let listed = members.iter().filter(|(_, member)| member.reports && member.is_listed());
        let listed = listed.map(|(id, member)| Listed {
            id: *id,
            about: Arc::clone(&member.about),
            view: member.view.clone(),
            connected_at: member.connected_at,
            away: member.streams == 0,
            report: member.last.as_ref().map(|last| (last.report.clone(), last.at)),
        });
        listed.take(most).collect()
    }

    /// Those who are connected.
    pub(super) fn connected(&self) -> HashSet<InstanceId> {
        let members = self.lock();
        members.iter().filter(|(_, member)| member.streams > 0).map(|(id, _)| *id).collect()
    }

    /// How many instances are connected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().values().filter(|member| member.streams > 0).count()
    }

    /// Changes whenever an instance comes, reports or leaves.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Member>> {
        // Nothing in here stops half way: a poisoned lock guards whole data.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        self.moves.send_modify(|moves| *moves = moves.wrapping_add(1));
    }
}

impl Member {
    /// Whether it is there, or was a moment ago.
    pub(super) fn is_listed(&self) -> bool {
        let refused = self.last.as_ref().is_some_and(|last| !last.report.refused.is_empty());
        let grace = if refused { GRACE_OF_REFUSED } else { GRACE };
        // Who never reports is of no use to those who wait for it.
        self.left.is_none_or(|left| self.reports && left.elapsed() < grace)
    }

    /// Follows a topic from now on. What it has reported may stand elsewhere there.
    fn stand(&mut self, topic: &Arc<Topic>) {
        let topic_is_new = self.topic.as_ptr() != Arc::as_ptr(topic);
        if let Some(last) = self.last.as_mut().filter(|_| topic_is_new) {
            last.position = last.report.cursor.and_then(|cursor| topic.position_of(cursor));
        }
        self.topic = Arc::downgrade(topic);
    }

    pub(super) fn row(&self, id: InstanceId) -> Row {
        let topic = self.topic.upgrade();
        let position = self.last.as_ref().and_then(|last| last.position);
        let standing = topic.as_ref().zip(position);
        Row {
            id,
            about: Arc::clone(&self.about),
            service: self.view.service().cloned(),
            connected_at: self.connected_at,
            away: self.streams == 0,
            report: self.last.as_ref().map(|last| (last.report.clone(), last.at)),
            changes_behind: standing.map(|(topic, position)| topic.position().saturating_sub(position)),
            behind_since: standing.and_then(|(topic, position)| topic.followed_at(position)),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.crew.lock();
        if let Some(member) = members.get_mut(&self.id) {
            member.streams = member.streams.saturating_sub(1);
            if member.streams == 0 {
                member.left = Some(Instant::now());
                if !member.reports {
                    members.remove(&self.id);
                }
            }
        }
        drop(members);
        self.crew.moved();
    }
}
