//! What reaches the log, and what a log that fails leads to.

use super::*;
use crate::clock::system_clock;
use serde_json::Value;
use std::path::Path;

const PUT: &str = "/confhub.v1.AdminService/Put";
const REVEAL: &str = "/confhub.v1.ConfigService/Reveal";

fn open(path: &Path) -> (Audit, Arc<Metrics>) {
    let to = AuditTo::File(path.to_owned());
    let settings = AuditSettings { to, ..AuditSettings::default() };
    let metrics = Arc::new(Metrics::new("test"));
    let (audit, writer) = Audit::open(&settings, system_clock(), Arc::clone(&metrics)).unwrap();
    tokio::spawn(writer.unwrap().run());
    (audit, metrics)
}

fn call(id: &str, path: &str) -> Call {
    Call::new(id.to_owned(), path, None)
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_end_of_a_call_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (audit, metrics) = open(&path);
    let one = call("one", PUT);
    audit.tell(&one, Outcome::Done, "").await;
    audit.tell(&one, Outcome::Failed, "timeout").await;
    audit.tell(&one, Outcome::Done, "").await;
    let two = call("two", REVEAL);
    audit.tell_first(&two).await.unwrap();
    assert_eq!(read(&path).len(), 2, "a reveal is in the file before it is made");
    audit.tell(&two, Outcome::Done, "").await;
    audit.flush(WAIT).await;
    let records = read(&path);
    assert_eq!(records.len(), 2);
    assert!(records[0]["request_id"] == "one" && records[0]["outcome"] == "done");
    assert!(records[1]["request_id"] == "two" && records[1]["event"] == "reveal");
    assert_eq!(metrics.audit_records.get(), 2);
}

#[tokio::test]
async fn a_write_that_seemed_to_fail_and_was_made_is_on_record_as_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (audit, _) = open(&path);
    let late = call("late", PUT);
    audit.tell(&late, Outcome::Failed, "deadline_exceeded").await;
    audit.tell(&late, Outcome::Refused, "conflict").await;
    audit.tell(&late, Outcome::Done, "").await;
    audit.flush(WAIT).await;
    let outcomes: Vec<_> = read(&path).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "done"]);
}

#[tokio::test]
async fn a_log_that_fails_stops_reveals_alone_and_has_the_writes_once_it_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let path = logs.join("audit.log");
    let (audit, metrics) = open(&path);
    std::fs::remove_dir_all(&logs).unwrap();
    assert_eq!(audit.tell_first(&call("lost", REVEAL)).await, Err(Unwritten));
    assert_eq!(audit.tell_first(&call("lost", REVEAL)).await, Err(Unwritten));
    audit.tell(&call("kept", PUT), Outcome::Done, "").await;
    assert!(metrics.audit_failures.get() > 0);
    std::fs::create_dir(&logs).unwrap();
    audit.flush(WAIT).await;
    audit.tell_first(&call("again", REVEAL)).await.unwrap();
    let ids: Vec<_> = read(&path).iter().map(|record| record["request_id"].clone()).collect();
    assert_eq!(ids, ["kept", "again"]);
}

#[tokio::test]
async fn a_full_disk_stops_reveals_alone() {
    let (audit, metrics) = open(Path::new("/dev/full"));
    assert_eq!(audit.tell_first(&call("lost", REVEAL)).await, Err(Unwritten));
    for _ in 0..3_000 {
        audit.tell(&call("kept", PUT), Outcome::Done, "").await;
    }
    audit.flush(WAIT).await;
    assert_eq!(metrics.audit_records.get(), 0);
    assert!(metrics.audit_dropped.get() > 0, "what is kept is bounded");
}

#[tokio::test]
async fn a_flood_of_refused_calls_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (audit, metrics) = open(&path);
    for _ in 0..5_000 {
        audit.tell(&call("x", PUT), Outcome::Refused, "missing").await;
    }
    audit.flush(WAIT).await;
    let records = read(&path);
    assert!(records.len() < 1_000, "{}", records.len());
    let told = records.iter().filter(|record| record["event"] == "write").count() as u64;
    let left_out: u64 = records.iter().filter_map(|record| record["left_out"].as_u64()).sum();
    assert_eq!(told + left_out, 5_000);
    assert_eq!(left_out, metrics.audit_dropped.get());
}
