//! A record: one line of JSON.

use super::call::{Act, Call, Known};
use serde::Serialize;
use std::time::SystemTime;

/// Most things that one record names. An `Apply` of more has several records, so
/// that no line is longer than tools take: 50 keys of 256 bytes are 25 kB.
const ACTS: usize = 50;

/// Longest text of a caller's that a record repeats, in characters. Keys, subjects
/// and names are bounded before they get here; a method's name is not.
const TEXT_CHARS: usize = 256;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, for who asks or for what.
    Refused,
    /// It failed, for what the hub or a store could not do. A write may have been made.
    Failed,
}

/// The fields of a line, in their order.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    request_id: &'a str,
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about_tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

#[derive(Serialize)]
struct Change<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    key: &'a str,
    action: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    names: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// What a method is called in the log; `call`: it is recorded only if refused.
pub(super) fn event(path: &str) -> &'static str {
    match path.strip_prefix("/confhub.v1.") {
        Some("AdminService/Put" | "AdminService/Delete" | "AdminService/Apply") => "write",
        Some("AdminService/Rollback") => "rollback",
        Some("AdminService/Reconcile") => "reconcile",
        Some("ConfigService/Reveal") => "reveal",
        Some("RolloutService/StartRollout" | "RolloutService/SteerRollout") => "rollout",
        Some("AccessService/Revoke") => "revoke",
        Some("AccessService/Restore") => "restore",
        Some("AccessService/SetTenant" | "AccessService/ForgetTenant") => "tenant",
        _ => CALL,
    }
}

const CALL: &str = "call";

impl Call {
    /// Whether its end is recorded however it ends.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        event(self.path()) != CALL
    }
}

/// The records of a call, each a line with its end.
pub(super) fn of(call: &Call, now: SystemTime, outcome: Outcome, word: &'static str) -> Vec<Vec<u8>> {
    let known = call.known().clone();
    let parts: Vec<&[Act]> = match known.acts.as_slice() {
        [] => vec![&[]],
        acts => acts.chunks(ACTS).collect(),
    };
    let one = |(index, acts): (usize, &&[Act])| {
        let part = (parts.len() > 1).then(|| format!("{} of {}", index + 1, parts.len()));
        line(&fields(call, &known, acts, part, now, outcome, word))
    };
    parts.iter().enumerate().map(one).collect()
}

fn fields<'a>(
    call: &'a Call,
    known: &'a Known,
    acts: &'a [Act],
    part: Option<String>,
    now: SystemTime,
    outcome: Outcome,
    word: &'static str,
) -> Line<'a> {
    let caller = known.caller.as_ref();
    let changes = acts.iter().map(|Act { service, key, action, names, version }| Change {
        service,
        key,
        action,
        // A subject and a reason, each of them bounded before.
        names: names.chars().take(2 * TEXT_CHARS).collect(),
        version: *version,
    });
    Line {
        time: time(now),
        event: event(call.path()),
        outcome,
        reason: if outcome == Outcome::Done { "" } else { known.reason.unwrap_or(word) },
        request_id: call.id(),
        method: short(call.path()),
        tenant: caller.map(|caller| caller.tenant.as_str()),
        about_tenant: known.about_tenant.as_deref().map(short),
        subject: caller.map(|caller| short(&caller.subject)),
        token_id: caller.and_then(|caller| caller.token_id.as_deref()).map(short),
        peer: call.peer().map(|peer| peer.to_string()),
        changes: changes.collect(),
        part,
    }
}

/// Says how many records are missing before this one.
#[derive(Serialize)]
struct Gap {
    time: String,
    event: &'static str,
    left_out: u64,
}

/// The record of what was left out.
pub(super) fn gap(now: SystemTime, left_out: u64) -> Vec<u8> {
    line(&Gap { time: time(now), event: "left_out", left_out })
}

/// JSON has no line break but in an escape, so a line is a record.
fn line(fields: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists: there is nothing that JSON could not say.
    let mut line = serde_json::to_vec(fields).unwrap_or_default();
    line.push(b'\n');
    line
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// RFC 3339 in UTC, to the millisecond.
fn time(now: SystemTime) -> String {
    let mut timestamp = prost_types::Timestamp::from(now);
    let millis = timestamp.nanos / 1_000_000;
    timestamp.nanos = 0;
    let seconds = timestamp.to_string();
    format!("{}.{millis:03}Z", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_have_three_digits() {
        for (millis, text) in [(0, "000"), (7, "007"), (999, "999")] {
            let at = UNIX_EPOCH + Duration::from_millis(1_000 + millis);
            assert_eq!(time(at), format!("1970-01-01T00:00:01.{text}Z"));
        }
    }

    #[test]
    fn nothing_that_a_caller_sends_breaks_a_line_or_makes_it_long() {
        let path = format!("/x\"\n{{\"event\":\"write\"}}\u{2028}{}", "y".repeat(100_000));
        let call = Call::new("id".to_owned(), &path, None);
        let records = of(&call, UNIX_EPOCH, Outcome::Refused, "unknown_method");
        assert_eq!(records.len(), 1);
        let line = &records[0];
        assert!(line.len() < 2_000);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(value["event"], "call");
        assert_eq!(value["reason"], "unknown_method");
    }

    #[test]
    fn a_call_about_many_keys_has_several_records() {
        let call = Call::new("id".to_owned(), "/confhub.v1.AdminService/Apply", None);
        let act = |index| Act { key: format!("k{index}"), action: "put", ..Act::default() };
        call.about((0..ACTS + 1).map(act).collect());
        call.wrote(&[7; ACTS + 1]);
        let records = of(&call, UNIX_EPOCH, Outcome::Done, "");
        let values: Vec<serde_json::Value> =
            records.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(values.len(), 2);
        assert_eq!(values[0]["changes"].as_array().unwrap().len(), ACTS);
        assert_eq!(values[1]["part"], "2 of 2");
        assert_eq!(values[1]["changes"][0]["key"], format!("k{ACTS}"));
        assert_eq!(values[1]["changes"][0]["version"], 7);
    }
}
