//! What an operator asks of an AWS account, and an AWS of one's own.

use crate::support::aws::{Does, FixedQueue, python};
use crate::support::{Aws, Hub, HubProcess, Operator, command, run, soon};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What `confhub aws check` says of each resource, and its exit code.
async fn check(aws: &Aws, more: &[(&str, &str)]) -> (Option<i32>, Vec<(String, String, String)>) {
    let mut check = command();
    check.args(["aws", "check", "--output", "json"]).envs(aws.variables()).envs(more.iter().copied());
    let ran = run(check).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let resources = said["resources"].as_array().unwrap().iter();
    let resources = resources.map(|one| (text(&one["resource"]), text(&one["state"]), text(&one["what"])));
    (ran.code, resources.collect())
}

fn state_of<'a>(resources: &'a [(String, String, String)], resource: &str) -> (&'a str, &'a str) {
    let found = resources.iter().find(|(name, ..)| name == resource);
    let (_, state, what) = found.unwrap_or_else(|| panic!("no {resource} in {resources:?}"));
    (state, what)
}

#[tokio::test]
async fn check_says_what_is_there_what_is_missing_and_what_is_denied_and_changes_nothing() {
    let aws = Aws::new().await;
    let (code, well) = check(&aws, &[]).await;
    assert_eq!(code, Some(0), "{well:?}");
    assert!(well.iter().all(|(_, state, _)| state == "ok" || state == "not_checked"), "{well:?}");

    let (code, missing) = check(&aws, &[("CONFHUB_AWS_TABLE", "no-such-table")]).await;
    assert_eq!(code, Some(1));
    let (state, what) = state_of(&missing, "table");
    assert!(state == "missing" && what.contains("no-such-table"), "{missing:?}");
    let topic = aws.outputs["CONFHUB_AWS_TOPIC"].replace("Topic", "NoTopic");
    let (code, missing) = check(&aws, &[("CONFHUB_AWS_TOPIC", &topic)]).await;
    assert_eq!((code, state_of(&missing, "topic").0), (Some(1), "missing"), "{missing:?}");

    aws.proxy.fail("AmazonSSM.GetParametersByPath", Does::Refuse("AccessDeniedException"));
    let (code, denied) = check(&aws, &[]).await;
    assert_eq!((code, state_of(&denied, "parameters").0), (Some(1), "denied"), "{denied:?}");
    aws.proxy.heal();
    aws.proxy.fail("DynamoDB_20120810.BatchWriteItem", Does::Refuse("AccessDeniedException"));
    let (code, denied) = check(&aws, &[]).await;
    let (state, what) = state_of(&denied, "table writes");
    assert_eq!((code, state), (Some(1), "denied"), "{denied:?}");
    assert!(what.contains("dynamodb:BatchWriteItem"), "{what}");
    aws.proxy.heal();
    aws.proxy.fail("DynamoDB_20120810", Does::Reset);
    let (code, away) = check(&aws, &[]).await;
    assert_eq!((code, state_of(&away, "table").0), (Some(1), "unreachable"), "{away:?}");

    let scan = aws.dynamodb().scan().table_name(aws.table()).send().await.unwrap();
    assert_eq!(scan.count(), 0, "nothing was written");
    for call in
        ["AmazonSSM.Put", "AmazonSSM.Delete", "secretsmanager.Create", "AmazonSQS.Create", "Subscribe"]
    {
        assert_eq!(aws.proxy.calls(call), 0, "{call}");
    }
}

#[tokio::test]
async fn check_looks_at_a_fixed_queue_and_refuses_wrong_settings() {
    let aws = Aws::new().await;
    let queue = FixedQueue::make(&aws).await;
    let fixed = [("CONFHUB_AWS_TOPIC", ""), ("CONFHUB_AWS_QUEUE", queue.url.as_str())];
    let (_, found) = check(&aws, &fixed).await;
    assert!(found.iter().any(|(name, state, _)| name.contains("queue") && state == "ok"), "{found:?}");
    let mut both = command();
    both.args(["aws", "check"]).envs(aws.variables()).env("CONFHUB_AWS_QUEUE", &queue.url);
    let ran = run(both).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("aws.queue") && ran.err.contains("aws.topic"), "{}", ran.err);
}

#[tokio::test]
async fn an_aws_of_ones_own_is_started_by_one_command_and_leads_a_hub_to_it() {
    let cache = python().ancestors().nth(3).unwrap();
    let mut local = command();
    local.args(["aws", "local", "--output", "json", "--cache"]).arg(cache);
    let mut child = local.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = soon("the emulator with the stack", line).await.unwrap().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let variables = said["variables"].as_object().unwrap();
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
    let variables: Vec<_> = variables.collect();
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command();
    serve.envs(variables.iter().copied());
    let hub = HubProcess::start_by(serve, folder.path(), &[]).await;
    let mut stream = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until_current().await;
    put_parameter(&variables, "/confhub/acme/shared/param_config_a").await;
    stream.until("the change", |state| state.len() == 1).await;
    drop(hub);

    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = soon("it to end", tokio::task::spawn_blocking(move || child.wait())).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    let endpoint = said["endpoint"].as_str().unwrap().trim_start_matches("http://");
    assert!(tokio::net::TcpStream::connect(endpoint).await.is_err(), "the emulator has ended with it");
}

/// Writes a parameter by AWS's own Python SDK.
async fn put_parameter(variables: &[(&str, &str)], name: &str) {
    let script = "import boto3, sys\n\
                  boto3.client('ssm').put_parameter(Name=sys.argv[1], Value='1', Type='String')";
    let mut write = Command::new(python());
    write.args(["-c", script, name]).envs(variables.iter().copied());
    let ran = run(write).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test]
async fn an_import_fits_itself_to_what_each_store_makes_as_one() {
    let aws = Aws::new().await;
    let hub = Hub::start_on_aws(&aws, |_| {}).await;
    let operator = Operator::of(&hub, "acme");
    let entries = |prefix: &str, count: usize| {
        (0..count).map(|n| format!(r#""{prefix}{n}": {n}"#)).collect::<Vec<_>>().join(", ")
    };
    let text =
        format!(r#"{{"shared": {{{}, {}}}}}"#, entries("tenant_config_", 130), entries("param_config_", 5));
    let ran = operator.feed(&["import", "-", "--output", "json"], &text).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    // 100 and 30 rows, and each parameter by itself.
    assert_eq!((said["added"].as_u64(), said["batches"].as_u64()), (Some(135), Some(7)), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.json");
    std::fs::write(&file, &text).unwrap();
    let diff = operator.run(&["diff", path(&file)]).await;
    assert_eq!(diff.code, Some(0), "what was imported is what is there: {diff:?}");
    let found = operator.json(&["reconcile"]).await;
    assert!(found.to_string().contains("dynamodb"), "{found}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
