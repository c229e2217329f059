//! Mistakes in names within the AWS account, and in what leads to the change events.

use super::{AWS_BACKENDS, Found, Loaded};

/// Longest beginning of a queue's name, in characters: a name has at most 80, and
/// a hub adds 13.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const QUEUE_PREFIX: usize = 67;

/// Longest root of names, in characters: with a tenant, a service and a key it
/// stays below the 512 that a secret's name may have.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
const ROOT: usize = 64;

pub(super) fn change_events(loaded: &Loaded, found: &mut Vec<Found>) {
    let aws = &loaded.settings.aws;
    let outside = |(_, backend): &(_, String)| AWS_BACKENDS.contains(&backend.as_str());
    let used = loaded.settings.backends.iter().any(outside);
    if let Some(topic) = &aws.topic {
        if let Some(problem) = arn("sns", "a topic", topic) {
            found.push((&["aws.topic"], problem));
        }
        if aws.queue.is_some() {
            let problem = format!(
                "is `{topic}`, and `aws.queue` is set too: either the hub makes a queue of its own for a topic, \
                 or it has a fixed one"
            );
            found.push((&["aws.topic", "aws.queue"], problem));
        }
    }
    if let Some(problem) = aws.queue.as_deref().and_then(queue_url) {
        found.push((&["aws.queue"], problem));
    }
    if let Some(problem) = aws.dead_letter_queue.as_deref().and_then(|text| arn("sqs", "a queue", text)) {
        found.push((&["aws.dead-letter-queue"], problem));
    }
    let places: [(&'static [&'static str], bool); 2] = [
        (&["aws.topic", "backends"], aws.topic.is_some()),
        (&["aws.queue", "backends"], aws.queue.is_some()),
    ];
    for (settings, _) in places.into_iter().filter(|(_, set)| *set && !used) {
        let problem = "has no effect: no backend of this hub is in AWS (`backends`, `profile`)".to_owned();
        found.push((settings, problem));
    }
    let root = &aws.root;
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if root.len() > ROOT || !root.chars().all(named) {
        let problem = format!(
            "`{}` is wrong; expected is the first part of the names without slashes: at most {ROOT} letters, \
             digits, `_`, `.` and `-`",
            root.escape_debug()
        );
        found.push((&["aws.root"], problem));
    }
    region(loaded, found);
    let prefix = &aws.queue_prefix;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if prefix.len() > QUEUE_PREFIX || !prefix.chars().all(allowed) {
        let problem = format!(
            "`{}` is wrong; expected are at most {QUEUE_PREFIX} letters, digits, `-` and `_`",
            prefix.escape_debug()
        );
        found.push((&["aws.queue-prefix"], problem));
    }
}

/// The region is a name, and that of the topic and the queue.
fn region(loaded: &Loaded, found: &mut Vec<Found>) {
    let aws = &loaded.settings.aws;
    let Some(region) = &aws.region else { return };
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !region.chars().all(named) {
        let problem = format!("`{}` is wrong; expected is a name such as `eu-west-1`", region.escape_debug());
        found.push((&["aws.region"], problem));
        return;
    }
    let arns: [(&'static [&'static str], &Option<String>); 2] = [
        (&["aws.topic", "aws.region"], &aws.topic),
        (&["aws.dead-letter-queue", "aws.region"], &aws.dead_letter_queue),
    ];
    for (settings, arn) in arns {
        let its = arn.as_deref().and_then(|arn| arn.split(':').nth(3)).filter(|its| plain(its));
        if let Some(its) = its.filter(|its| its != region) {
            let problem = format!("is in `{its}`, and `aws.region` is `{region}`: a hub works in one region");
            found.push((settings, problem));
        }
    }
}

