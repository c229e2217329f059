//! Whether changes have come everywhere.

use super::crew::{Crew, Listed, Member, Row};
use super::{InstanceId, Report};
use crate::fanout::{Position, Topic};
use crate::source::Address;
use crate::tenant::View;
use confhub_proto::ServiceName;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Changes, and where each view stood when it had them.
///
/// It is made when the tenant is known to have been read after the changes were written,
/// so that whoever is at these positions or beyond them has the changes, or what came
/// after them.
pub struct Mark {
    addresses: Vec<Address>,
    /// `None`: nobody has them yet.
    topics: Option<HashMap<View, (Arc<Topic>, Position)>>,
}

/// How far changes have come.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Instances that they are for and that report.
    pub instances: usize,
    /// Clients that they are for and that do not report.
    pub unreporting: usize,
    /// Those that have not applied them yet.
    pub pending: Vec<Row>,
    /// Those that could not use them.
    pub refused: Vec<Row>,
}

/// What an instance has made of the changes.
enum Made {
    Applied,
    Pending,
    Refused,
}

impl Mark {
    /// The present positions of these topics, for changes at these addresses.
    pub fn new(addresses: Vec<Address>, topics: impl Iterator<Item = (View, Arc<Topic>)>) -> Self {
        let stand = |(view, topic): (View, Arc<Topic>)| {
            let position = topic.position();
            (view, (topic, position))
        };
        Self { addresses, topics: Some(topics.map(stand).collect()) }
    }

    /// For changes that are not known to have been read yet: nobody has them.
    #[must_use]
    pub fn unread(addresses: Vec<Address>) -> Self {
        Self { addresses, topics: None }
    }

    /// Whether any of the changes can be seen in this view.
    pub(super) fn concerns(&self, view: &View) -> bool {
        self.addresses.iter().any(|address| view.admits(address))
    }

    /// The position from which on a member has the changes.
    fn position(&self, member: &Member) -> Position {
        let Some(topics) = &self.topics else { return Position::MAX };
        match topics.get(&member.view) {
            Some((topic, position)) if Arc::as_ptr(topic) == member.topic.as_ptr() => *position,
            // A topic that is younger than the mark began with the changes.
            _ => 0,
        }
    }

    fn made(&self, member: &Member) -> Made {
        let Some(last) = &member.last else { return Made::Pending };
        let there = last.position.is_some_and(|position| position >= self.position(member));
        self.made_of(&last.report, there)
    }

    /// The topic of a view, as of the mark.
    pub(super) fn topic(&self, view: &View) -> Option<&(Arc<Topic>, Position)> {
        self.topics.as_ref()?.get(view)
    }

    /// What an instance that may be elsewhere has made of the changes. Its state is known
    /// by its digest, which means the same on every hub.
    fn made_elsewhere(&self, listed: &Listed) -> Made {
        let Some((report, _)) = &listed.report else { return Made::Pending };
        let stands = |(topic, position): &(Arc<Topic>, Position)| {
            report.cursor.and_then(|cursor| topic.position_of(cursor)).is_some_and(|at| at >= *position)
        };
        self.made_of(report, self.topic(&listed.view).is_some_and(stands))
    }

    /// What a report means of one who has the changes, or has not.
    fn made_of(&self, report: &Report, there: bool) -> Made {
        let changed = |key: &str| self.addresses.iter().any(|address| address.key.as_str() == key);
        match there {
            true if report.problems.iter().any(|problem| changed(&problem.key)) => Made::Refused,
            true => Made::Applied,
            // Once it has got over it, it says so no more.
            false if !report.refused.is_empty() => Made::Refused,
            false => Made::Pending,
        }
    }
}

impl Verdict {
    /// Adds an instance of another hub.
    pub(super) fn add(&mut self, mark: &Mark, listed: &Listed) {
        self.instances += 1;
        let row = || listed.row(mark.topic(&listed.view).map(|(topic, _)| topic));
        match mark.made_elsewhere(listed) {
            Made::Applied => {}
            Made::Pending => self.pending.push(row()),
            Made::Refused => self.refused.push(row()),
        }
    }

    /// Whether there is nothing to wait for any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() || !self.refused.is_empty()
    }
}

impl Crew {
    /// How far the marked changes have come here, among the services that are wanted;
    /// those that are known to be `elsewhere` have moved there.
    pub fn verdict(
        &self,
        mark: &Mark,
        elsewhere: &HashSet<InstanceId>,
        wanted: impl Fn(Option<&ServiceName>) -> bool,
    ) -> Verdict {
        let members = self.lock();
        let mut verdict = Verdict::default();
        for (id, member) in members.iter() {
            if elsewhere.contains(id)
                || !member.is_listed()
                || !wanted(member.view.service())
                || !mark.concerns(&member.view)
            {
                continue;
            }
            if !member.reports {
                verdict.unreporting += 1;
                continue;
            }
            verdict.instances += 1;
            match mark.made(member) {
                Made::Applied => {}
                Made::Pending => verdict.pending.push(member.row(*id)),
                Made::Refused => verdict.refused.push(member.row(*id)),
            }
        }
        verdict
    }
}
