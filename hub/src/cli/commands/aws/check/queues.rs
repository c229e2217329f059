//! The topic of changes, and the queues.

use super::calls::{Failed, heard};
use super::report::{Finding, State};
use crate::aws::Account;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use std::collections::HashMap;
use tokio::join;

/// A visibility timeout below this, in seconds, has messages come again while a
/// hub is still reading what the first of them hinted at.
const SHORT_S: u64 = 10;

/// Messages that wait from which on it seems that nobody receives them.
const MANY: u64 = 1_000;

/// Most queues that are counted: one page.
const QUEUES: i32 = 1_000;

/// The topic, and the queues that hubs make for it.
pub(super) async fn topic(account: &Account, arn: &str, prefix: &str) -> Vec<Finding> {
    let sns = aws_sdk_sns::Client::new(account.config());
    let sqs = aws_sdk_sqs::Client::new(account.config());
    let (attributes, subscriptions, queues) = join!(
        sns.get_topic_attributes().topic_arn(arn).send(),
        sns.list_subscriptions_by_topic().topic_arn(arn).send(),
        sqs.list_queues().queue_name_prefix(format!("{prefix}-")).max_results(QUEUES).send(),
    );
    let missing = "make it (infra/stack.yaml does), or name another in `aws.topic`";
    let topic = match heard("sns:GetTopicAttributes", attributes) {
        Err(failed) => failed.finding("topic", missing),
        Ok(answer) => judge_topic(arn, &answer.attributes.unwrap_or_default()),
    };
    let queues = match heard("sqs:ListQueues", queues) {
        Err(failed) => failed.finding("own queues", ""),
        Ok(answer) => {
            let count = answer.queue_urls().len();
            Finding::not_checked(
                "own queues",
                format!(
                    "those that begin with `{prefix}-`: {count}; whether a hub may make one (`sqs:CreateQueue`, `sns:Subscribe`), \
                     only making it can tell"
                ),
            )
        }
    };
    let mut found = vec![topic];
    // It says nothing more of a topic that is not there.
    match heard("sns:ListSubscriptionsByTopic", subscriptions) {
        Err(failed) if failed.state == State::Missing => {}
        Err(failed) => found.push(failed.finding("topic subscriptions", missing)),
        Ok(answer) => {
            let queues = answer.subscriptions().iter().filter(|one| one.protocol() == Some("sqs")).count();
            let more = if answer.next_token().is_some() { " and more" } else { "" };
            found.push(Finding::ok(
                "topic subscriptions",
                format!("queues: {queues}{more}; each hub adds its own"),
            ));
        }
    }
    found.push(queues);
    found
}

fn judge_topic(arn: &str, attributes: &HashMap<String, String>) -> Finding {
    let key = attributes.get("KmsMasterKeyId").filter(|key| !key.is_empty());
    if key.is_some_and(|key| key == "alias/aws/sns") {
        let what = format!(
            "`{arn}` is encrypted with the key that AWS manages, which EventBridge may not use: no event arrives; \
             take a key of your own, or none"
        );
        return Finding::new("topic", State::Wrong, what);
    }
    let policy = attributes.get("Policy").and_then(|policy| serde_json::from_str::<Value>(policy).ok());
    match policy.as_ref().map(admits_events) {
        Some(Admits::No) => Finding::new(
            "topic",
            State::Wrong,
            format!(
                "the policy of `{arn}` does not let `events.amazonaws.com` publish, so no event arrives: allow it \
                 `sns:Publish`"
            ),
        ),
        Some(Admits::OnCondition) => Finding::ok("topic", format!("`{arn}` is there")).warn(Some(
            "its policy lets EventBridge publish on a condition, and EventBridge gives SNS nothing that one could \
             be about: see whether events arrive"
                .to_owned(),
        )),
        Some(Admits::Yes) => Finding::ok("topic", format!("`{arn}` is there, and takes events")),
        None => Finding::ok("topic", format!("`{arn}` is there"))
            .warn(Some("its policy is not shown: see whether events arrive".to_owned())),
    }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy, PartialOrd, Ord)]
enum Admits {
    No,
    OnCondition,
    Yes,
}

/// Whether a policy lets EventBridge publish.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html>
fn admits_events(policy: &Value) -> Admits {
    let names = |field: &Value, wanted: &[&str]| match field {
        Value::String(one) => wanted.contains(&one.as_str()),
        Value::Array(several) => {
            several.iter().any(|one| one.as_str().is_some_and(|one| wanted.contains(&one)))
        }
        _ => false,
    };
    let admits = |statement: &Value| {
        let principal = &statement["Principal"];
        let who = principal == "*"
            || names(&principal["AWS"], &["*"])
            || names(&principal["Service"], &["events.amazonaws.com"]);
        let what = names(&statement["Action"], &["*", "sns:*", "sns:Publish", "SNS:*", "SNS:Publish"]);
        match statement["Effect"] == "Allow" && who && what {
            false => Admits::No,
            true if statement.get("Condition").is_none() => Admits::Yes,
            // The condition of a new topic's policy is about the account's own callers.
            true if principal.get("Service").is_none() => Admits::No,
            true => Admits::OnCondition,
        }
    };
    match &policy["Statement"] {
        Value::Array(statements) => statements.iter().map(admits).max().unwrap_or(Admits::No),
        one => admits(one),
    }
}

