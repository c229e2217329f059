//! The value of a secret is where it has to be and nowhere else: not in the memory of
//! a hub that has nothing to do, not in what it writes, not on the way to subscribers,
//! and not on their disks.

use crate::support::{HubProcess, Operator, command, secret, soon, until_state};
use confhub_client::Client;
use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::interval;

/// Longest piece of memory that is looked at at once, in bytes.
const PIECE: usize = 4 * 1024 * 1024;

/// Bytes of a page.
const PAGE: u64 = 4_096;

/// Longest time until a revealed secret is gone: half of that after which a silent
/// connection is asked whether anyone is there.
const GONE: Duration = Duration::from_secs(10);

/// Which of these texts stand in the writable memory of a process: what a core dump
/// of it would have. Nothing is written to a disk for it.
fn in_memory<'a>(process: u32, texts: &[&'a str]) -> HashSet<&'a str> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem"))
        .expect("the memory of a child can be read (as root, or with kernel.yama.ptrace_scope at most 1)");
    // A word for each page; its highest bit says that the page is in memory, the next one
    // that it is swapped out (proc_pid_pagemap(5)). An allocator keeps far more to itself.
    let pages = File::open(format!("/proc/{process}/pagemap")).unwrap();
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or_default();
    let (mut found, mut looked_at) = (HashSet::new(), 0);
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap() / PAGE);
        let mut words = vec![0; usize::try_from(to - from).unwrap() * 8];
        if pages.read_exact_at(&mut words, from * 8).is_err() {
            continue;
        }
        let is_there: Vec<_> = words.chunks_exact(8).map(|word| word[7] & 0xC0 != 0).collect();
        let mut at = from;
        for run in is_there.chunk_by(|one, next| one == next) {
            let next = at + run.len() as u64;
            if run[0] {
                looked_at += search(&memory, at * PAGE..next * PAGE, longest, |piece| {
                    found.extend(texts.iter().filter(|text| contains(piece, text.as_bytes())));
                });
            }
            at = next;
        }
    }
    assert!(looked_at > 1_000_000, "only {looked_at} bytes of memory could be read");
    found
}

