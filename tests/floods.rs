//! Who floods a hub is dropped, its memory stays bounded, and others are served.

use crate::support::frames::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RESET, SETTINGS,
    WINDOW_UPDATE, frame, headers,
};
use crate::support::{Caller, HubProcess, Stream, command, http_get, soon, text};
use std::time::Duration;
use tokio::time::{Instant, interval};
use tonic::Code;
use tonic::transport::Endpoint;

const KEY: &str = "tenant_config_a";

/// Most frames of a flood: all of them are far fewer than a hub would take without end.
const FLOOD: u32 = 200_000;

/// What a hub may grow by under any flood here, in kB. Its own work takes a few
/// thousand; ten thousand frames that were kept would take more.
const GROWTH_KB: u64 = 48 * 1024;

/// A hub, with an honest client on a connection of its own.
struct Bench {
    hub: HubProcess,
    honest: Caller,
    stream: Stream,
    before_kb: u64,
    written: u32,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = HubProcess::start_by(command(), folder.path(), settings).await;
        let honest = hub.caller("acme").await;
        honest.put(KEY, "0").await.unwrap();
        let mut stream = honest.subscribe("", b"").await.unwrap();
        stream.until_current().await;
        let before_kb = resident_kb(&hub);
        forget_peak(&hub);
        Self { hub, honest, stream, before_kb, written: 0, _folder: folder }
    }

    /// The honest client writes, hears of it, and reads.
    async fn serves(&mut self) {
        self.written += 1;
        let value = self.written.to_string();
        let served = async {
            self.honest.put(KEY, &value).await.unwrap();
            self.stream.until("its update", |state| is(state, &value)).await;
            assert_eq!(self.honest.get("", KEY).await.unwrap().value, text(&value).value);
        };
        soon("the honest client to be served", served).await;
    }

    /// What the hub counts as the reason of broken connections.
    async fn broken(&self, kind: &str) -> bool {
        let (_, text) = http_get(self.hub.http, "/metrics").await.unwrap();
        text.lines().any(|line| {
            line.starts_with("confhub_broken_connections_total") && line.contains(&format!("\"{kind}\""))
        })
    }

    /// Floods the hub until it drops the offender, while the honest client is served.
    /// Returns how many frames it took, and what its GOAWAY said if there was one.
    async fn drops(&mut self, kind: &str, next: impl FnMut(u32) -> Vec<u8>) -> (u32, Option<u32>) {
        let mut offender = Frames::connect(self.hub.grpc).await;
        let address = self.hub.grpc;
        let mut next = next;
        let flooding = async {
            let taken = offender.flood(FLOOD, &mut next).await;
            (taken, offender.until_closed().await.goaway)
        };
        let mut served = 0;
        let (taken, goaway) = soon("the offender to be dropped", async {
            tokio::pin!(flooding);
            let mut over = None;
            while over.is_none() {
                // Carried to its end: a write that is left may be made after the next one.
                let serving = self.serves();
                tokio::pin!(serving);
                loop {
                    tokio::select! {
                        ended = &mut flooding, if over.is_none() => over = Some(ended),
                        () = &mut serving => break,
                    }
                }
                served += 1;
            }
            over.unwrap()
        })
        .await;
        assert!(taken < FLOOD, "{kind}: the hub at {address} took all {taken}");
        // One more time, since the flood may have been over before the first.
        let (caller, value) = (self.honest.clone(), format!("after {served}"));
        caller.put(KEY, &value).await.unwrap();
        self.stream.until("its update", |state| is(state, &value)).await;
        self.stays_small(kind);
        (taken, goaway)
    }

    /// The offender was dropped for what it did: by the hub, which counts it, or by
    /// HTTP/2's own limits, which say so. Which of them sees it first depends on how
    /// the frames are cut into reads; that neither does would be chance.
    async fn was_dropped_for(&self, kind: &str, goaway: Option<u32>) {
        let counted = self.broken(kind).await;
        assert!(counted || goaway == Some(CALM), "{kind}: not counted, and GOAWAY {goaway:?}");
    }

    fn stays_small(&self, kind: &str) {
        let grown = status_kb(&self.hub, "VmHWM:").saturating_sub(self.before_kb);
        assert!(grown < GROWTH_KB, "{kind}: at its peak grown by {grown} kB");
    }
}

fn is(state: &confhub_proto::State, value: &str) -> bool {
    state.iter().any(|entry| entry.value() == value.as_bytes())
}

/// Resident memory of the hub (`proc(5)`).
fn resident_kb(hub: &HubProcess) -> u64 {
    status_kb(hub, "VmRSS:")
}

/// From here on `VmHWM` is the most that the hub has had resident (`proc(5)`).
fn forget_peak(hub: &HubProcess) {
    std::fs::write(format!("/proc/{}/clear_refs", hub.id()), "5").unwrap();
}

