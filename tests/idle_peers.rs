//! A peer that does nothing holds nothing for long.

use crate::support::{Caller, Event, Hub, HubProcess, Proxy, clean, command, soon, text};
use confhub::auth::Role;
use confhub_proto::wire;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};
use tonic::Code;
use tonic::transport::Endpoint;

const KEY: &str = "tenant_config_a";

#[tokio::test]
async fn a_connection_that_never_speaks_does_not_hold_up_a_drain() {
    let hub = Hub::start_with(|settings| settings.times.drain = Duration::from_secs(300)).await;
    let silent = TcpStream::connect(hub.addresses.grpc).await.unwrap();
    hub.until_metric("confhub_connections", |open| open == 1.0).await;
    let before = Instant::now();
    hub.stop().await;
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_cut_off_when_its_token_expires() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let big = "x".repeat(60_000);
    for i in 0..20 {
        writer.put(&format!("{KEY}{i}"), &big).await.unwrap();
    }
    let token = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(3));
    let endpoint = Endpoint::from_shared(hub.endpoint()).unwrap().initial_stream_window_size(65_535);
    let reader = Caller::over(endpoint, &token).await;
    // Neither is read: the first would go on for ever, the second would end.
    let stream = reader.subscribe("", b"").await.unwrap();
    let snapshot = reader.config.clone();
    let request = reader.request(wire::GetSnapshotRequest::default());
    let unread = snapshot.clone().get_snapshot(request).await.unwrap();
    hub.until_metric("confhub_streams", |open| open == 1.0).await;
    let before = Instant::now();
    hub.until_metric("confhub_streams", |open| open == 0.0).await;
    hub.until_metric("confhub_connections", |open| open == 1.0).await;
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
    drop((stream, unread));
}

/// Unlike above, what the reader has promised to take is not in the way: its
/// sockets are full, as those of a stopped process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_sockets_are_full_is_cut_off_too() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let big = "x".repeat(60_000);
    for i in 0..250 {
        writer.put(&format!("{KEY}{i}"), &big).await.unwrap();
    }
    let token = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(4));
    let proxy = Proxy::to(hub.addresses.grpc).await;
    let window = 1 << 30;
    let endpoint = Endpoint::from_shared(proxy.endpoint()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(window).initial_connection_window_size(window);
    let reader = Caller::over(endpoint, &token).await;
    let mut stream = reader.subscribe("nobody", b"").await.unwrap();
    assert!(matches!(stream.event().await, Event::Welcome(_)));
    proxy.silence();
    hub.until_metric("confhub_streams", |open| open == 1.0).await;
    let before = Instant::now();
    hub.until_metric("confhub_streams", |open| open == 0.0).await;
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_are_not_read_take_no_writers_place() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let big = "x".repeat(60_000);
    for i in 0..10 {
        writer.put(&format!("{KEY}{i}"), &big).await.unwrap();
    }
    let endpoint = Endpoint::from_shared(hub.endpoint()).unwrap();
    let reader = Caller::over(endpoint.initial_stream_window_size(65_535), &hub.token("acme")).await;
    let mut unread = Vec::new();
    let refused = soon("the hub to refuse more lists", async {
        loop {
            let request = reader.request(wire::ListRequest::default());
            match reader.admin.clone().list(request).await {
                Ok(list) => unread.push(list),
                Err(status) => return status,
            }
        }
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(unread.len() <= confhub::limits::BULK_READS, "{}", unread.len());
    writer.put(KEY, "written all the same").await.unwrap();
    drop(unread);
    soon("a list to be served again", async {
        let mut tries = interval(Duration::from_millis(20));
        while writer.list_parts(&[]).await.is_err() {
            tries.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_does_not_begin_with_a_token_that_has_expired() {
    let hub = Hub::start().await;
    let token = hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(1));
    let caller = Caller::connect(&hub.endpoint(), &token).await;
    let status = soon("the token to expire", async {
        loop {
            match caller.subscribe("", b"").await {
                Ok(mut stream) => drop(stream.until_end().await),
                Err(status) => return status,
            }
        }
    })
    .await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired"), "{status}");
}

#[tokio::test]
async fn no_file_descriptors_left_is_waited_out_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = clean(Command::new("sh"));
    limited.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\"", command().get_program().to_str().unwrap()]);
    let hub = HubProcess::start_by(limited, folder.path(), &[]).await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(TcpStream::connect(hub.grpc).await.unwrap());
    }
    soon("the hub to notice", async {
        let mut looks = interval(Duration::from_millis(5));
        while !hub.log().contains("cannot take more connections") {
            looks.tick().await;
        }
    })
    .await;
    drop(idle);
    let caller = hub.caller("acme").await;
    caller.put_content(KEY, text("1")).await.unwrap();
    let lines = hub.log().lines().count();
    assert!(lines < 50, "{lines} lines:\n{}", hub.log());
}
