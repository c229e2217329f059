//! What a message on the queue says: which keys may have changed.
//!
//! Pure functions from a message's body to hints. Of a body nothing but names is
//! read: where AWS sends a value or an image of a row along, it is passed over.
//! A forged event can so do no more than cause one read of a key, and only of a
//! tenant that somebody listens to.
//!
//! | event | what it looks like |
//! |---|---|
//! | a parameter changed | `EventBridge`, `aws.ssm`, `Parameter Store Change` |
//! | a row of the table changed | a record of the table's stream, plain, in an array, or as the `detail` of an `EventBridge` event of any name |
//! | a secret changed | `EventBridge`, `aws.secretsmanager`: `Secret Label Updated`, or a write that `CloudTrail` recorded |
//!
//! Each may stand in an SNS envelope (a subscription without raw delivery).
//! Events that are well-formed and say nothing about an entry are ignored; what
//! is none of these is [`Malformed`].

mod kinds;
mod malformed;

pub use malformed::Malformed;

use crate::source::{Address, Hint};
use confhub_proto::TenantId;
use serde_json::Value;
use std::collections::BTreeMap;

/// Largest body, in bytes: what a queue takes unless it is set to take more, and
/// 100 times an event.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const BODY_BYTES: usize = 256 * 1024;

/// Most records in one body: ten times what a pipe sends at once, unless told otherwise.
pub const RECORDS: usize = 1_000;

/// Where entries are, as far as events spell it.
#[derive(Debug, Clone)]
pub struct Places {
    /// First part of the names of parameters and secrets, without slashes.
    pub root: String,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// Keys that may have changed: one hint a tenant, each key once.
    pub hints: Vec<Hint>,
    /// Events that say nothing about an entry.
    pub ignored: usize,
}

/// Reads a message's body.
///
/// # Errors
/// If it is not JSON, too large, none of the events above, or lacks what such
/// an event must have. Then nothing of it counts.
pub fn parse(body: &str, places: &Places) -> Result<Parsed, Malformed> {
    if body.len() > BODY_BYTES {
        return Err(Malformed::TooLarge { bytes: body.len() });
    }
    let outer = json(body)?;
    match enveloped(&outer)? {
        // One level only: what is in there is no envelope again.
        Some(message) => events(&json(message)?, places),
        None => events(&outer, places),
    }
}

/// Reads JSON, of at most the 128 levels of `serde_json`.
fn json(text: &str) -> Result<Value, Malformed> {
    // What it says of a mistake is the kind and the place, nothing of the text.
    serde_json::from_str(text).map_err(|error| Malformed::NotJson { reason: error.to_string() })
}

/// The message in an SNS envelope.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
fn enveloped(outer: &Value) -> Result<Option<&str>, Malformed> {
    let kind = "SNS envelope";
    match outer.get("Type") {
        None => Ok(None),
        Some(Value::String(name)) if name == "Notification" => kinds::text(kind, outer, "Message").map(Some),
        Some(other) => Err(Malformed::field(kind, "Type", other, "`Notification`")),
    }
}

fn events(value: &Value, places: &Places) -> Result<Parsed, Malformed> {
    let mut found = Found::default();
    match value {
        Value::Array(records) if records.len() > RECORDS => {
            return Err(Malformed::TooMany { records: records.len() });
        }
        Value::Array(records) => {
            for record in records {
                found.add(kinds::event(record, places)?);
            }
        }
        one => found.add(kinds::event(one, places)?),
    }
    Ok(found.parsed())
}

/// A place that may have changed.
type Place = (TenantId, Address);

#[derive(Default)]
struct Found {
    by_tenant: BTreeMap<TenantId, Vec<Address>>,
    ignored: usize,
}

impl Found {
    fn add(&mut self, place: Option<Place>) {
        match place {
            Some((tenant, address)) => self.by_tenant.entry(tenant).or_default().push(address),
            None => self.ignored += 1,
        }
    }

    fn parsed(self) -> Parsed {
        let hint = |(tenant, mut addresses): (TenantId, Vec<Address>)| {
            addresses.sort_unstable();
            addresses.dedup();
            Hint { tenant, addresses }
        };
        Parsed { hints: self.by_tenant.into_iter().map(hint).collect(), ignored: self.ignored }
    }
}

#[cfg(test)]
mod tests;
