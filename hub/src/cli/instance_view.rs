//! How an instance is printed: JSON that programs may rely on, and table cells.

use super::entry_view::service_cell;
use super::output::{escaped, table, table_text};
use confhub_proto::wire;
use serde::Serialize;
use std::time::Duration;

/// What the JSON of an instance is, for `--help`.
pub(crate) const JSON_HELP: &str = "\
An instance in JSON: {\"service\" (null: shared entries alone), \"name\", \"id\", \"version\", \"sdk\", \"address\",
\"connected_at\", \"reported_at\" (null: not yet), \"cursor\" (null: none), \"changes_behind\", \"behind_ms\" (null: not
known), \"away\", \"refused\" (null: nothing), \"problems\": [{\"key\", \"reason\"}]}. `refused` is an update that it
could not apply, `problems` are entries of which it uses an earlier version.";

/// An instance in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct InstanceJson {
    service: Option<String>,
    name: String,
    id: String,
    version: String,
    sdk: String,
    address: String,
    connected_at: String,
    reported_at: Option<String>,
    cursor: Option<String>,
    changes_behind: Option<u64>,
    behind_ms: Option<u64>,
    away: bool,
    refused: Option<String>,
    problems: Vec<ProblemJson>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ProblemJson {
    key: String,
    reason: String,
}

impl From<wire::Instance> for InstanceJson {
    fn from(instance: wire::Instance) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let client = instance.client.unwrap_or_default();
        let current = instance.changes_behind == Some(0);
        let behind = instance.time_behind.and_then(|behind| Duration::try_from(behind).ok());
        let behind = behind.or(current.then_some(Duration::ZERO));
        Self {
            service: some(instance.service),
            name: client.instance,
            id: hex(&instance.id),
            version: client.version,
            sdk: client.sdk,
            address: instance.address,
            connected_at: instance.connected_at.unwrap_or_default().to_string(),
            reported_at: instance.reported_at.map(|at| at.to_string()),
            cursor: some(hex(&instance.cursor)),
            changes_behind: instance.changes_behind,
            behind_ms: behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
            away: instance.away,
            refused: some(instance.refused),
            problems: instance
                .problems
                .into_iter()
                .map(|problem| ProblemJson { key: problem.key, reason: problem.reason })
                .collect(),
        }
    }
}

impl InstanceJson {
    /// Who it is, on one line, and why it lacks something.
    pub(crate) fn line(&self) -> String {
        let service = service_cell(self.service.as_deref().unwrap_or_default());
        let address = if self.address.is_empty() { "nowhere" } else { &self.address };
        format!("{} of {service} at {address}: {}", escaped(&self.shown_name()), self.state())
    }

    fn shown_name(&self) -> String {
        if self.name.is_empty() {
            format!("#{}", self.id.get(..8).unwrap_or_default())
        } else {
            self.name.clone()
        }
    }

    /// How it stands.
    fn state(&self) -> String {
        let away = if self.away { " (just left)" } else { "" };
        format!("{}{away}", self.standing())
    }

    fn standing(&self) -> String {
        if let Some(refused) = &self.refused {
            return format!("refused an update: {}", escaped(refused));
        }
        if let Some(problem) = self.problems.first() {
            let more = match self.problems.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            return format!("cannot use {}: {}{more}", escaped(&problem.key), escaped(&problem.reason));
        }
        match (&self.reported_at, self.changes_behind, self.behind_ms) {
            (None, ..) => "has not reported".to_owned(),
            (_, Some(0), _) => "current".to_owned(),
            (_, Some(changes), Some(ms)) => format!("{changes} behind for {}", time(ms)),
            (_, Some(changes), None) => format!("{changes} behind"),
            (_, None, _) => "more behind than the hub remembers".to_owned(),
        }
    }
}

fn time(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{ms} ms"),
        10_000..=599_999 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}

/// All of them, as a table.
pub(crate) fn instances_table(instances: &[InstanceJson]) -> String {
    let mut table = table(["SERVICE", "INSTANCE", "VERSION", "SDK", "ADDRESS", "CURSOR", "STATE"]);
    for instance in instances {
        let cursor = instance.cursor.as_deref().and_then(|cursor| cursor.get(..8)).unwrap_or("-");
        table.add_row(vec![
            service_cell(instance.service.as_deref().unwrap_or_default()),
            escaped(&instance.shown_name()),
            escaped(&instance.version),
            escaped(&instance.sdk),
            instance.address.clone(),
            cursor.to_owned(),
            instance.state(),
        ]);
    }
    table_text(&table)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_says_how_it_stands_and_nothing_that_a_terminal_obeys() {
        let state = |change: fn(&mut wire::Instance)| {
            let reported_at = Some(prost_types::Timestamp::default());
            let mut instance = wire::Instance { reported_at, ..Default::default() };
            change(&mut instance);
            InstanceJson::from(instance).line()
        };
        assert!(state(|it| it.reported_at = None).ends_with("has not reported"));
        assert!(state(|it| it.changes_behind = Some(0)).ends_with(": current"));
        assert!(state(|_| {}).ends_with("more behind than the hub remembers"));
        let behind = state(|it| {
            it.changes_behind = Some(3);
            it.time_behind = Some(prost_types::Duration { seconds: 61, nanos: 0 });
            it.away = true;
        });
        assert!(behind.ends_with("3 behind for 61 s (just left)"), "{behind}");
        let refused = state(|it| it.refused = "\x1b[2Jtoo large".to_owned());
        assert!(refused.ends_with("refused an update: \\u{1b}[2Jtoo large"), "{refused}");
    }
}
