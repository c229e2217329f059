//! The operator's commands as a script uses them: arguments in, JSON and exit
//! codes out.

use crate::support::{Hub, Operator, command, ended, put, run, secret, soon};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;

const KEY: &str = "tenant_config_limits";

#[tokio::test]
async fn the_life_of_an_entry() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let written = operator.json(&["put", KEY, r#"{"max": 3}"#]).await;
    assert_eq!(written, json!({"key": KEY, "service": null, "version": 1}));
    assert_eq!(operator.json(&["put", KEY, "-5", "--expect-version", "1"]).await["version"], 2);
    let entry = &operator.json(&["get", KEY]).await["entries"][0];
    assert_eq!((&entry["value"], &entry["content_type"]), (&json!(-5), &json!("application/json")));
    assert!(operator.ok(&["get", KEY]).await.contains("-5"), "a table for people");

    let revisions = operator.json(&["history", KEY]).await;
    let versions: Vec<_> = revisions["revisions"].as_array().unwrap().iter().map(|r| &r["version"]).collect();
    assert_eq!(versions, [2, 1]);
    assert_eq!(revisions["revisions"][0]["author"], "tester");
    assert_eq!(operator.json(&["rollback", KEY, "1"]).await["version"], 3);
    assert_eq!(operator.ok(&["get", "--raw", KEY]).await, r#"{"max": 3}"#, "byte for byte");

    assert_eq!(operator.json(&["delete", KEY]).await["version"], 4);
    let gone = operator.run(&["get", KEY, "--output", "json"]).await;
    assert_eq!(gone.code, Some(3));
    assert_eq!(parsed(&gone.out)["missing"], json!([KEY]));
    assert_eq!(parsed(&gone.err)["error"]["code"], "not_found");
    assert_eq!(operator.json(&["history", KEY, "--limit", "1"]).await["revisions"][0]["deleted"], true);
}

#[tokio::test]
async fn values_come_from_arguments_files_and_standard_input() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("value");
    std::fs::write(&file, b"from a file\n").unwrap();
    operator.ok(&["put", "tenant_config_file", &format!("@{}", file.display())]).await;
    assert_eq!(operator.ok(&["get", "--raw", "tenant_config_file"]).await, "from a file\n");
    let ran = operator.feed(&["put", "--service", "cart", "tenant_config_in", "-"], "from a pipe\n").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let value = operator.ok(&["get", "--service", "cart", "--raw", "tenant_config_in"]).await;
    assert_eq!(value, "from a pipe");
    assert_eq!(
        operator.run(&["get", "tenant_config_in"]).await.code,
        Some(3),
        "the entry is the cart's alone"
    );
}

#[tokio::test]
async fn a_secret_is_shown_only_when_asked_for() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put_content("param_config_password", secret("hunter2")).await.unwrap();
    let operator = Operator::of(&hub, "acme");
    for args in [
        &["get", "param_config_password"][..],
        &["history", "param_config_password"],
        &["export"],
        &["status"],
    ] {
        assert!(!operator.ok(args).await.contains("hunter2"), "{args:?}");
    }
    let revealed = operator.json(&["get", "--reveal", "param_config_password"]).await;
    assert_eq!(revealed["entries"][0]["value"], "hunter2");
}

#[tokio::test]
async fn a_watch_prints_each_change_as_a_line() {
    let hub = Hub::start().await;
    let (operator, writer) = (Operator::of(&hub, "acme"), hub.caller("acme").await);
    let args = ["watch", "--count", "2", "--prefix", "tenant_", "--output", "json"];
    let watching = tokio::spawn(ended(operator.command(&args)));
    hub.until_metric("confhub_streams", |streams| streams > 0.0).await;
    writer.put("param_config_other", "x").await.unwrap();
    writer.put("tenant_config_a", "1").await.unwrap();
    writer.put("tenant_config_b", "2").await.unwrap();
    let Output { status, stdout, stderr } = watching.await.unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let lines: Vec<Value> = String::from_utf8(stdout).unwrap().lines().map(parsed).collect();
    let mut keys: Vec<_> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["tenant_config_a", "tenant_config_b"]);
    assert!(lines.iter().all(|line| line["change"] == "put" && line["entry"]["version"] == 1));
}

