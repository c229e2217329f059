//! Who did what is on record: writes, reveals, revocations and refused calls, and
//! never a value or a token.

use crate::support::{Caller, Hub, HubProcess, Operator, command, secret, seed, soon};
use confhub::auth::Role;
use confhub::config::{AuditTo, Settings};
use confhub_proto::wire;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::interval;
use tonic::{Code, Request};

const HOUR: Duration = Duration::from_secs(3_600);

/// A hub whose audit log is a file, and the file.
async fn recorded() -> (Hub, PathBuf) {
    recorded_with(|_| {}).await
}

/// The same with further settings.
async fn recorded_with(change: impl FnOnce(&mut Settings)) -> (Hub, PathBuf) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("audit.log");
    let to = AuditTo::File(path.clone());
    let hub = Hub::start_on(folder, |settings| {
        settings.audit.to = to;
        change(settings);
    })
    .await;
    (hub, path)
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Looks until there is something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut looks = interval(Duration::from_millis(5));
    let found = async {
        loop {
            looks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    soon(what, found).await
}

/// Waits for a record of this event and outcome.
async fn record(path: &Path, event: &str, outcome: &str) -> Value {
    until(&format!("a record of {event}, {outcome}"), async || {
        records(path).into_iter().rfind(|one| one["event"] == event && one["outcome"] == outcome)
    })
    .await
}

#[tokio::test]
async fn every_write_reveal_revocation_and_refused_call_is_on_record() {
    let (hub, path) = recorded().await;
    let acme = hub.caller("acme").await;
    acme.put_for("cart", "tenant_config_a", "a-plain-value", None).await.unwrap();
    let put = record(&path, "write", "done").await;
    assert_eq!((&put["tenant"], &put["subject"]), (&"acme".into(), &"tester".into()));
    assert_eq!(put["method"], "/confhub.v1.AdminService/Put");
    let change = &put["changes"][0];
    assert_eq!((&change["service"], &change["key"]), (&"cart".into(), &"tenant_config_a".into()));
    assert_eq!((&change["action"], &change["version"]), (&"put".into(), &1.into()));
    for field in ["time", "request_id", "token_id", "peer"] {
        assert!(put[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {put}");
    }

    acme.put_content("tenant_config_s", secret("hunter2")).await.unwrap();
    acme.reveal("", "tenant_config_s").await.unwrap();
    let reveal = record(&path, "reveal", "done").await;
    assert_eq!(reveal["changes"][0]["key"], "tenant_config_s");
    assert_eq!(reveal["changes"][0]["version"], 1);

    acme.put_for("cart", "tenant_config_a", "b", Some(7)).await.unwrap_err();
    assert_eq!(record(&path, "write", "refused").await["reason"], "conflict");

    let reader = hub.token_of("acme", None, &[Role::Reader], HOUR);
    let reader = Caller::connect(&hub.endpoint(), &reader).await;
    reader.reveal("", "tenant_config_s").await.unwrap_err();
    let refused = record(&path, "reveal", "refused").await;
    assert_eq!((&refused["reason"], &refused["tenant"]), (&"role".into(), &"acme".into()));

    let stranger = Caller::connect(&hub.endpoint(), "eyJhbGciOiJub25lIn0.e30.").await;
    stranger.get("", "tenant_config_a").await.unwrap_err();
    let refused = record(&path, "call", "refused").await;
    assert_eq!(refused["reason"], "malformed");
    assert!(refused.get("tenant").is_none() && refused.get("subject").is_none(), "{refused}");

    let operators = hub.token_of("operators", None, &Role::ALL, HOUR);
    let operators = Caller::connect(&hub.endpoint(), &operators).await;
    let request = wire::RevokeRequest { tenant: "acme".into(), ..Default::default() };
    operators.access.clone().revoke(operators.request(request)).await.unwrap();
    let revoked = record(&path, "revoke", "done").await;
    assert_eq!((&revoked["tenant"], &revoked["about_tenant"]), (&"operators".into(), &"acme".into()));
    acme.get("", "tenant_config_a").await.unwrap_err();
    let log = std::fs::read_to_string(&path).unwrap();
    for planted in ["hunter2", "a-plain-value", "eyJ"] {
        assert!(!log.contains(planted), "{planted}");
    }
}

#[tokio::test]
async fn a_call_has_a_name_that_its_caller_and_the_log_share() {
    let (hub, path) = recorded().await;
    let acme = hub.caller("acme").await;
    let mut request: Request<_> =
        acme.request(wire::DeleteRequest { key: "tenant_config_none".into(), ..Default::default() });
    request.metadata_mut().insert("x-request-id", "deploy-42".parse().unwrap());
    let refused = acme.admin.clone().delete(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.metadata().get("x-request-id").unwrap(), "deploy-42");
    let found = record(&path, "write", "refused").await;
    assert_eq!((&found["request_id"], &found["reason"]), (&"deploy-42".into(), &"not_found".into()));
    // At the prompt it is told where somebody will have to look for it.
    let stranger = Operator::at(&hub.endpoint(), "no-token");
    let ran = stranger.run(&["get", "tenant_config_a"]).await;
    let told = ran.err.split("(request ").nth(1).and_then(|rest| rest.split(')').next()).unwrap().to_owned();
    let refused = record(&path, "call", "refused").await;
    assert_eq!(refused["request_id"], told);
}

#[tokio::test]
async fn every_version_is_on_record_though_its_writer_has_left() {
    const WRITES: usize = 60;
    let (hub, path) = recorded().await;
    let acme = hub.caller("acme").await;
    let mut random = fastrand::Rng::with_seed(seed());
    for index in 0..WRITES {
        // It is given up at any moment: before it is sent, while it is made, after.
        let patience = Duration::from_micros(random.u64(0..20_000));
        let value = index.to_string();
        let _ = tokio::time::timeout(patience, acme.put("tenant_config_a", &value)).await;
    }
    acme.put("tenant_config_a", "the last").await.unwrap();
    let recorded = |records: Vec<Value>| {
        let done = records.into_iter().filter(|one| one["outcome"] == "done");
        let mut versions: Vec<_> = done.map(|one| one["changes"][0]["version"].as_u64().unwrap()).collect();
        versions.sort_unstable();
        versions
    };
    // Those that were given up may still be under way.
    let settled = until("each version to be on record", async || {
        let kept = acme.history("", "tenant_config_a", 0).await.unwrap();
        let mut kept: Vec<_> = kept.iter().map(|one| one.entry.as_ref().unwrap().version).collect();
        kept.reverse();
        (recorded(records(&path)) == kept).then_some(kept.len())
    });
    assert!(settled.await > 1);
}

#[tokio::test]
async fn a_call_refused_for_a_limit_names_it_and_so_does_its_record() {
    let (hub, path) = recorded_with(|settings| {
        settings.limits.tenant_entries = 1;
        settings.limits.tenant_bytes = 1_000;
        settings.limits.views_per_tenant = 1;
        settings.limits.streams_per_tenant = 2;
        settings.limits.streams = 3;
    })
    .await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    acme.put("tenant_config_a", "1").await.unwrap();
    let fuller = acme.put("tenant_config_b", "1").await.map(drop);
    let larger = acme.put("tenant_config_a", &"x".repeat(1_000)).await.map(drop);
    let first = acme.subscribe("cart", b"").await.unwrap();
    let view = acme.subscribe("", b"").await.map(drop);
    let second = acme.subscribe("cart", b"").await.unwrap();
    let own = acme.subscribe("cart", b"").await.map(drop);
    let others = globex.subscribe("", b"").await.unwrap();
    let all = globex.subscribe("", b"").await.map(drop);
    for (limit, event, outcome) in [
        ("limits.tenant-entries", "write", fuller),
        ("limits.tenant-bytes", "write", larger),
        ("limits.views-per-tenant", "call", view),
        ("limits.streams-per-tenant", "call", own),
        ("limits.streams", "call", all),
    ] {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains(&format!("`{limit}`")), "{status}");
        let record =
            until(limit, async || records(&path).into_iter().find(|one| one["reason"] == limit)).await;
        assert_eq!((&record["event"], &record["outcome"]), (&event.into(), &"refused".into()), "{record}");
        assert_eq!(hub.metrics("confhub_limited_total", &[&format!("\"{limit}\"")]).await, 1.0, "{limit}");
    }
    drop((first, second, others));
}

#[tokio::test]
async fn a_flood_of_refused_calls_is_recorded_in_part_and_the_rest_is_counted() {
    const CALLS: usize = 400;
    let (hub, path) = recorded().await;
    let stranger = Caller::connect(&hub.endpoint(), "no-token").await;
    for _ in 0..CALLS {
        stranger.get("", "tenant_config_a").await.unwrap_err();
    }
    let refused = until("all calls to be told of", async || {
        let all = records(&path);
        let refused = all.iter().filter(|one| one["outcome"] == "refused").count();
        let left_out: u64 = all.iter().filter_map(|one| one["left_out"].as_u64()).sum();
        (refused + usize::try_from(left_out).unwrap() == CALLS).then_some(refused)
    })
    .await;
    assert!(refused < CALLS, "a burst is recorded, and not all: {refused}");
    // Others' records are there all the same.
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    record(&path, "write", "done").await;
}

#[tokio::test]
async fn a_secret_is_not_revealed_without_a_record_of_it() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("logs").join("audit.log");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let to = AuditTo::File(path.clone());
    let hub = Hub::start_on(folder, |settings| settings.audit.to = to).await;
    let acme = hub.caller("acme").await;
    acme.put_content("tenant_config_s", secret("hunter2")).await.unwrap();
    record(&path, "write", "done").await;
    // The folder is gone, so that no new file can be made in it.
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let refused = acme.reveal("", "tenant_config_s").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("audit log"), "{refused}");
    // Writes go on: whoever puts things right must not be kept from it.
    acme.put("tenant_config_a", "1").await.unwrap();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    until("the log to be written again", async || acme.reveal("", "tenant_config_s").await.ok()).await;
    record(&path, "reveal", "done").await;
}

