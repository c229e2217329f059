//! One event of each kind, and the place that it speaks of.

use super::malformed::Malformed;
use super::{Place, Places};
use crate::aws::naming;
use crate::source::Address;
use serde_json::Value;

/// Calls that change a secret. Reads are recorded too where a trail is set to:
/// a hub that took its own reads for changes would read for ever.
const SECRET_WRITES: [&str; 6] = [
    "CreateSecret",
    "DeleteSecret",
    "PutSecretValue",
    "RestoreSecret",
    "UpdateSecret",
    "UpdateSecretVersionStage",
];

/// Characters that AWS adds to a secret's name in its ARN: a hyphen and six more.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>
const ARN_SUFFIX: usize = 7;

/// Reads one event. `None`: it says nothing about an entry.
pub(super) fn event(value: &Value, places: &Places) -> Result<Option<Place>, Malformed> {
    if value.get("dynamodb").is_some() {
        return row(value);
    }
    let Some(detail) = value.get("detail") else {
        let known = ["source", "detail-type"].iter().any(|field| value.get(field).is_some());
        let lacks = Malformed::Lacks { kind: BRIDGE, field: "detail" };
        return Err(if known { lacks } else { Malformed::unknown(value) });
    };
    // A pipe gives the event whatever source and type it was told to.
    if detail.get("dynamodb").is_some() {
        return row(detail);
    }
    let (source, kind) = (text(BRIDGE, value, "source")?, text(BRIDGE, value, "detail-type")?);
    if !detail.is_object() {
        return Err(Malformed::field(BRIDGE, "detail", detail, "an object"));
    }
    match (source, kind) {
        ("aws.ssm", "Parameter Store Change") => parameter(detail, places),
        ("aws.secretsmanager", "Secret Label Updated") => {
            Ok(secret(text("Secret Label Updated event", detail, "name")?, places))
        }
        (_, "AWS API Call via CloudTrail") => call(detail, places),
        _ => Ok(None),
    }
}

const BRIDGE: &str = "EventBridge event";

/// A parameter that changed. Of which kind the change is does not matter: one
/// that AWS adds may be read as well as those that there are.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html>
fn parameter(detail: &Value, places: &Places) -> Result<Option<Place>, Malformed> {
    let name = text("Parameter Store Change event", detail, "name")?;
    Ok(naming::parse_path(&places.root, name))
}

/// A record of the table's stream.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html>
fn row(record: &Value) -> Result<Option<Place>, Malformed> {
    let kind = "stream record";
    let change = object(kind, record, "dynamodb")?;
    let keys = object(kind, change, "Keys")?;
    let (pk, sk) = (object(kind, keys, "pk")?, object(kind, keys, "sk")?);
    let (pk, sk) = (text(kind, pk, "S")?, text(kind, sk, "S")?);
    let place = naming::parse_partition(pk).zip(naming::parse_sort_key(sk));
    Ok(place.map(|((tenant, service), key)| (tenant, Address { service, key })))
}

/// A call that `CloudTrail` recorded.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
fn call(detail: &Value, places: &Places) -> Result<Option<Place>, Malformed> {
    let kind = "CloudTrail event";
    if text(kind, detail, "eventSource")? != "secretsmanager.amazonaws.com" {
        return Ok(None);
    }
    let failed = detail.get("errorCode").is_some_and(|code| !code.is_null());
    if failed || !SECRET_WRITES.contains(&text(kind, detail, "eventName")?) {
        return Ok(None);
    }
    let asked = object(kind, detail, "requestParameters")?;
    let field = if asked.get("secretId").is_some() { "secretId" } else { "name" };
    Ok(secret(text(kind, asked, field)?, places))
}

/// The place of a secret, which is named as callers may name it: by name, by its
/// ARN, or by its ARN without the suffix that AWS adds.
fn secret(id: &str, places: &Places) -> Option<Place> {
    let Some(arn) = id.strip_prefix("arn:") else { return naming::parse_path(&places.root, id) };
    // partition:secretsmanager:region:account:secret:name
    let name = arn.splitn(6, ':').nth(5)?;
    let cut = name.len().checked_sub(ARN_SUFFIX).filter(|cut| name.is_char_boundary(*cut));
    let suffixed = cut.map(|cut| name.split_at(cut)).filter(|(_, suffix)| {
        suffix.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    });
    naming::parse_path(&places.root, suffixed.map_or(name, |(name, _)| name))
}

/// The text in a field that must be there.
pub(super) fn text<'a>(
    kind: &'static str,
    value: &'a Value,
    field: &'static str,
) -> Result<&'a str, Malformed> {
    match value.get(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Malformed::field(kind, field, other, "a text")),
        None => Err(Malformed::Lacks { kind, field }),
    }
}

fn object<'a>(kind: &'static str, value: &'a Value, field: &'static str) -> Result<&'a Value, Malformed> {
    match value.get(field) {
        Some(object) if object.is_object() => Ok(object),
        Some(other) => Err(Malformed::field(kind, field, other, "an object")),
        None => Err(Malformed::Lacks { kind, field }),
    }
}
