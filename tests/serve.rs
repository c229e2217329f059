//! `confhub serve` as a process: what it refuses to start with, and how it ends.

use crate::support::raw::Raw;
use crate::support::{Event, HubProcess, Ran, command, http_get, run, soon};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;
use tokio::time::{Instant, interval};
use tonic::Code;

#[tokio::test]
async fn a_folder_and_a_port_belong_to_one_hub() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let used = folder.path().to_str().unwrap();
    let ran = serve(&["--data-dir", used, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("in use by another hub") && ran.err.contains(used), "{ran:?}");

    let other = tempfile::tempdir().unwrap();
    let other = other.path().to_str().unwrap();
    for (flag, address, free) in [("--listen", hub.grpc, "--http"), ("--http", hub.http, "--listen")] {
        let address = address.to_string();
        let ran = serve(&["--data-dir", other, flag, &address, free, "127.0.0.1:0"], &[]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(&address) && ran.err.contains("choose another port"), "{ran:?}");
    }
    assert_eq!(http_get(hub.http, "/readyz").await.unwrap().0, 200, "the first hub goes on");
}

#[tokio::test]
async fn all_wrong_settings_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("confhub.toml");
    std::fs::write(&file, "[limits]\nvalue-bytes = \"huge\"\nstreems = 3\n").unwrap();
    let args = ["--config", file.to_str().unwrap(), "--listen", "nonsense", "--set", "log.format=xml"];
    let ran = serve(&args, &[("CONFHUB_TIMES_HEARTBEAT", "never"), ("CONFHUB_LISTN", "x")]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for named in [
        "limits.value-bytes",
        "`limits.streams`",
        "times.heartbeat (environment CONFHUB_TIMES_HEARTBEAT): `never`",
        "listen (flag --listen): `nonsense`",
        "log.format",
        "CONFHUB_LISTN",
    ] {
        assert!(ran.err.contains(named), "{named}: {}", ran.err);
    }
    let ran = serve(&["--config", "/nonexistent"], &[]).await;
    assert!(ran.code == Some(2) && ran.err.contains("/nonexistent"), "{ran:?}");
}

#[tokio::test]
async fn what_is_printed_as_configuration_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("confhub.toml");
    let args = ["--heartbeat", "3s", "--set", "limits.streams=77", "--data-dir", "/some where"];
    let first = printed(&args, &[("CONFHUB_LOG_FORMAT", "json")]).await;
    std::fs::write(&file, &first).unwrap();
    let second = printed(&["--config", file.to_str().unwrap()], &[]).await;
    assert_eq!(values(&first), values(&second));
    for value in ["heartbeat = \"3s\"", "streams = 77", "data-dir = \"/some where\"", "format = \"json\""] {
        assert!(values(&first).iter().any(|line| line == value), "{value} in {first}");
    }
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("confhub.toml");
    std::fs::write(&file, "[times]\nheartbeat = \"1s\"\ndrain = \"1s\"\ntenant-idle = \"1s\"\n").unwrap();
    let environment = [
        ("CONFHUB_CONFIG", file.to_str().unwrap()),
        ("CONFHUB_TIMES_HEARTBEAT", "2s"),
        ("CONFHUB_TIMES_DRAIN", "2s"),
    ];
    let printed = printed(&["--heartbeat", "3s"], &environment).await;
    for (line, source) in [
        ("heartbeat = \"3s\"", "flag --heartbeat"),
        ("drain = \"2s\"", "environment CONFHUB_TIMES_DRAIN"),
        ("tenant-idle = \"1s\"", "confhub.toml"),
        ("reconcile = ", "default"),
    ] {
        let found = printed.lines().find(|found| found.starts_with(line)).expect(line);
        assert!(found.contains(source), "{found}");
    }
}

#[tokio::test]
async fn sigterm_drains_and_ends_with_zero() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut hub = HubProcess::start(folder.path()).await;
        let caller = hub.caller("acme").await;
        let version = caller.put("tenant_config_a", "1").await.unwrap();
        let mut stream = caller.subscribe("", b"").await.unwrap();
        stream.until_current().await;
        hub.signal(signal);
        while !matches!(stream.event().await, Event::Goodbye(_)) {}
        assert_eq!(stream.until_end().await.code(), Code::Unavailable);
        drop((stream, caller));
        let status = hub.ended().await;
        assert_eq!(status.code(), Some(0), "{status:?}: {}", hub.log());
        let hub = HubProcess::start(folder.path()).await;
        assert_eq!(hub.caller("acme").await.get("", "tenant_config_a").await.unwrap().version, version);
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start_by(command(), folder.path(), &["--set", "times.drain=5m"]).await;
    // A call that never ends keeps the hub from going.
    let raw = Raw::connect(hub.grpc, &hub.token("acme")).await;
    let unfinished = raw.begin("confhub.v1.AdminService/Put").await;
    // What comes after it on its connection is answered: the hub has begun it.
    let later = raw.call("confhub.v1.AdminService/Status", b"").await;
    later.outcome().await;
    hub.signal("TERM");
    soon("the hub to drain", async {
        let mut looks = interval(Duration::from_millis(5));
        // Closed or saying no: it has heard the signal.
        while http_get(hub.http, "/readyz").await.is_ok_and(|(status, _)| status == 200) {
            looks.tick().await;
        }
    })
    .await;
    let before = Instant::now();
    // Two signals in the same moment are one: a later one is the second.
    let mut signals = interval(Duration::from_millis(100));
    let status = loop {
        tokio::select! {
            status = hub.ended() => break status,
            _ = signals.tick() => {}
        }
        hub.signal("TERM");
    };
    assert_eq!((status.code(), status.signal()), (Some(143), None), "{}", hub.log());
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    drop(unfinished);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let ran = serve(
        &["--data-dir", file.to_str().unwrap(), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
        &[],
    )
    .await;
    assert!(ran.code == Some(1) && ran.err.contains(file.to_str().unwrap()), "{ran:?}");
}

async fn serve(args: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = command();
    command.arg("serve").args(args).envs(environment.iter().copied());
    run(command).await
}

async fn printed(args: &[&str], environment: &[(&str, &str)]) -> String {
    let ran = serve(&[args, &["--print-config"]].concat(), environment).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

/// The lines of a configuration without their comments.
fn values(text: &str) -> Vec<String> {
    let values = text.lines().map(|line| line.split(" # ").next().unwrap_or_default().to_owned());
    values.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}
