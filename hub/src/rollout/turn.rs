//! What comes next, as a function of what is seen.

use super::model::{Check, Ending, Ms, Phase, Rollout, State, cut};

/// How far the present version of the flag has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fleet {
    /// Nobody has looked.
    Unknown,
    /// All instances have applied it: so many.
    Applied(usize),
    /// Some have not: these, in words.
    Pending(String),
    /// Some could not use it: these, in words.
    Refused(String),
}

/// What a driver sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What time it is.
    pub now: Ms,
    /// The version of the flag now; 0: there is none.
    pub version: u64,
    /// The flag is now as the present step wants it.
    pub as_wanted: bool,
    /// The flag is now as it was before the rollout.
    pub as_before: bool,
    /// How far it has come.
    pub fleet: Fleet,
}

/// What a driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Nothing, until something changes or the [moment](Rollout::wakes_at) has come.
    Wait,
    /// Look again: the rollout is in another phase now.
    Again,
    /// Write the present step.
    Write,
    /// Restore the state before.
    Restore,
}

impl Rollout {
    /// Takes in what is seen, and says what to do.
    pub fn turn(&mut self, seen: &Seen) -> Do {
        match self.state.clone() {
            State::Running { phase } => self.run(phase, seen),
            State::Undoing { end, why } => self.undo_seen(end, why, seen),
            State::Paused { .. } | State::Ended { .. } => Do::Wait,
        }
    }