/// What is wrong with the ARN of a topic or queue.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
fn arn(service: &str, what: &str, text: &str) -> Option<String> {
    let parts: Vec<_> = text.split(':').collect();
    let good = match parts[..] {
        ["arn", partition, its, region, account, name] => {
            its == service
                && [partition, region, name].iter().all(|part| plain(part))
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    };
    if !good {
        return Some(format!(
            "`{}` is no ARN of {what}; expected is `arn:aws:{service}:<region>:<account of 12 digits>:<name>`",
            text.escape_debug()
        ));
    }
    text.ends_with(".fifo").then(|| format!("`{text}` is a FIFO {}: a standard one is needed", &what[2..]))
}

fn plain(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What is wrong with the URL of a queue.
fn queue_url(text: &str) -> Option<String> {
    let expected = "expected is `https://sqs.<region>.amazonaws.com/<account>/<name>`";
    match crate::url::check(text, true) {
        Err(reason) => Some(format!("`{}` {reason}; {expected}", crate::url::shown(text).escape_debug())),
        Ok(url) if url.path().split('/').filter(|part| !part.is_empty()).count() < 2 => {
            Some(format!("`{text}` names no account and queue; {expected}"))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{ServeArgs, load};
    use clap::{Args as _, FromArgMatches as _};

    fn mistakes(set: &[&str]) -> String {
        let line = set.iter().flat_map(|one| ["--set", one]);
        let command = ServeArgs::augment_args(clap::Command::new("serve").no_binary_name(true));
        let flags = ServeArgs::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap();
        let loaded = load(&flags, std::iter::empty(), &["embedded", "dynamodb", "ssm", "secretsmanager"]);
        loaded.err().map(|errors| errors.to_string()).unwrap_or_default()
    }

    const TOPIC: &str = "aws.topic=arn:aws:sns:eu-central-1:123456789012:confhub-changes";
    const QUEUE: &str = "aws.queue=https://sqs.eu-central-1.amazonaws.com/123456789012/changes";
    const AWS: &str = "profile=aws";

    #[test]
    fn a_topic_or_a_queue_beside_a_backend_in_aws_is_right() {
        assert_eq!(mistakes(&[AWS]), "");
        assert_eq!(mistakes(&[AWS, TOPIC]), "");
        let dead = "aws.dead-letter-queue=arn:aws-cn:sqs:cn-north-1:123456789012:dead_letters";
        assert_eq!(mistakes(&[AWS, QUEUE, dead]), "");
        let local = "aws.queue=http://127.0.0.1:4566/000000000000/changes";
        assert_eq!(mistakes(&["backends=param_config_=ssm", local]), "");
    }

    #[test]
    fn a_root_is_a_name_and_a_region_is_that_of_the_topic() {
        for wrong in ["aws.root=/confhub", "aws.root=a b", "aws.region=nonsense region"] {
            let text = mistakes(&[AWS, wrong]);
            assert!(text.contains("a mistake") && text.contains("is wrong; expected is"), "{wrong}: {text}");
        }
        let text = mistakes(&[AWS, TOPIC, "aws.region=eu-west-1"]);
        assert!(text.contains("is in `eu-central-1`, and `aws.region` is `eu-west-1`"), "{text}");
        assert_eq!(mistakes(&[AWS, TOPIC, "aws.region=eu-central-1", "aws.root=conf-hub_2.x"]), "");
    }

    #[test]
    fn both_or_neither_backend_is_told() {
        let both = mistakes(&[AWS, TOPIC, QUEUE]);
        assert!(both.contains("a mistake") && both.contains("`aws.queue` is set too"), "{both}");
        for one in [TOPIC, QUEUE] {
            let text = mistakes(&[one]);
            assert!(text.contains("has no effect: no backend of this hub is in AWS"), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_with_what_was_expected() {
        for (set, expected) in [
            ("aws.topic=changes", "expected is `arn:aws:sns:"),
            ("aws.topic=arn:aws:sqs:eu-central-1:123456789012:x", "no ARN of a topic"),
            ("aws.topic=arn:aws:sns:eu-central-1:1234:x", "account of 12 digits"),
            ("aws.topic=arn:aws:sns:eu-central-1:123456789012:x:sub", "no ARN of a topic"),
            ("aws.topic=arn:aws:sns:eu-central-1:123456789012:x.fifo", "is a FIFO topic"),
            ("aws.queue=changes", "expected is `https://sqs."),
            ("aws.queue=https://sqs.eu-central-1.amazonaws.com/changes", "names no account and queue"),
            ("aws.queue=arn:aws:sqs:eu-central-1:123456789012:x", "expected is `https://sqs."),
            ("aws.dead-letter-queue=https://x/y/z", "no ARN of a queue"),
            ("aws.queue-prefix=a b", "letters, digits"),
        ] {
            let text = mistakes(&[AWS, set]);
            assert!(text.contains(expected) && text.contains("a mistake"), "{set}: {text}");
        }
    }
}
