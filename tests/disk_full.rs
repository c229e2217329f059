//! A disk that is full in the middle of a write.
//!
//! It needs no disk of its own: a limit on the size of files makes writes fail
//! in the same place, with EFBIG where a full disk says ENOSPC.

use crate::support::{Caller, HubProcess, command, http_get, put};
use confhub::auth::{DevClaims, DevIssuer, Role};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tonic::{Code, Status};

/// The limit, in blocks of `ulimit`: half a KiB or one, as the shell has it.
/// The empty store has about 1.5 MiB.
const BLOCKS: usize = 6 * 1024;

/// What fills the disk: as large as values may be, and no compressible zeros.
const VALUE_BYTES: usize = 60 * 1024;

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_by(limited(), folder.path(), &[]).await;
    let caller = hub.caller("acme").await;
    caller.put("tenant_config_first", "1").await.unwrap();
    let mut stream = caller.subscribe("", b"").await.unwrap();
    stream.until_current().await;

    let (written, error) = fill(&caller).await;
    assert!(written > 0, "the limit leaves room for some writes");
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(error.message().contains("embedded backend is unavailable"), "{error:?}");
    assert!(hub.log().contains("not acknowledged"), "{}", hub.log());

    // An Apply that does not fit is not there by half, neither in the store
    // nor in memory.
    let changes = (0..50).map(|i| put("", &format!("tenant_config_half_{i}"), &big(i))).collect();
    assert_eq!(caller.apply(changes).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(caller.list().await.len(), 1 + written, "what was acknowledged and nothing else");

    // Reads and streams go on.
    stream.until("all that was acknowledged", |state| state.len() == 1 + written).await;
    let (snapshot, _) = caller.snapshot("", &[]).await.unwrap();
    assert_eq!(stream.state.digest(), snapshot.digest());
    assert_eq!(caller.get("", "tenant_config_first").await.unwrap().version, 1);
    assert_eq!(http_get(hub.http, "/livez").await.unwrap().0, 200);
    let mut late = caller.subscribe("", b"").await.unwrap();
    late.until_current().await;
    assert_eq!(late.state.digest(), snapshot.digest());

    // Space comes back: so do writes, without a restart.
    let lifted = Command::new("prlimit").args(["--pid", &hub.id().to_string(), "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    let version = caller.put("tenant_config_first", "2").await.unwrap();
    assert_eq!(version, 2);
    stream.until("the write", |state| state.get("tenant_config_first").unwrap().version() == 2).await;
}

#[tokio::test]
async fn a_hub_that_died_on_a_full_disk_has_all_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_by(limited(), folder.path(), &[]).await;
    let caller = hub.caller("acme").await;
    let (written, _) = fill(&caller).await;
    hub.kill().await;

    let hub = HubProcess::start(folder.path()).await;
    let caller = hub.caller("acme").await;
    let (snapshot, _) = caller.snapshot("", &[]).await.unwrap();
    assert_eq!(snapshot.len(), written);
    for index in 0..written {
        let entry = snapshot.get(&format!("tenant_config_{index}")).unwrap();
        assert!(entry.version() == 1 && entry.value() == big(index).as_bytes(), "{entry:?}");
    }
    assert_eq!(caller.put("tenant_config_0", "small").await.unwrap(), 2);
}

#[tokio::test]
async fn what_the_disk_says_is_told_to_operators_and_to_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_by(limited(), folder.path(), &[]).await;
    let (_, whole) = fill(&hub.caller("acme").await).await;
    let said = whole.message().split_once("unavailable: ").unwrap().1;
    assert!(said.contains("os error"), "{whole:?}");

    let roles = [Role::Reader, Role::Writer];
    let claims = DevClaims {
        tenant: "acme".parse().unwrap(),
        service: None,
        roles: roles.to_vec(),
        subject: "writer".to_owned(),
        ttl: Duration::from_secs(3_600),
    };
    let token = DevIssuer::open(folder.path()).unwrap().mint(&claims, SystemTime::now()).unwrap();
    let writer = Caller::connect(&hub.endpoint(), &token).await;
    let error = writer.put("tenant_config_big", &big(0)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(error.message().starts_with("the embedded backend is unavailable: it failed"), "{error:?}");
    assert!(!error.message().contains("os error"), "{error:?}");
    let name = error.metadata().get("x-request-id").unwrap().to_str().unwrap();
    assert!(error.message().contains(name), "{error:?}");
    let log = hub.log();
    let logged = log.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {log}"));
    assert!(logged.contains("os error"), "{logged}");
}

/// The program on a disk that is soon full. The limit can be lifted later.
fn limited() -> Command {
    let program = command();
    let mut shell = Command::new("sh");
    shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let script = format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(program.get_program());
    shell
}

/// Writes until a write fails; returns how many did not, and the error.
async fn fill(caller: &Caller) -> (usize, Status) {
    for index in 0.. {
        if let Err(error) = caller.put(&format!("tenant_config_{index}"), &big(index)).await {
            return (index, error);
        }
        assert!(index < 1_000, "the disk does not fill");
    }
    unreachable!()
}

fn big(index: usize) -> String {
    let mut random = fastrand::Rng::with_seed(index as u64);
    (0..VALUE_BYTES).map(|_| random.alphanumeric()).collect()
}