    /// When it has to be looked at though nothing changes.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Ms> {
        let State::Running { phase } = &self.state else { return None };
        let phase = match *phase {
            Phase::Writing => None,
            Phase::Applying { until_ms } | Phase::Holding { until_ms, .. } => Some(until_ms),
        };
        let missed = self.missed_at();
        phase.into_iter().chain(missed).min()
    }

    fn run(&mut self, phase: Phase, seen: &Seen) -> Do {
        let now = seen.now;
        if seen.version != self.version {
            if phase == Phase::Writing && seen.as_wanted {
                // It was written, and whoever did so could not say it any more.
                self.wrote(seen.version, now);
                return Do::Again;
            }
            let (found, left) = (seen.version, self.version);
            let change = match found {
                0 => "the flag was deleted by somebody else".to_owned(),
                _ => format!("the flag was changed by somebody else: it has version {found}, not {left}"),
            };
            return self.pause(now, change);
        }
        if self.missed_at().is_some_and(|missed| missed <= now) {
            return self.pause(now, "nobody makes the checks any more");
        }
        match (phase, &seen.fleet) {
            (Phase::Writing, _) => Do::Write,
            (_, Fleet::Refused(whom)) => self.undo(now, Ending::RolledBack, format!("refused by {whom}")),
            (Phase::Applying { .. }, Fleet::Applied(instances)) => {
                self.tell(now, format!("{} is applied by {instances} instances", self.share()));
                self.phase(Phase::Holding { until_ms: now.saturating_add(self.plan.hold_ms), checked: false })
            }
            (Phase::Applying { until_ms }, Fleet::Pending(whom)) if until_ms <= now => self.undo(
                now,
                Ending::RolledBack,
                format!("not applied within {} ms by {whom}", self.plan.apply_ms),
            ),
            (Phase::Holding { until_ms, checked }, fleet) if until_ms <= now => {
                self.held(until_ms, checked, fleet, now)
            }
            _ => Do::Wait,
        }
    }

    /// The time of a step is over.
    fn held(&mut self, until: Ms, checked: bool, fleet: &Fleet, now: Ms) -> Do {
        match fleet {
            // An instance that came meanwhile may need a moment.
            Fleet::Pending(whom) if until.saturating_add(self.plan.apply_ms) <= now => {
                self.undo(now, Ending::RolledBack, format!("no report any more of {whom}"))
            }
            Fleet::Applied(_) if checked || self.plan.check_ms == 0 => self.advance(now),
            _ => Do::Wait,
        }
    }

    fn advance(&mut self, now: Ms) -> Do {
        if self.step + 1 >= self.plan.steps.len() {
            return self.end(now, Ending::Done, String::new());
        }
        self.step += 1;
        self.written = false;
        self.phase(Phase::Writing)
    }

    fn undo_seen(&mut self, end: Ending, why: String, seen: &Seen) -> Do {
        match () {
            // It never was any other, or is so again.
            () if seen.version == self.version && self.version == self.before => self.end(seen.now, end, why),
            () if seen.version == self.version => Do::Restore,
            () if seen.as_before => {
                self.restored(seen.version, seen.now);
                Do::Again
            }
            () => {
                let why =
                    format!("{why}; somebody else has changed the flag meanwhile, so it is left as it is");
                self.end(seen.now, end, why)
            }
        }
    }

    /// The present step was written as this version.
    pub fn wrote(&mut self, version: u64, now: Ms) {
        self.version = version;
        self.written = true;
        self.tell(now, format!("{} written as version {version}", self.share()));
        // An operator may have paused or ended it while it was being written.
        if let State::Running { .. } = self.state {
            self.phase(Phase::Applying { until_ms: now.saturating_add(self.plan.apply_ms) });
        }
    }

    /// The state before was written again as this version.
    pub fn restored(&mut self, version: u64, now: Ms) {
        self.tell(now, format!("the state before is restored as version {version}"));
        (self.version, self.before) = (version, version);
    }

    /// What the rollout wants to write can never be: it is for an operator.
    pub fn stuck(&mut self, why: impl Into<String>, now: Ms) {
        match self.state.clone() {
            State::Undoing { end, why: first } => {
                self.end(
                    now,
                    end,
                    format!("{first}; the state before could not be restored: {}", why.into()),
                );
            }
            _ => {
                self.pause(now, why);
            }
        }
    }

    /// Waits for an operator.
    pub fn pause(&mut self, now: Ms, why: impl Into<String>) -> Do {
        let why = cut(why.into());
        self.tell(now, format!("paused: {why}"));
        self.state = State::Paused { why };
        Do::Wait
    }

    /// Goes on from a pause, with the flag as it is now. What somebody else has made of
    /// it is then the state before.
    pub fn resume(&mut self, now: Ms, who: &str, version: u64) {
        if version != self.version {
            self.tell(now, format!("version {version} of the flag is taken as the state before"));
            (self.version, self.before, self.written) = (version, version, false);
        }
        self.tell(now, format!("resumed by {who}"));
        // Whoever makes the checks has as long to begin as between two of them.
        (self.check, self.watched_ms) = (None, now);
        let until_ms = now.saturating_add(self.plan.apply_ms);
        self.phase(if self.written { Phase::Applying { until_ms } } else { Phase::Writing });
    }

    /// An operator ends it, and keeps what there is or not.
    pub fn abort(&mut self, now: Ms, who: &str, keep: bool) {
        let why = format!("aborted by {who}");
        if keep {
            self.end(now, Ending::Aborted, format!("{why}; the flag is left as it is"));
        } else {
            self.undo(now, Ending::Aborted, why);
        }
    }

    /// Takes the result of a check.
    pub fn checked(&mut self, now: Ms, good: bool, message: &str) {
        self.check = Some(Check { at_ms: now, message: cut(message.to_owned()) });
        let State::Running { phase } = &mut self.state else { return };
        match phase {
            _ if !good => {
                self.undo(now, Ending::RolledBack, format!("a check has failed: {message}"));
            }
            Phase::Holding { checked, .. } => *checked = true,
            _ => {}
        }
    }

    fn undo(&mut self, now: Ms, end: Ending, why: impl Into<String>) -> Do {
        let why = cut(why.into());
        self.tell(now, format!("rolling back: {why}"));
        self.state = State::Undoing { end, why };
        Do::Again
    }

    fn end(&mut self, now: Ms, end: Ending, why: impl Into<String>) -> Do {
        let why = cut(why.into());
        self.tell(now, if why.is_empty() { "done".to_owned() } else { format!("ended: {why}") });
        self.state = State::Ended { end, why, at_ms: now };
        Do::Wait
    }

    fn phase(&mut self, phase: Phase) -> Do {
        self.state = State::Running { phase };
        Do::Again
    }

    /// When the next check is missed, unless it comes.
    fn missed_at(&self) -> Option<Ms> {
        if self.plan.check_ms == 0 {
            return None;
        }
        let last = self.check.as_ref().map_or(self.watched_ms, |check| check.at_ms.max(self.watched_ms));
        Some(last.saturating_add(self.plan.check_ms))
    }
}
