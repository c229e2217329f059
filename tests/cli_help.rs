//! `--help` teaches, and never fails.

use crate::support::{command, run};
use std::process::Stdio;

const COMMANDS: &[&str] = &[
    "demo",
    "serve",
    "token",
    "dev-certificate",
    "get",
    "put",
    "delete",
    "apply",
    "import",
    "export",
    "diff",
    "flag",
    "watch",
    "history",
    "rollback",
    "status",
    "fleet",
    "rollout",
    "reconcile",
    "revoke",
    "restore",
    "revocations",
    "tenant",
    "agent",
    "health",
    "aws",
    "completions",
];

const FLAG: [&str; 10] = [
    "flag list",
    "flag show",
    "flag create",
    "flag on",
    "flag off",
    "flag set-percentage",
    "flag target",
    "flag evaluate",
    "flag import",
    "flag export",
];

#[tokio::test]
async fn every_command_teaches_by_example() {
    for name in COMMANDS
        .iter()
        .copied()
        .chain(["aws check", "aws local", "tenant list", "tenant suspend", "rollout start", "rollout record"])
        .chain(FLAG)
    {
        let words = |flag| name.split(' ').chain([flag]).collect::<Vec<_>>();
        let help = help(&words("--help")).await;
        let examples = help.split_once("Examples:").unwrap_or_else(|| panic!("{name} has no examples")).1;
        assert!(examples.contains(&format!("confhub {name}")), "{name}: {examples}");
        assert!(help.contains("Usage: confhub"), "{help}");
        let short = self::help(&words("-h")).await;
        assert!(short.lines().count() <= help.lines().count(), "{name}");
    }
}

#[tokio::test]
async fn the_program_tells_its_commands_exit_codes_and_version() {
    let help = help(&["--help"]).await;
    for name in COMMANDS {
        assert!(help.lines().any(|line| line.trim_start().starts_with(name)), "{name} in {help}");
    }
    assert!(help.contains("Exit codes:") && help.contains("6  no hub answered"), "{help}");
    assert_eq!(self::help(&["--version"]).await, format!("confhub {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_wrong_command_line_is_told_what_would_be_right() {
    for (args, hint) in [
        (&["gett"][..], "get"),
        (&["get"], "<KEY>"),
        (&["put", "tenant_config_a"], "<VALUE>"),
        (&["get", "tenant_config_a", "--revael"], "--reveal"),
        (&["status", "--output", "yaml"], "json"),
        (&["status", "--timeout", "soon"], "soon"),
        (&["put", "a", "b", "--expect-version", "-1"], "-1"),
        (&["rollback", "a"], "VERSION"),
        (&["rollback", "a", "1", "--to-label", "b"], "--to-label"),
        (&["completions", "cmd"], "bash"),
        (&["serve", "now"], "now"),
        (&["aws", "local", "--account", "12"], "12 digits"),
        (&["aws", "local", "--prepare", "--port", "1"], "--port"),
        (&["aws", "chek"], "check"),
    ] {
        let mut command = command();
        command.args(args);
        let ran = run(command).await;
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.err.contains(hint) && ran.out.is_empty(), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    for args in
        [&["--help"][..], &["serve", "--help"], &["completions", "bash"], &["serve", "--print-config"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command();
        command.args(args).stdout(writer).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.spawn()?.wait_with_output());
        let output = output.await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_ne!(output.status.code(), Some(101), "{args:?}: {said}");
    }
}

async fn help(args: &[&str]) -> String {
    let mut command = command();
    command.args(args);
    let ran = run(command).await;
    assert!(ran.code == Some(0) && ran.err.is_empty(), "{args:?}: {ran:?}");
    ran.out
}