/// The fixed queue, and what it says of itself.
pub(super) async fn fixed(account: &Account, url: &str) -> (Finding, Option<Attributes>) {
    let sqs = aws_sdk_sqs::Client::new(account.config());
    match attributes(&sqs, url).await {
        Err(failed) => {
            let missing = "make it and have the change events sent there, or name another in `aws.queue`";
            (failed.finding("queue", missing), None)
        }
        Ok(attributes) => (judge_queue(url, &attributes), Some(attributes)),
    }
}

/// What a queue says of itself.
pub(super) type Attributes = HashMap<QueueAttributeName, String>;

async fn attributes(sqs: &aws_sdk_sqs::Client, url: &str) -> Result<Attributes, Failed> {
    let asked = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let answer = heard("sqs:GetQueueAttributes", asked.send().await)?;
    Ok(answer.attributes.unwrap_or_default())
}

fn number(attributes: &Attributes, name: &QueueAttributeName) -> Option<u64> {
    attributes.get(name)?.parse().ok()
}

fn judge_queue(url: &str, attributes: &Attributes) -> Finding {
    let waiting = number(attributes, &QueueAttributeName::ApproximateNumberOfMessages).unwrap_or_default();
    let hidden = number(attributes, &QueueAttributeName::VisibilityTimeout);
    let redrive = attributes.contains_key(&QueueAttributeName::RedrivePolicy);
    Finding::ok("queue", format!("`{url}` is there; waiting in it: {waiting}"))
        .warn((!redrive).then(|| {
            "it has no redrive policy: a message that no hub can read comes again until it is too old".to_owned()
        }))
        .warn(hidden.filter(|seconds| *seconds < SHORT_S).map(|seconds| {
            format!(
                "a message that was received comes again after {seconds} s: set the visibility timeout to 30 s"
            )
        }))
        .warn((waiting >= MANY).then(|| "many messages wait: does a hub receive them?".to_owned()))
}

/// The queue for what no hub can read.
pub(super) async fn dead_letters(account: &Account, arn: &str) -> Finding {
    let resource = "dead letters";
    let missing = "make it (infra/stack.yaml does), or name another in `aws.dead-letter-queue`";
    let sqs = aws_sdk_sqs::Client::new(account.config());
    let mut parts = arn.rsplitn(3, ':');
    let (name, owner) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let url = sqs.get_queue_url().queue_name(name).queue_owner_aws_account_id(owner).send().await;
    let found = match heard("sqs:GetQueueUrl", url) {
        Ok(answer) => attributes(&sqs, answer.queue_url().unwrap_or_default()).await,
        Err(failed) => Err(failed),
    };
    match found {
        Err(failed) => failed.finding(resource, missing),
        Ok(attributes) => judge_dead_letters(arn, &attributes),
    }
}

fn judge_dead_letters(arn: &str, attributes: &Attributes) -> Finding {
    let waiting = number(attributes, &QueueAttributeName::ApproximateNumberOfMessages).unwrap_or_default();
    Finding::ok("dead letters", format!("`{arn}` is there")).warn(
        (waiting > 0).then(|| {
            format!("messages there that no hub could use: {waiting}; look at them, then delete them")
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(statement: Value) -> Admits {
        admits_events(&json!({ "Statement": [statement] }))
    }

    #[test]
    fn a_topic_takes_events_if_its_policy_says_so() {
        let events = json!({"Service": "events.amazonaws.com"});
        let allow = |principal: &Value, action: Value| json!({"Effect": "Allow", "Principal": principal, "Action": action});
        assert_eq!(policy(allow(&events, json!("sns:Publish"))), Admits::Yes);
        assert_eq!(policy(allow(&json!("*"), json!(["sns:Publish", "sns:Subscribe"]))), Admits::Yes);
        assert_eq!(policy(allow(&events, json!("sns:Subscribe"))), Admits::No);
        let mut on_condition = allow(&events, json!("sns:Publish"));
        on_condition["Condition"] = json!({"ArnEquals": {"aws:SourceArn": "x"}});
        assert_eq!(policy(on_condition), Admits::OnCondition);
        // The policy of a topic that nobody gave one.
        let mut new = allow(&json!({"AWS": "*"}), json!(["SNS:GetTopicAttributes", "SNS:Publish"]));
        new["Condition"] = json!({"StringEquals": {"AWS:SourceOwner": "123456789012"}});
        assert_eq!(policy(new), Admits::No);
        for odd in [json!({}), json!(null), json!([1]), json!({"Statement": "x"})] {
            assert_eq!(admits_events(&odd), Admits::No, "{odd}");
        }
        let managed = HashMap::from([("KmsMasterKeyId".to_owned(), "alias/aws/sns".to_owned())]);
        assert_eq!(judge_topic("arn", &managed).state, State::Wrong);
    }

    #[test]
    fn queues_are_warned_of_and_dead_letters_are_told() {
        use QueueAttributeName::{ApproximateNumberOfMessages, RedrivePolicy, VisibilityTimeout};
        let text = ToString::to_string;
        let good = HashMap::from([(RedrivePolicy, text("{}")), (VisibilityTimeout, text("30"))]);
        assert!(judge_queue("url", &good).warnings.is_empty());
        let poor =
            HashMap::from([(VisibilityTimeout, text("1")), (ApproximateNumberOfMessages, text("5000"))]);
        let poor = judge_queue("url", &poor);
        assert!(poor.state == State::Ok && poor.warnings.len() == 3, "{poor:?}");
        assert!(judge_dead_letters("arn", &HashMap::new()).warnings.is_empty());
        let some = HashMap::from([(ApproximateNumberOfMessages, text("2"))]);
        assert!(judge_dead_letters("arn", &some).warnings[0].contains("use: 2"));
    }
}