#[tokio::test]
async fn a_hub_records_on_its_standard_output_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    let path = folder.path().join("hub.out");
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    record(&path, "write", "done").await;
    hub.signal("TERM");
    assert!(hub.ended().await.success());
    assert_eq!(records(&path).len(), 1);
}

#[tokio::test]
async fn what_was_asked_is_on_record_when_a_token_of_another_service_is_refused() {
    let (hub, path) = recorded().await;
    let one = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "checkout")).await;
    let key = || "tenant_config_a".to_owned();
    let refused = |event: &'static str, action: &'static str| {
        let path = path.clone();
        async move {
            until(&format!("a record of {action}"), async || {
                let of = |one: &Value| one["event"] == event && one["changes"][0]["action"] == action;
                let found = records(&path).into_iter().find(of)?;
                assert_eq!(
                    (&found["outcome"], &found["reason"]),
                    (&"refused".into(), &"permission_denied".into())
                );
                let change = &found["changes"][0];
                assert_eq!((&change["service"], &change["key"]), (&"ad".into(), &"tenant_config_a".into()));
                assert!(change.get("version").is_none(), "{found}");
                Some(())
            })
            .await;
        }
    };
    one.put_for("ad", &key(), "a-plain-value", None).await.unwrap_err();
    refused("write", "put").await;
    one.delete_for("ad", &key()).await.unwrap_err();
    refused("write", "delete").await;
    one.history("ad", &key(), 0).await.unwrap_err();
    refused("call", "look").await;
    let back =
        wire::RollbackRequest { key: key(), service: "ad".into(), to_version: 1, ..Default::default() };
    one.admin.clone().rollback(one.request(back)).await.unwrap_err();
    refused("rollback", "restore").await;
    assert!(!std::fs::read_to_string(&path).unwrap().contains("a-plain-value"));
}