fn status_kb(hub: &HubProcess, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn odd(i: u32) -> u32 {
    2 * i + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_that_bring_nothing_are_dropped() {
    let mut bench = Bench::new().await;
    let kinds = [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9])),
        ("unknown", frame(0xbe, 0, 0, &[7; 20])),
        ("window-update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    ];
    for (kind, bytes) in kinds {
        bench.drops(kind, |_| bytes.clone()).await;
        assert!(bench.broken(kind).await, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_are_dropped() {
    let mut bench = Bench::new().await;
    let block = headers("/confhub.v1.ConfigService/Get", &bench.hub.token("globex"), 0);
    let (taken, goaway) = bench
        .drops("reset", |i| {
            let begin = frame(HEADERS, END_HEADERS, odd(i), &block);
            [begin, frame(RESET, 0, odd(i), &[0, 0, 0, 8])].concat()
        })
        .await;
    bench.was_dropped_for("reset", goaway).await;
    assert!(taken < 20_000, "{taken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_dropped() {
    let mut bench = Bench::new().await;
    let block = headers("/confhub.v1.ConfigService/Get", "x", 0);
    let (taken, goaway) = bench
        .drops("continuation", |i| match i {
            0 => frame(HEADERS, 0, 1, &block),
            _ => frame(CONTINUATION, 0, 1, &[0; 0]),
        })
        .await;
    bench.was_dropped_for("continuation", goaway).await;
    assert!(taken < 20_000, "{taken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_data_is_dropped() {
    let mut bench = Bench::new().await;
    let block = headers("/confhub.v1.AdminService/Put", &bench.hub.token("globex"), 0);
    let (_, goaway) = bench
        .drops("empty-data", |i| match i {
            0 => frame(HEADERS, END_HEADERS, 1, &block),
            _ => frame(DATA, 0, 1, &[]),
        })
        .await;
    // By the hub, which counts it, or by HTTP/2 itself once the call has been answered.
    let counted = bench.broken("empty-data").await;
    assert!(counted || goaway.is_some(), "not counted, and no GOAWAY");
}

/// Each block of headers is small, and names one long header of the table a thousand
/// times: what comes out would be megabytes (RFC 7541, 7.3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_bombs_cost_no_memory() {
    let mut bench = Bench::new().await;
    let mut offender = Frames::connect(bench.hub.grpc).await;
    // Into the table (RFC 7541, 6.2.1), where it is number 62 from then on.
    let long = [&[0x40, 1, b'x', 127, 0xa1, 0x1e], &[b'y'; 4_000][..]].concat();
    let first = [headers("/confhub.v1.ConfigService/Get", "x", 0), long].concat();
    offender.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &first)).await;
    let bomb = [headers("/confhub.v1.ConfigService/Get", "x", 0), vec![0x80 | 62; 10_000]].concat();
    for i in 1..1_000 {
        if !offender.write(&frame(HEADERS, END_HEADERS | END_STREAM, odd(i), &bomb)).await {
            break;
        }
        if i % 100 == 0 {
            bench.serves().await;
        }
    }
    bench.serves().await;
    bench.stays_small("header bombs");
    let answers = offender.finish().await;
    let refused = answers.too_large > 0 || answers.goaway == Some(CALM);
    assert!(refused, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_drip_are_dropped() {
    let mut bench = Bench::new().await;
    let before = Instant::now();
    let mut offender = Frames::connect(bench.hub.grpc).await;
    let block = frame(HEADERS, END_HEADERS, 1, &headers("/confhub.v1.ConfigService/Get", "x", 1_000));
    let mut drops = interval(Duration::from_millis(100));
    for byte in block {
        drops.tick().await;
        if offender.is_closed() || !offender.write(&[byte]).await {
            break;
        }
    }
    offender.until_closed().await;
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    assert!(bench.broken("slow-frame").await);
    bench.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http2_is_dropped_at_once() {
    let mut bench = Bench::new().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n"[..],
        &[0; 64],
        &[0xff; 64],
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut offender = Frames::silent(bench.hub.grpc).await;
        offender.write(garbage).await;
        offender.until_closed().await;
    }
    // A frame larger than what the hub has said it takes (RFC 9113, 4.2).
    let mut offender = Frames::connect(bench.hub.grpc).await;
    offender.write(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]).await;
    offender.until_closed().await;
    bench.serves().await;
}

/// Streams whose reader grants nothing, on one connection and of one large tenant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_window_stays_shut_cost_little() {
    let mut bench = Bench::new().await;
    let big = "x".repeat(60_000);
    let writer = bench.hub.caller("globex").await;
    for i in 0..20 {
        writer.put(&format!("{KEY}{i}"), &big).await.unwrap();
    }
    bench.before_kb = resident_kb(&bench.hub);
    forget_peak(&bench.hub);
    let endpoint = Endpoint::from_shared(bench.hub.endpoint()).unwrap().initial_stream_window_size(1);
    let reader = Caller::over(endpoint, &bench.hub.token("globex")).await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        stalled.push(reader.subscribe("", b"").await.unwrap());
    }
    for _ in 0..10 {
        bench.serves().await;
    }
    bench.stays_small("shut windows");
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_cost_little_and_are_closed() {
    let mut bench = Bench::with(&["--set", "times.connection-idle=5s"]).await;
    // As many as the usual limit of a process on open files lets both ends have; the
    // benchmark `floods` raises it, and has ten thousand.
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(Frames::connect(bench.hub.grpc).await);
    }
    bench.serves().await;
    bench.stays_small("idle connections");
    for connection in &mut idle {
        connection.until_closed().await;
    }
    assert!(bench.broken("idle").await);
    // The honest one has a stream, and is not idle.
    bench.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_bad_tokens_is_dropped() {
    let mut bench = Bench::new().await;
    let token = bench.hub.token("globex");
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let stranger = Caller::connect(&bench.hub.endpoint(), &forged).await;
    let mut refused = 0;
    soon("the connection to be broken", async {
        loop {
            let status = stranger.get("", KEY).await.unwrap_err();
            // A broken connection is made anew by itself: the hub says that it broke.
            if status.code() != Code::Unauthenticated || bench.broken("bad-tokens").await {
                return;
            }
            refused += 1;
            assert!(refused < 5_000);
        }
    })
    .await;
    assert!(refused >= confhub::limits::BAD_TOKENS.0, "{refused}");
    bench.serves().await;
    bench.stays_small("bad tokens");
}
