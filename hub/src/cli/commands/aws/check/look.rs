//! Everything that a hub with these settings needs, looked at.

use super::events::{self, Target, Wanted};
use super::report::{Finding, Report};
use super::{queues, stores, table};
use crate::aws::Account;
use crate::cli::error::CliError;
use crate::config::Settings;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

/// Looks at all of it at the same time; each call has the account's time limits.
///
/// # Errors
/// If the settings need nothing of AWS, or no account can be told from them.
pub(super) async fn at(settings: &Settings) -> Result<Report, CliError> {
    let needs = |kind: &str| settings.backends.iter().any(|(_, backend)| backend == kind);
    let wanted = Wanted {
        table: needs("dynamodb"),
        parameters: needs("ssm"),
        secrets: needs("secretsmanager"),
        root: &settings.aws.root,
    };
    if !(wanted.table || wanted.parameters || wanted.secrets) {
        let reason = "these settings put no keys into AWS, so there is nothing to check: \
                      `--profile aws` does (or `backends`)";
        return Err(CliError::Usage(reason.to_owned()));
    }
    let account = Account::open(&settings.aws).await.map_err(|error| CliError::Usage(error.to_string()))?;
    let looks = looks(settings, &account, wanted);
    Ok(Report::new(join_all(looks).await.into_iter().flatten().collect()))
}

type Look<'a> = BoxFuture<'a, Vec<Finding>>;

/// One look for each thing, in the order in which they are told.
fn looks<'a>(settings: &'a Settings, account: &'a Account, wanted: Wanted<'a>) -> Vec<Look<'a>> {
    let aws = &settings.aws;
    let listens = aws.topic.is_some() || aws.queue.is_some();
    let mut looks: Vec<Look<'a>> = vec![stores::caller(account).map(|one| vec![one]).boxed()];
    if wanted.table {
        looks.push(table::check(account, &aws.table, listens).boxed());
    }
    if wanted.parameters {
        looks.push(stores::parameters(account, &aws.root).boxed());
    }
    if wanted.secrets {
        looks.push(stores::secrets(account, &aws.root, aws.kms_key.as_deref()).boxed());
    }
    if let Some(topic) = &aws.topic {
        looks.push(queues::topic(account, topic, &aws.queue_prefix).boxed());
        let target = Target::Topic(topic.clone());
        looks.push(async move { events::check(account, &target, wanted).await }.boxed());
    }
    if let Some(queue) = &aws.queue {
        looks.push(fixed(account, queue, wanted).boxed());
    }
    // Without a topic, only the queue itself knows where its dead letters go.
    if let Some(arn) = aws.dead_letter_queue.as_ref().filter(|_| listens) {
        looks.push(queues::dead_letters(account, arn).map(|one| vec![one]).boxed());
    }
    if !listens {
        let seconds = settings.times.reconcile.as_secs_f64();
        let what = format!(
            "neither `aws.topic` nor `aws.queue` is set: changes that others make are found by sweeps alone, \
             every {seconds} s"
        );
        looks.push(std::future::ready(vec![Finding::not_checked("change source", what)]).boxed());
    }
    looks
}

/// A fixed queue, and the rules that send to it.
async fn fixed(account: &Account, url: &str, wanted: Wanted<'_>) -> Vec<Finding> {
    let (finding, attributes) = queues::fixed(account, url).await;
    let mut found = vec![finding];
    if let Some(arn) = attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn)) {
        found.extend(events::check(account, &Target::Queue(arn), wanted).await);
    }
    found
}
