//! A hub on a topic makes a queue of its own, and leaves nothing behind.

use crate::support::aws::scene::Scene;
use crate::support::{Aws, Hub, HubProcess, command, soon};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::interval;

/// The hubs' own queues, by their URLs.
async fn queues(aws: &Aws) -> Vec<String> {
    let prefix = format!("{}-", aws.outputs["CONFHUB_AWS_QUEUE_PREFIX"]);
    let listed = aws.sqs().list_queues().queue_name_prefix(prefix).send().await.unwrap();
    listed.queue_urls.unwrap_or_default()
}

async fn only_queue(aws: &Aws) -> String {
    let mut queues = queues(aws).await;
    assert_eq!(queues.len(), 1, "{queues:?}");
    queues.remove(0)
}

async fn arn(aws: &Aws, queue: &str) -> String {
    let get = aws.sqs().get_queue_attributes().queue_url(queue).attribute_names(Name::QueueArn);
    get.send().await.unwrap().attributes.unwrap().remove(&Name::QueueArn).unwrap()
}

async fn tags(aws: &Aws, queue: &str) -> HashMap<String, String> {
    aws.sqs().list_queue_tags().queue_url(queue).send().await.unwrap().tags.unwrap_or_default()
}

/// The ARNs of the queues that follow the topic, each with its subscription.
async fn subscribed(aws: &Aws) -> HashMap<String, String> {
    let list = aws.sns().list_subscriptions_by_topic().topic_arn(topic(aws)).send().await.unwrap();
    let all = list.subscriptions.unwrap_or_default().into_iter();
    all.map(|one| (one.endpoint.unwrap(), one.subscription_arn.unwrap())).collect()
}

fn topic(aws: &Aws) -> &str {
    &aws.outputs["CONFHUB_AWS_TOPIC"]
}

async fn process(aws: &Aws, folder: &Path) -> HubProcess {
    let mut command = command();
    command.envs(aws.variables());
    let process = HubProcess::start_by(command, folder, &[]).await;
    soon("its queue to follow the topic", async {
        let mut looks = interval(Duration::from_millis(20));
        while subscribed(aws).await.is_empty() {
            looks.tick().await;
        }
    })
    .await;
    process
}

#[tokio::test]
async fn a_hub_makes_a_queue_that_takes_the_topics_messages_and_nobody_elses() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    let queue = only_queue(&aws).await;
    let tags = tags(&aws, &queue).await;
    assert_eq!(tags["confhub:topic"], topic(&aws));
    assert!(!tags["confhub:hub"].is_empty());
    let alive = UNIX_EPOCH + Duration::from_secs(tags["confhub:alive"].parse().unwrap());
    assert!(SystemTime::now().duration_since(alive).unwrap() < Duration::from_secs(120));

    let get = aws.sqs().get_queue_attributes().queue_url(&queue).attribute_names(Name::All);
    let attributes = get.send().await.unwrap().attributes.unwrap();
    let json = |name| serde_json::from_str::<serde_json::Value>(&attributes[&name]).unwrap();
    let policy = json(Name::Policy);
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1, "{policy}");
    assert_eq!(statements[0]["Principal"]["Service"], "sns.amazonaws.com");
    assert_eq!(statements[0]["Action"], "sqs:SendMessage");
    assert_eq!(statements[0]["Condition"]["ArnEquals"]["aws:SourceArn"], topic(&aws));
    let dead_letters = &aws.outputs["CONFHUB_AWS_DEAD_LETTER_QUEUE"];
    assert_eq!(json(Name::RedrivePolicy)["deadLetterTargetArn"], dead_letters.as_str());

    let subscriptions = subscribed(&aws).await;
    let subscription = &subscriptions[&arn(&aws, &queue).await];
    let get = aws.sns().get_subscription_attributes().subscription_arn(subscription);
    let attributes = get.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes["RawMessageDelivery"], "true");
}

#[tokio::test]
async fn two_hubs_have_two_queues_and_both_get_every_change() {
    let aws = Aws::new().await;
    let one = Scene::set(aws, |_| {}).await;
    let Scene { aws, hub, mut stream, .. } = one;
    let other = Hub::start_on_aws(&aws, |_| {}).await;
    other.until_source_is_up().await;
    let (queues, subscribed) = (queues(&aws).await, subscribed(&aws).await);
    assert_eq!((queues.len(), subscribed.len()), (2, 2), "{queues:?} {subscribed:?}");
    let mut second = other.caller("acme").await.subscribe("cart", b"").await.unwrap();
    second.until_current().await;
    for n in 0..20 {
        aws.put_parameter("acme", "shared", &format!("param_config_{n}"), "1").await;
    }
    for (hub, stream) in [(&hub, &mut stream), (&other, &mut second)] {
        stream.until("every change", |state| state.len() == 23).await;
        assert!(hub.metrics("confhub_drift_entries_total", &[]).await < 1.0, "events told of everything");
    }
}

