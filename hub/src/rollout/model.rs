//! What a rollout is, and what stands in its record.

use super::{EVENTS, TEXT_BYTES};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
pub type Ms = u64;

/// What an operator has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The name of the flag.
    pub flag: String,
    /// The service that its entry belongs to; empty: shared.
    #[serde(default)]
    pub service: String,
    /// The variant that is given to more and more users.
    pub on: String,
    /// The variant of all others.
    pub off: String,
    /// The shares of users, in the order of the steps, as people write percentages.
    pub steps: Vec<String>,
    /// How long a step is held once it is applied everywhere, in milliseconds.
    pub hold_ms: u64,
    /// How long a step may take to be applied everywhere, in milliseconds.
    pub apply_ms: u64,
    /// Whose instances are waited for; none: those of all services.
    #[serde(default)]
    pub services: Vec<String>,
    /// How soon after each other checks have to come, in milliseconds; 0: there are none.
    #[serde(default)]
    pub check_ms: u64,
}

/// A rollout, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Names it.
    pub id: String,
    /// Who has started it.
    pub author: String,
    /// When.
    pub started_ms: Ms,
    /// Since when checks are expected: it was started or resumed then.
    pub watched_ms: Ms,
    /// What was asked for.
    pub plan: Plan,
    /// The version of the flag that a rollback restores.
    pub before: u64,
    /// The version of the flag that the rollout has left, or found.
    pub version: u64,
    /// The index of the present step.
    pub step: usize,
    /// Whether the present step was written.
    pub written: bool,
    /// How it stands.
    pub state: State,
    /// The last check.
    #[serde(default)]
    pub check: Option<Check>,
    /// What has happened, oldest first.
    pub events: Vec<Event>,
    /// The hub that drives it, and until when.
    #[serde(default)]
    pub lease: Option<Lease>,
}

/// How a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// It goes on.
    Running {
        /// With this.
        phase: Phase,
    },
    /// It waits for an operator.
    Paused {
        /// Why.
        why: String,
    },
    /// The state before is about to be restored.
    Undoing {
        /// What it then is.
        end: Ending,
        /// Why.
        why: String,
    },
    /// It is over.
    Ended {
        /// How.
        end: Ending,
        /// Why; empty if it has run to its end.
        why: String,
        /// When.
        at_ms: Ms,
    },
}

/// What a rollout that runs does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The step is about to be written.
    Writing,
    /// It is not yet applied everywhere.
    Applying {
        /// It has to be by then.
        until_ms: Ms,
    },
    /// It is applied everywhere, and is looked at.
    Holding {
        /// Until then.
        until_ms: Ms,
        /// A check has said since that all is well.
        checked: bool,
    },
}

/// How a rollout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All steps were made.
    Done,
    /// Something was wrong, and the state before is restored.
    RolledBack,
    /// An operator has ended it.
    Aborted,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When it came.
    pub at_ms: Ms,
    /// What it says.
    pub message: String,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at_ms: Ms,
    /// What.
    pub text: String,
}

/// The right to drive a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which hub has it.
    pub hub: String,
    /// Until when.
    pub until_ms: Ms,
}

impl Rollout {
    /// A rollout that begins now, of a flag at this version.
    #[must_use]
    pub fn new(id: String, plan: Plan, author: &str, version: u64, now: Ms) -> Self {
        let mut rollout = Self {
            id,
            author: author.to_owned(),
            started_ms: now,
            watched_ms: now,
            plan,
            before: version,
            version,
            step: 0,
            written: false,
            state: State::Running { phase: Phase::Writing },
            check: None,
            events: Vec::new(),
            lease: None,
        };
        rollout.tell(now, format!("started by {author}"));
        rollout
    }

    /// The share of users of the present step.
    #[must_use]
    pub fn share(&self) -> &str {
        self.plan.steps.get(self.step).map_or("", String::as_str)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Takes note of what has happened.
    pub fn tell(&mut self, now: Ms, text: impl Into<String>) {
        // What came first and last says most.
        if self.events.len() >= EVENTS {
            self.events.remove(EVENTS / 2);
        }
        self.events.push(Event { at_ms: now, text: cut(text.into()) });
    }
}

/// As much of a text as a record has room for, with nothing that is longer in JSON.
pub(super) fn cut(text: String) -> String {
    let mut text = text.replace(char::is_control, " ");
    let end = (0..=TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text
}