#[tokio::test]
async fn an_apply_is_all_or_nothing() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let good = r#"{"changes": [
        {"put": {"key": "tenant_config_a", "value": 5}},
        {"put": {"key": "tenant_config_a", "service": "ad", "value": "ad:9555", "expected_version": 0}}]}"#;
    let ran = operator.feed(&["apply", "-f", "-", "--output", "json"], good).await;
    assert_eq!((ran.code, &parsed(&ran.out)["versions"][1]["version"]), (Some(0), &json!(1)), "{ran:?}");
    let before = operator.ok(&["export"]).await;
    for (changes, code, named) in [
        (
            r#"{"put": {"key": "tenant_config_b", "value": 1}}, {"delete": {"key": "tenant_config_no"}}"#,
            3,
            "no",
        ),
        (r#"{"put": {"key": "tenant_config_a", "value": 1, "expected_version": 9}}"#, 4, "version 1"),
        (
            r#"{"put": {"key": "tenant_config_b", "value": 1}}, {"put": {"key": "other_b", "value": 1}}"#,
            2,
            "other_b",
        ),
        (
            r#"{"put": {"key": "tenant_config_b", "value": 1}}, {"delete": {"key": "tenant_config_b"}}"#,
            2,
            "twice",
        ),
        (r#"{"put": {"key": "tenant_config_b", "value": 1}}, {"putt": {}}"#, 2, "putt"),
        ("", 2, ""),
    ] {
        let ran = operator.feed(&["apply", "-f", "-"], &format!(r#"{{"changes": [{changes}]}}"#)).await;
        assert_eq!(ran.code, Some(code), "{changes}: {ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(named), "{changes}: {ran:?}");
    }
    assert_eq!(operator.ok(&["export"]).await, before, "nothing has changed");
}

#[tokio::test]
async fn what_is_exported_can_be_imported_and_is_the_same() {
    let hub = Hub::start().await;
    let (from, to) = (Operator::of(&hub, "acme"), Operator::of(&hub, "globex"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (shop, copy) = (path("shop.json"), path("copy.json"));
    let document = json!({
        "shared": {"tenant_config_addr": "kafka:9092", "param_config_retry": {"max": 3, "wait": [1, 2.50]}},
        "services": {"ad": {"tenant_config_addr": "local:1"}},
    });
    std::fs::write(&shop, document.to_string()).unwrap();

    let dry = from.json(&["import", "--dry-run", &shop]).await;
    assert_eq!((&dry["added"], &dry["dry_run"]), (&json!(3), &json!(true)));
    assert_eq!(from.run(&["diff", &shop]).await.code, Some(7), "nothing was written");
    assert_eq!(from.json(&["import", &shop]).await["added"], 3);
    assert_eq!(from.run(&["diff", &shop]).await.code, Some(0));
    assert_eq!(from.json(&["import", &shop]).await["unchanged"], 3);

    assert_eq!(from.json(&["export", "-o", &copy]).await["entries"], 3);
    assert_eq!(to.json(&["import", &copy]).await["added"], 3);
    assert_eq!(to.ok(&["export"]).await, from.ok(&["export"]).await);
    assert_eq!(to.ok(&["export"]).await, std::fs::read_to_string(&copy).unwrap());

    to.ok(&["put", "tenant_config_more", "1"]).await;
    let pruned = to.json(&["import", "--prune", "tenant_config_", &copy]).await;
    assert_eq!((&pruned["removed"], &pruned["unchanged"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn a_malformed_file_is_told_with_line_and_reason() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    for (text, named) in [
        ("{\"shared\": {\"tenant_config_b\": 5,\n \"x\"}}", ":2:"),
        ("{\"shared\": {\"tenant_config_a\": 1,\n \"tenant_config_a\": 2}}", "tenant_config_a"),
        (r#"{"shared": {"nobody_has_this": 1}}"#, "nobody_has_this"),
        (r#"{"shared": {"tenant_config_b c": 1}}"#, "tenant_config_b c"),
        (r#"{"services": {"a/b": {"tenant_config_b": 1}}}"#, "a/b"),
        (r#"{"shraed": {}}"#, "shraed"),
        ("", "1:"),
        ("[]", "1:"),
    ] {
        let ran = operator.feed(&["import", "-"], text).await;
        assert_eq!(ran.code, Some(2), "{text}: {ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(named), "{text}: {ran:?}");
    }
    // What is wrong with an entry is as wrong as in `put`.
    let large = format!(r#"{{"shared": {{"tenant_config_large": "{}"}}}}"#, "x".repeat(65 * 1024));
    let ran = operator.feed(&["import", "-"], &large).await;
    assert!(ran.code == Some(2) && ran.err.contains("limits.value-bytes"), "{ran:?}");
    assert_eq!(operator.json(&["status"]).await["entries"], 0, "nothing was written");
}

#[tokio::test]
async fn bad_input_has_an_exit_code_and_says_what_was_wrong() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["put", KEY, "1"]).await;
    let long = "x".repeat(300);
    let large = "x".repeat(65 * 1024);
    for (args, code, named) in [
        (&["put", "nobody_has_this", "1"][..], 2, "tenant_config_"),
        (&["put", "tenant_config_a b", "1"], 2, "tenant_config_a b"),
        (&["put", &long, "1"], 2, "256"),
        (&["put", "--service", "a/b", KEY, "1"], 2, "a/b"),
        (&["put", KEY, &large], 2, "65536"),
        (&["put", KEY, "@/nonexistent"], 1, "/nonexistent"),
        (&["put", KEY, "2", "--expect-version", "7"], 4, "version 1"),
        (&["put", KEY, "2", "--expect-version", "0"], 4, "version 1"),
        (&["get", "tenant_config_none"], 3, "tenant_config_none"),
        (&["history", "tenant_config_none"], 3, "tenant_config_none"),
        (&["delete", "tenant_config_none"], 3, "tenant_config_none"),
        (&["rollback", KEY, "9"], 3, "version 9"),
        (&["import", "/nonexistent"], 1, "/nonexistent"),
        (&["diff", "/nonexistent"], 1, "/nonexistent"),
        (&["export", "-o", "/nonexistent/x"], 1, "/nonexistent"),
        (&["status", "--endpoint", "nonsense"], 2, "nonsense"),
        (&["status", "--endpoint", "http://10.0.0.1:1"], 2, "plain http"),
        (&["status", "--token", "garbage"], 5, "confhub token"),
        (&["watch", "--token-file", "/nonexistent"], 1, "/nonexistent"),
    ] {
        let ran = operator.run(args).await;
        assert_eq!(ran.code, Some(code), "{args:.60?}: {ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(named), "{args:.60?}: {ran:?}");
        assert!(ran.out.is_empty(), "{args:.60?}: {ran:?}");
    }
    let entry = &operator.json(&["get", KEY]).await["entries"][0];
    assert_eq!((&entry["version"], &entry["value"]), (&json!(1), &json!(1)), "nothing has changed");
}

#[tokio::test]
async fn a_token_without_the_right_is_denied() {
    let hub = Hub::start().await;
    let reader = hub.token_of("acme", None, &[], Duration::from_secs(60));
    let reader = Operator::at(&hub.endpoint(), &reader);
    let ran = reader.run(&["put", KEY, "1", "--output", "json"]).await;
    assert_eq!((ran.code, &parsed(&ran.err)["error"]["code"]), (Some(5), &json!("denied")), "{ran:?}");
    let mut no_token = reader.command(&["get", KEY]);
    no_token.env_remove("CONFHUB_TOKEN");
    let ran = run(no_token).await;
    assert!(ran.code == Some(5) && ran.err.contains("confhub token"), "{ran:?}");
}

#[tokio::test]
async fn a_watch_ends_with_its_wait_or_with_its_token() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    let ran = operator.run(&["watch", "--once", "--wait", "300ms"]).await;
    assert!(ran.code == Some(6) && ran.err.contains("300 ms") && ran.err.contains("--wait"), "{ran:?}");
    let ran = operator.run(&["watch", "--wait", "1s"]).await;
    assert!(ran.code == Some(2) && ran.err.contains("--once"), "{ran:?}");
    // Well within the leeway of half a minute, in which single calls are served still.
    let short = hub.token_of("acme", None, &[], Duration::from_secs(3));
    let short = Operator::at(&hub.endpoint(), &short);
    let begun = Instant::now();
    let ran = short.run(&["watch"]).await;
    assert!(ran.code == Some(5) && ran.err.contains("expired"), "{ran:?}");
    assert!(ran.err.contains("error: no stream from http://"), "{ran:?}");
    assert!(ran.err.contains("--token-file"), "the hint of all commands: {ran:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let ran = operator.run(&["watch", "--token", "garbage"]).await;
    assert!(ran.code == Some(5) && ran.err.starts_with("error: watch: "), "{ran:?}");
}

#[tokio::test]
async fn a_watch_that_finds_no_room_says_so_at_once_and_ends_with_what_the_hub_says() {
    let hub = Hub::start_with(|settings| settings.limits.streams_per_tenant = 1).await;
    let operator = Operator::of(&hub, "acme");
    let _held = hub.caller("acme").await.subscribe("", b"").await.unwrap();
    // Long before it gives up.
    let mut watch = tokio::process::Command::from(operator.command(&["watch", "--timeout", "10m"]));
    let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines();
    let said = soon("what it waits for", lines.next_line()).await.unwrap().unwrap();
    assert!(said.starts_with("(waiting for a hub with room: "), "{said}");
    assert!(said.contains("1 streams open") && said.contains("limits.streams-per-tenant"), "{said}");
    watch.kill().await.unwrap();

    let ran = operator.run(&["watch", "--timeout", "1s", "--output", "json"]).await;
    let error = &parsed(&ran.err)["error"];
    assert_eq!((ran.code, &error["code"]), (Some(6), &json!("limited")), "{ran:?}");
    let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
    assert!(
        message.contains("limits.streams-per-tenant") && !message.contains("no hub answers"),
        "{message}"
    );
    assert!(!hint.contains("is it running") && hint.contains("--timeout"), "{hint}");
    let status = parsed(ran.out.lines().next().unwrap());
    assert_eq!((&status["change"], &status["status"]), (&json!("status"), &json!("starting")));
}

#[tokio::test]
async fn what_may_be_tried_later_is_told_from_what_finds_no_room_at_all() {
    let hub = Hub::start_with(|settings| settings.limits.calls_per_second = 1).await;
    let operator = Operator::of(&hub, "acme");
    // It counts as many calls, whose turn is over in half a minute.
    let many = (0..1_000).map(|i| put("", &format!("tenant_config_{i}"), "x")).collect();
    hub.caller("acme").await.apply(many).await.unwrap();
    for args in [&["get", "tenant_config_1"][..], &["watch"]] {
        let ran = operator.run(&[args, &["--output", "json"]].concat()).await;
        let error = &parsed(&ran.err)["error"];
        assert_eq!(
            (ran.code, &error["code"], &error["exit"]),
            (Some(6), &json!("limited"), &json!(6)),
            "{ran:?}"
        );
        assert!(error["message"].as_str().unwrap().contains("limits.calls-per-second"), "{ran:?}");
        assert!((1..=60_000).contains(&error["retry_after_ms"].as_u64().unwrap()), "{ran:?}");
        assert_eq!(error["request_id"].as_str().map(str::len), Some(16), "{ran:?}");
    }

    let hub = Hub::start_with(|settings| settings.limits.tenant_entries = 1).await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["put", KEY, "1"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"shared": {"tenant_config_b": 1}}"#).unwrap();
    for args in [&["put", "tenant_config_b", "1"][..], &["import", file.path().to_str().unwrap()]] {
        let ran = operator.run(&[args, &["--output", "json"]].concat()).await;
        let error = &parsed(&ran.err)["error"];
        assert_eq!(
            (ran.code, &error["code"], &error["exit"]),
            (Some(1), &json!("full"), &json!(1)),
            "{ran:?}"
        );
        assert!(error["message"].as_str().unwrap().contains("limits.tenant-entries"), "{ran:?}");
        assert_eq!(error.get("retry_after_ms"), None, "{ran:?}");
    }
}

#[tokio::test]
async fn no_hub_is_told_by_every_command() {
    let hub = Hub::start().await;
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let operator = Operator::at(&format!("http://{nowhere}"), &hub.token("acme"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"shared": {"tenant_config_a": 1}}"#).unwrap();
    let file = file.path().to_str().unwrap();
    for args in [
        &["get", KEY][..],
        &["put", KEY, "1"],
        &["delete", KEY],
        &["history", KEY],
        &["rollback", KEY, "1"],
        &["import", file],
        &["diff", file],
        &["export"],
        &["status"],
        &["watch", "--once", "--timeout", "300ms"],
    ] {
        let ran = operator.run(args).await;
        assert_eq!(ran.code, Some(6), "{args:?}: {ran:?}");
        assert!(ran.err.contains(&nowhere.to_string()), "{args:?}: {ran:?}");
        assert!(ran.err.contains("confhub serve"), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn status_completions_and_tokens() {
    let hub = Hub::start().await;
    let operator = Operator::of(&hub, "acme");
    operator.ok(&["put", KEY, "1"]).await;
    let status = operator.json(&["status"]).await;
    assert_eq!((&status["health"], &status["tenant"]), (&json!("SERVING"), &json!("acme")));
    assert_eq!((&status["entries"], &status["backends"][0]["error"]), (&json!(1), &Value::Null));
    for shell in ["bash", "zsh", "fish"] {
        assert!(operator.ok(&["completions", shell]).await.contains("rollback"), "{shell}");
    }

    let folder = hub.folder.path().to_str().unwrap();
    let token = operator.ok(&["token", "--data-dir", folder, "--tenant", "globex"]).await;
    let globex = Operator::at(&hub.endpoint(), token.trim());
    let status = globex.json(&["status"]).await;
    assert_eq!((&status["tenant"], &status["roles"]), (&json!("globex"), &json!(["reader"])));
    let mut none = command();
    none.args(["token", "--tenant", "acme", "--data-dir", "/nonexistent"]);
    let ran = run(none).await;
    assert!(ran.code == Some(1) && ran.err.contains("confhub serve"), "{ran:?}");
}

#[tokio::test]
async fn the_demo_tells_its_story_and_ends_with_a_line_of_figures() {
    let mut demo = command();
    demo.args(["demo", "--once"]);
    let ran = run(demo).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let figures = ran.out.lines().last().unwrap();
    let figure = |name: &str| {
        let value = figures.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {figures}")).parse::<f64>().unwrap()
    };
    assert_eq!(figure("services") * figure("writes"), figure("deliveries"), "none was lost");
    assert!(figure("deliveries") > 0.0 && figure("p50_ms") > 0.0 && figure("restart_updates") < 1.0);
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
