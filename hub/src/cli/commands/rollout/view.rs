//! How a rollout is printed.

use crate::cli::output::{escaped, table, table_text};
use confhub_proto::wire;
use serde::Serialize;
use wire::rollout::State;

/// What the JSON of a rollout is, for `--help`.
pub(super) const JSON_HELP: &str = "\
A rollout in JSON: {\"id\", \"flag\", \"service\" (null: shared), \"state\" (writing, applying, holding, paused,
rolling_back, done, rolled_back, aborted), \"reason\" (null: none), \"step\" (from 0 on), \"steps\", \"version\",
\"version_before\", \"services\", \"author\", \"started_at\", \"ended_at\" (null: not yet), \"until\" (null: no end is set),
\"events\": [{\"at\", \"text\"}]}.";

/// A rollout in JSON.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RolloutJson {
    pub(super) id: String,
    flag: String,
    service: Option<String>,
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
    step: u32,
    steps: Vec<String>,
    version: u64,
    version_before: u64,
    services: Vec<String>,
    author: String,
    started_at: String,
    ended_at: Option<String>,
    until: Option<String>,
    pub(super) events: Vec<EventJson>,
}

/// Several of them.
#[derive(Debug, Serialize)]
pub(super) struct RolloutsJson {
    pub(super) rollouts: Vec<RolloutJson>,
}

/// Something that has happened.
#[derive(Debug, Clone, Serialize)]
pub(super) struct EventJson {
    at: String,
    text: String,
}

impl From<wire::Rollout> for RolloutJson {
    fn from(rollout: wire::Rollout) -> Self {
        let state = state(rollout.state());
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let plan = rollout.plan.unwrap_or_default();
        let event = |event: wire::RolloutEvent| EventJson {
            at: event.at.unwrap_or_default().to_string(),
            text: event.text,
        };
        Self {
            id: rollout.id,
            flag: plan.flag,
            service: some(plan.service),
            state,
            reason: some(rollout.reason),
            step: rollout.step,
            steps: plan.steps,
            version: rollout.version,
            version_before: rollout.version_before,
            services: plan.services,
            author: rollout.author,
            started_at: rollout.started_at.unwrap_or_default().to_string(),
            ended_at: rollout.ended_at.map(|at| at.to_string()),
            until: rollout.until.map(|at| at.to_string()),
            events: rollout.events.into_iter().map(event).collect(),
        }
    }
}

/// How JSON spells a state.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Unspecified => "unknown",
        State::Writing => "writing",
        State::Applying => "applying",
        State::Holding => "holding",
        State::Paused => "paused",
        State::RollingBack => "rolling_back",
        State::Done => "done",
        State::RolledBack => "rolled_back",
        State::Aborted => "aborted",
    }
}

impl RolloutJson {
    /// How it stands, on one line.
    pub(super) fn text(&self) -> String {
        format!("rollout {} of {}: {}", self.id, escaped(&self.flag), self.standing())
    }

    fn standing(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {}", escaped(reason))).unwrap_or_default();
        let until = self.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        let state = self.state.replace('_', " ");
        match self.state {
            "done" => state,
            _ => format!("{} {state}{until}{reason}", self.progress()),
        }
    }

    fn progress(&self) -> String {
        let share = usize::try_from(self.step).ok().and_then(|step| self.steps.get(step));
        let share = share.map_or("", String::as_str).trim_end_matches('%').trim_end();
        format!("{share} % (step {} of {})", u64::from(self.step) + 1, self.steps.len())
    }
}

/// What has happened, one line each.
pub(super) fn events_text(rollout: &RolloutJson) -> String {
    let lines = rollout.events.iter().map(EventJson::line);
    std::iter::once(rollout.text()).chain(lines).collect::<Vec<_>>().join("\n")
}

impl EventJson {
    /// When and what.
    pub(super) fn line(&self) -> String {
        format!("{}  {}", self.at, escaped(&self.text))
    }
}

/// All of them, as a table.
pub(super) fn rollouts_table(rollouts: &[RolloutJson]) -> String {
    if rollouts.is_empty() {
        return "There is no rollout.".to_owned();
    }
    let mut table = table(["ID", "FLAG", "SERVICE", "STARTED", "STATE"]);
    for rollout in rollouts {
        let service = rollout.service.clone().unwrap_or_else(|| "(shared)".to_owned());
        table.add_row(vec![
            rollout.id.clone(),
            escaped(&rollout.flag),
            service,
            rollout.started_at.clone(),
            rollout.standing(),
        ]);
    }
    table_text(&table)
}