#[tokio::test]
async fn a_hub_that_ends_takes_its_queue_and_its_subscription_with_it() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    hub.until_source_is_up().await;
    assert_eq!((queues(&aws).await.len(), subscribed(&aws).await.len()), (1, 1));
    hub.stop().await;
    assert_eq!((queues(&aws).await.len(), subscribed(&aws).await.len()), (0, 0));

    let folder = tempfile::tempdir().unwrap();
    let mut process = process(&aws, folder.path()).await;
    assert_eq!(queues(&aws).await.len(), 1);
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert_eq!((queues(&aws).await.len(), subscribed(&aws).await.len()), (0, 0));
}

#[tokio::test]
async fn the_queue_of_a_hub_that_was_killed_is_removed_by_another_and_no_other_queue_is() {
    let aws = Aws::new().await;
    let folder = tempfile::tempdir().unwrap();
    process(&aws, folder.path()).await.kill().await;
    let dead = only_queue(&aws).await;
    let dead_arn = arn(&aws, &dead).await;
    let prefix = &aws.outputs["CONFHUB_AWS_QUEUE_PREFIX"];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (old, fresh) = ((now - 3_600).to_string(), (now - 600).to_string());
    let other_topic = format!("{}-2", topic(&aws));
    let make = |name: &str, tags: Vec<(&str, &str)>| {
        let make = aws.sqs().create_queue().queue_name(name);
        tags.into_iter().fold(make, |make, (tag, value)| make.tags(tag, value)).send()
    };
    let hub_tag = ("confhub:hub", "another");
    let others = [
        (format!("{prefix}-of-people"), vec![]),
        (format!("{prefix}-of-no-topic"), vec![hub_tag, ("confhub:alive", &old)]),
        (
            format!("{prefix}-of-another-topic"),
            vec![hub_tag, ("confhub:topic", &other_topic), ("confhub:alive", &old)],
        ),
        (
            format!("{prefix}-of-a-hub-that-lives"),
            vec![hub_tag, ("confhub:topic", topic(&aws)), ("confhub:alive", &fresh)],
        ),
        (
            format!("{prefix}2-of-another-prefix"),
            vec![hub_tag, ("confhub:topic", topic(&aws)), ("confhub:alive", &old)],
        ),
    ];
    let mut kept = Vec::new();
    for (name, tags) in others {
        kept.push(make(&name, tags).await.unwrap().queue_url.unwrap());
    }
    let reap_soon = |settings: &mut confhub::config::Settings| {
        settings.aws.queue_reap = Duration::from_millis(200);
    };
    let hub = Hub::start_on_aws(&aws, reap_soon).await;
    hub.until_source_is_up().await;
    // It was alive a moment ago, and several looks later it is still there.
    let looks = || aws.proxy.calls("AmazonSQS.ListQueues");
    let until_looked = async |times: u64| {
        let wanted = looks() + times;
        let mut ticks = interval(Duration::from_millis(20));
        let looked = async {
            while looks() < wanted {
                ticks.tick().await;
            }
        };
        soon("the hub to look for queues", looked).await;
    };
    until_looked(3).await;
    assert!(queues(&aws).await.contains(&dead));
    aws.sqs().tag_queue().queue_url(&dead).tags("confhub:alive", &old).send().await.unwrap();
    hub.until_metric("confhub_source_queues_reaped_total", |reaped| reaped > 0.0).await;
    until_looked(3).await;
    let left = aws.sqs().list_queues().queue_name_prefix(prefix).send().await.unwrap();
    let left = left.queue_urls.unwrap_or_default();
    assert!(!left.contains(&dead), "{left:?}");
    assert!(kept.iter().all(|queue| left.contains(queue)), "{kept:?} of {left:?}");
    assert!(!subscribed(&aws).await.contains_key(&dead_arn));
    assert_eq!(left.len(), kept.len() + 1, "the hub's own is there too");
    assert!(hub.metric("confhub_source_queues_reaped_total").await < 2.0);
    assert_eq!(hub.readyz().await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_queue_that_somebody_deletes_is_made_again_and_what_changed_meanwhile_is_found() {
    let mut scene = Scene::set(Aws::new().await, |_| {}).await;
    let deleted = only_queue(&scene.aws).await;
    let deleted_arn = arn(&scene.aws, &deleted).await;
    scene.aws.sqs().delete_queue().queue_url(&deleted).send().await.unwrap();
    // The emulator lets a receive that waits go on.
    scene.aws.proxy.cut();
    // Told to nobody.
    scene.write("1").await;
    scene.hub.until_metrics("confhub_source_failures_total", &["cause=\"missing\""], |n| n > 0.0).await;
    scene.newcomer_is_served().await;
    scene.until_converged("1").await;
    let remade = scene.hub.metric("confhub_source_queues_remade_total").await;
    assert!((remade - 1.0).abs() < 0.5, "{remade}");
    scene.until_well().await;
    let again = only_queue(&scene.aws).await;
    assert_ne!(again, deleted);
    let subscribed = subscribed(&scene.aws).await;
    assert!(!subscribed.contains_key(&deleted_arn), "nothing is left of the first");
    assert!(subscribed.contains_key(&arn(&scene.aws, &again).await));
    let lost = scene.hub.metrics("confhub_drift_entries_total", &["cause=\"hint-lost\""]).await;
    assert!(lost < 1.0, "the hub knows that no hint could come");
    // And it is told of changes again.
    scene.write("2").await;
    scene.until_converged("2").await;
}
