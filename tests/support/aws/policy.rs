//! What the stack lets a hub do: the emulator asks for no rights, so the proxy does.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The actions of `HubPolicy`.
static GRANTED: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let stack = include_str!("../../../infra/stack.yaml");
    let (_, policy) = stack.split_once("\n  HubPolicy:\n").expect("the stack has the policy");
    let (policy, _) = policy.split_once("\n\n").expect("something follows it");
    let action = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
    policy.split(action).filter(|word| word.contains(':') && !word.ends_with(':')).collect()
});

/// The action that a call needs, if the policy does not grant it. Calls are named
/// as they are on the wire: `AmazonSQS.ReceiveMessage`, or for SNS and STS `Subscribe`.
pub(super) fn ungranted(call: &str) -> Option<String> {
    let (service, operation) = call.split_once('.').unwrap_or(("", call));
    let service = match service {
        "DynamoDB_20120810" => "dynamodb",
        "AmazonSSM" => "ssm",
        "secretsmanager" => "secretsmanager",
        "AmazonSQS" => "sqs",
        "AWSEvents" => "events",
        _ => "sns",
    };
    let operation = match operation {
        // Everybody may ask who they are.
        "GetCallerIdentity" => return None,
        "TransactGetItems" => "GetItem",
        "TransactWriteItems" => "PutItem",
        "DeleteMessageBatch" => "DeleteMessage",
        "ChangeMessageVisibilityBatch" => "ChangeMessageVisibility",
        other => other,
    };
    let action = format!("{service}:{operation}");
    (!GRANTED.contains(action.as_str())).then_some(action)
}