#[tokio::test]
async fn an_expired_token_is_on_record_with_its_owner_and_a_forged_one_with_nobody() {
    // The leeway is half a minute: within it only what lasts is refused.
    let (late, begun) = (Arc::new(AtomicU64::new(0)), SystemTime::now());
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("audit.log");
    let (to, seconds) = (AuditTo::File(path.clone()), Arc::clone(&late));
    let clock = Arc::new(move || begun + Duration::from_secs(seconds.load(Ordering::SeqCst)));
    let hub = Hub::start_at(folder, clock, |settings| settings.audit.to = to).await;
    let token = hub.token_of("acme", None, &[Role::Writer], Duration::from_secs(60));
    let acme = Caller::connect(&hub.endpoint(), &token).await;
    acme.put("tenant_config_a", "1").await.unwrap();
    let mut told = Vec::new();
    for (after, is_stream) in [(70, true), (200, false)] {
        late.store(after, Ordering::SeqCst);
        let refused = match is_stream {
            true => acme.subscribe("", &[]).await.err().unwrap(),
            false => acme.put("tenant_config_a", "2").await.unwrap_err(),
        };
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        told.push(refused.message().replace(&(after - 60).to_string(), "N"));
        let event = if is_stream { "call" } else { "write" };
        let found = record(&path, event, "refused").await;
        assert_eq!((&found["tenant"], &found["subject"]), (&"acme".into(), &"tester".into()), "{found}");
        assert_eq!(found["reason"], "expired", "{found}");
    }
    assert!(told[0] == told[1] && told[0].contains("expired N s ago"), "{told:?}");
    // The same claims with nobody's signature say nothing.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    let forged = Caller::connect(&hub.endpoint(), &forged).await;
    forged.delete_for("", "tenant_config_a").await.unwrap_err();
    let found = until("a record of the forged one", async || {
        records(&path).into_iter().find(|one| one["reason"] == "signature")
    })
    .await;
    assert!(found.get("tenant").is_none() && found.get("subject").is_none(), "{found}");
}

#[tokio::test]
async fn the_log_of_the_process_tells_who_shuts_a_tenant_out_and_lets_it_in() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_by(command(), folder.path(), &["--log", "info"]).await;
    let token = hub.token("operators");
    let operator = Operator::at(&hub.endpoint(), &token);
    operator.ok(&["tenant", "suspend", "acme"]).await;
    operator.ok(&["tenant", "activate", "acme"]).await;
    operator.ok(&["revoke", "--tenant", "acme", "--subject", "mallory"]).await;
    for action in ["suspend", "activate", "revoke"] {
        let log = hub.log();
        let of = |line: &&str| line.contains("changed who is let in") && line.contains(action);
        let line = log.lines().find(of).unwrap_or_else(|| panic!("{action}: {log}"));
        for part in ["acme", "operators", "tester"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert!(!hub.log().contains(&token[..24]), "no token is in it");
}