/// Shows what is there of this memory, piece by piece, of which each ends with what the
/// next one begins with: nothing of at most that length is missed for where it lies.
fn search(memory: &File, at: Range<u64>, across: usize, mut look: impl FnMut(&[u8])) -> usize {
    let (mut from, mut looked_at) = (at.start, 0);
    while from < at.end {
        let mut piece = vec![0; PIECE.min(usize::try_from(at.end - from).unwrap())];
        // It may be gone by now.
        if memory.read_exact_at(&mut piece, from).is_ok() {
            looked_at += piece.len();
            look(&piece);
        }
        let is_last = from + piece.len() as u64 >= at.end;
        from += if is_last { piece.len() } else { piece.len().saturating_sub(across).max(1) } as u64;
    }
    looked_at
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let (first, rest) = text.split_first().unwrap();
    let mut bytes = bytes;
    while let Some(at) = bytes.iter().position(|byte| byte == first) {
        bytes = &bytes[at + 1..];
        if bytes.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Files below a folder that have one of these texts in them.
fn in_files(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(in_files(&path, texts));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let here = texts.iter().filter(|text| contains(&bytes, text.as_bytes()));
        found.extend(here.map(|text| format!("{text} in {}", path.display())));
    }
    found
}

/// Waits until a hub has this many connections, and returns its metrics.
async fn until_connections(hub: &HubProcess, count: usize) -> String {
    let wanted = format!("confhub_connections {count}");
    let mut looks = interval(Duration::from_millis(20));
    let reached = async {
        loop {
            looks.tick().await;
            let (_, text) = crate::support::http_get(hub.http, "/metrics").await.unwrap();
            if text.lines().any(|line| line == wanted) {
                return text;
            }
        }
    };
    soon("the connections of others to be closed", reached).await
}

#[tokio::test]
async fn a_revealed_secret_is_gone_with_its_call_though_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_by(command(), folder.path(), &[]).await;
    // Short ones, and long ones that take several frames: each is one text over and
    // over, so that any piece of it is seen.
    let marks: Vec<_> = (0..4).map(|_| format!("{:032x}", fastrand::u128(..))).collect();
    let secrets: Vec<_> = marks.iter().zip([1, 10, 250, 1_900]).map(|(mark, n)| mark.repeat(n)).collect();
    let plain = format!("plain-{:032x}", fastrand::u128(..));
    {
        let writer = hub.caller("acme").await;
        for (index, value) in secrets.iter().enumerate() {
            let key = format!("tenant_config_{index}");
            writer.put_content(&key, secret(value)).await.unwrap();
        }
    }
    let reader = hub.caller("acme").await;
    until_connections(&hub, 1).await;
    reader.put("tenant_config_plain", &plain).await.unwrap();
    let texts: Vec<_> = marks.iter().map(String::as_str).chain([plain.as_str()]).collect();
    for (index, value) in secrets.iter().enumerate() {
        let revealed = reader.reveal("", &format!("tenant_config_{index}")).await.unwrap();
        assert_eq!(revealed.value, value);
        // The answer is here before its last buffers are let go of. Something else that
        // the connection sends would overwrite them, in time.
        let gone = async {
            loop {
                let found = in_memory(hub.id(), &texts);
                assert!(found.contains(plain.as_str()), "what is no secret is in memory");
                if found.len() == 1 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let bytes = value.len();
        let gone = tokio::time::timeout(GONE, gone).await;
        gone.unwrap_or_else(|_| panic!("a revealed secret of {bytes} bytes stays in memory"));
    }
    drop(reader);
}

#[tokio::test]
async fn planted_secrets_are_in_no_core_dump_log_frame_or_file() {
    // Made up here, so that no other test and no binary has them.
    let made_up = |what: &str| format!("{what}-{:032x}", fastrand::u128(..));
    let [first, second, third, refused] = ["first", "second", "third", "refused"].map(made_up);
    let plain = made_up("plain");
    let folder = tempfile::tempdir().unwrap();
    let client_folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.log");
    let logs = ["--log", "trace", "--audit", audit.to_str().unwrap()];
    let hub = HubProcess::start_by(command(), folder.path(), &logs).await;
    let key = "tenant_config_password";
    {
        let acme = hub.caller("acme").await;
        acme.put("tenant_config_plain", &plain).await.unwrap();
        acme.put_content(key, secret(&first)).await.unwrap();
        acme.put_content(key, secret(&second)).await.unwrap();
        acme.put_content("no_such_prefix", secret(&refused)).await.unwrap_err();
        assert_eq!(acme.reveal("", key).await.unwrap().value, second.as_str());
        // A subscriber of the SDK, with its file, and one that sees the bare frames.
        let client = Client::builder()
            .endpoint(hub.endpoint())
            .token(hub.token("acme"))
            .disk(client_folder.path().join("acme.state"))
            .connect()
            .await
            .unwrap();
        until_state(&client, "the entries", |state| state.get(key).is_some()).await;
        let mut stream = acme.subscribe("", b"").await.unwrap();
        stream.until_current().await;
        assert!(stream.state.get(key).is_some_and(|entry| entry.is_secret() && entry.value().is_empty()));
        let operator = Operator::at(&hub.endpoint(), &hub.token("acme"));
        let put = operator.feed(&["put", "--secret", key, "-"], &third).await;
        assert_eq!(put.code, Some(0), "{put:?}");
        operator.ok(&["rollback", key, "1"]).await;
        let revealed = operator.ok(&["get", "--reveal", key]).await;
        assert!(revealed.contains(&first), "{revealed}");
        client.close().await;
    }
    // Connections have buffers; those of all who have left are gone.
    let metrics = until_connections(&hub, 0).await;

    let secrets = [first.as_str(), &second, &third, &refused];
    let mut texts = secrets.to_vec();
    texts.push(&plain);
    let found = in_memory(hub.id(), &texts);
    assert!(found.contains(plain.as_str()), "what is no secret is in memory, and this test would see it");
    assert_eq!(found, HashSet::from([plain.as_str()]), "a secret is in the memory of the hub");
    assert_eq!(in_files(folder.path(), &secrets), [""; 0]);
    assert!(!in_files(folder.path(), &[&plain]).is_empty(), "what is no secret is in the store");
    assert_eq!(in_files(client_folder.path(), &secrets), [""; 0]);
    assert!(
        !in_files(client_folder.path(), &[&plain]).is_empty(),
        "what is no secret is in the client's file"
    );
    assert!(secrets.iter().all(|secret| !metrics.contains(secret)));
}
