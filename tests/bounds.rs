//! A tenant at its limits is told which one and when to come back; others are not
//! touched by it, and room is found again.

use crate::support::{Caller, Hub, client, has, soon, until_state};
use confhub::auth::Role;
use confhub_proto::{State, retry, wire};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

const KEY: &str = "tenant_config_a";

/// That a refusal is one for a limit, names it, and says when to come back.
fn limited(status: &Status, limit: &str) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains(limit), "{status}");
    retry::delay(status).unwrap_or_else(|| panic!("no delay in {status:?}"))
}

/// The status that ends the first of many calls which is refused.
async fn refused<T>(calls: impl IntoIterator<Item = impl Future<Output = Result<T, Status>>>) -> Status {
    let mut calls: FuturesUnordered<_> = calls.into_iter().collect();
    soon("a call to be refused", async {
        loop {
            if let Err(status) = calls.next().await.expect("all calls were answered") {
                return status;
            }
        }
    })
    .await
}

#[tokio::test]
async fn calls_over_a_tenants_rate_wait_are_refused_if_it_takes_long_and_its_neighbour_is_served() {
    let hub = Hub::start_with(|settings| settings.limits.calls_per_second = 10).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    acme.put(KEY, "1").await.unwrap();
    globex.put(KEY, "1").await.unwrap();
    // The burst, what is waited for, and more.
    let status = refused((0..100).map(|_| acme.get("", KEY))).await;
    let delay = limited(&status, "limits.calls-per-second");
    assert!(delay <= Duration::from_secs(6), "{delay:?}");
    globex.get("", KEY).await.unwrap();
    // Streams have a pace of their own, and health is open to everyone.
    acme.subscribe("", b"").await.unwrap().until_current().await;
    // It waits for its turn, and has it.
    sleep_until(Instant::now() + delay).await;
    acme.get("", KEY).await.unwrap();
    assert!(hub.metrics("confhub_limited_total", &["limits.calls-per-second"]).await >= 1.0);
}

#[tokio::test]
async fn streams_that_come_and_go_too_fast_are_refused_until_the_delay_is_over() {
    let hub = Hub::start_with(|settings| settings.limits.opens_per_second = 10).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    // Those that stay may come at once.
    let mut stay = Vec::new();
    for _ in 0..50 {
        stay.push(acme.subscribe("", b"").await.unwrap());
    }
    drop(stay);
    hub.until_metric("confhub_streams", |streams| streams < 1.0).await;
    let status = refused((0..50).map(|_| acme.subscribe("", b""))).await;
    let delay = limited(&status, "limits.opens-per-second");
    assert!(delay <= Duration::from_secs(31), "{delay:?}");
    globex.subscribe("", b"").await.unwrap().until_current().await;
    sleep_until(Instant::now() + delay).await;
    acme.subscribe("", b"").await.unwrap().until_current().await;
}

#[tokio::test]
async fn reads_of_a_whole_tenant_wait_for_what_those_before_have_cost_and_its_neighbour_does_not() {
    let hub = Hub::start_with(|settings| settings.limits.bulk_bytes_per_second = 1_000).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    acme.put(KEY, &"x".repeat(3_000)).await.unwrap();
    let began = Instant::now();
    acme.list_parts(&[]).await.unwrap();
    let second = async {
        acme.list_parts(&[]).await.unwrap();
        began.elapsed()
    };
    let neighbour = async {
        globex.list_parts(&[]).await.unwrap();
        acme.get("", KEY).await.unwrap();
        began.elapsed()
    };
    let (second, neighbour) = tokio::join!(second, neighbour);
    // More than 3,512 bytes were read, of which a second's worth is free.
    assert!(second >= Duration::from_millis(2_500), "{second:?}");
    assert!(neighbour < second, "{neighbour:?}, {second:?}");
}

/// A caller that is refused again and again costs as much as one that is served.
#[tokio::test]
async fn a_connection_whose_calls_are_refused_without_end_is_broken() {
    let hub = Hub::start().await;
    let (reader, other) = (
        Caller::connect(
            &hub.endpoint(),
            &hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(600)),
        )
        .await,
        hub.caller("acme").await,
    );
    other.put(KEY, "1").await.unwrap();
    soon("the connection to be broken", async {
        while hub.metrics("confhub_broken_connections_total", &["refused-calls"]).await < 1.0 {
            join_all((0..512).map(|_| reader.put(KEY, "2"))).await;
        }
    })
    .await;
    other.get("", KEY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_one_tenant_does_not_finish_take_no_others_place() {
    let hub = Hub::start_with(|settings| settings.limits.bulk_reads_per_tenant = 2).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let big = "x".repeat(60_000);
    for i in 0..10 {
        acme.put(&format!("{KEY}{i}"), &big).await.unwrap();
    }
    let endpoint = Endpoint::from_shared(hub.endpoint()).unwrap().initial_stream_window_size(1_000);
    let reader = Caller::over(endpoint, &hub.token("acme")).await;
    let list = || async {
        let request = reader.request(wire::ListRequest::default());
        reader.admin.clone().list(request).await
    };
    let mut unread = vec![list().await.unwrap(), list().await.unwrap()];
    let refused = list().await.map(drop).unwrap_err();
    limited(&refused, "limits.bulk-reads-per-tenant");
    globex.list_parts(&[]).await.unwrap();
    acme.put(KEY, "1").await.unwrap();
    unread.pop();
    soon("a place to be free", async {
        while let Err(status) = list().await {
            limited(&status, "limits.bulk-reads-per-tenant");
        }
    })
    .await;
}

/// A call is under way while its request is still coming.
#[tokio::test]
async fn calls_that_one_tenant_leaves_open_take_no_others_place() {
    let hub = Hub::start_with(|settings| settings.limits.calls_per_tenant = 2).await;
    let (acme, globex) = (hub.caller("acme").await, hub.caller("globex").await);
    let raw = crate::support::raw::Raw::connect(hub.addresses.grpc, &hub.token("acme")).await;
    let mut open = Vec::new();
    let refused = soon("the limit to be reached", async {
        loop {
            open.push(raw.begin("confhub.v1.AdminService/Put").await);
            if let Err(status) = acme.put(KEY, "1").await {
                return status;
            }
        }
    })
    .await;
    limited(&refused, "limits.calls-per-tenant");
    globex.put(KEY, "1").await.unwrap();
    drop(open);
    soon("a place to be free", async {
        while let Err(status) = acme.put(KEY, "2").await {
            limited(&status, "limits.calls-per-tenant");
        }
    })
    .await;
}

#[tokio::test]
async fn the_sdk_comes_back_by_itself_when_there_is_room() {
    let hub = Hub::start_with(|settings| settings.limits.streams_per_tenant = 1).await;
    let acme = hub.caller("acme").await;
    acme.put(KEY, "1").await.unwrap();
    let held = acme.subscribe("", b"").await.unwrap();
    let refused = acme.subscribe("", b"").await.map(drop).unwrap_err();
    let delay = limited(&refused, "1 streams");
    let before = Instant::now();
    let connecting = tokio::spawn(client(&hub, "acme").connect_timeout(Duration::from_secs(60)).connect());
    hub.until_metric("confhub_connections", |open| open >= 2.0).await;
    soon("the SDK to be refused", async {
        while hub.metrics("confhub_limited_total", &["limits.streams-per-tenant"]).await < 2.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(held);
    let client = soon("the SDK", connecting).await.unwrap().unwrap();
    until_state(&client, "the value", |state| has(state, KEY, "1")).await;
    assert!(before.elapsed() >= delay, "{:?}", before.elapsed());
    let refusals = hub.metrics("confhub_limited_total", &["limits.streams-per-tenant"]).await;
    assert!(refusals <= 3.0, "it asked {refusals} times");
}

#[tokio::test]
async fn streams_over_a_connections_limit_wait_on_their_side_of_the_wire() {
    let hub = Hub::start_with(|settings| settings.limits.streams_per_connection = 2).await;
    let acme = hub.caller("acme").await;
    let held = [acme.subscribe("", b"").await.unwrap(), acme.subscribe("", b"").await.unwrap()];
    let third = tokio::time::timeout(Duration::from_millis(300), acme.get("", KEY)).await;
    assert!(third.is_err(), "a third call was made: {third:?}");
    // Another connection is not concerned.
    hub.caller("acme").await.put(KEY, "1").await.unwrap();
    drop(held);
    soon("the connection to have room", acme.get("", KEY)).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_left_gives_up_its_place_and_others_of_its_connection_go_on() {
    let hub = Hub::start().await;
    let acme = hub.caller("acme").await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(acme.subscribe("", b"").await.unwrap());
    }
    for (left, value) in ["1", "2", "3"].into_iter().enumerate() {
        // Each has taken a step when one is left.
        let version = acme.put(KEY, value).await.unwrap();
        for stream in &mut streams {
            let is_there = |state: &State| state.get(KEY).is_some_and(|entry| entry.version() == version);
            stream.until("the write", is_there).await;
        }
        drop(streams.swap_remove(0));
        hub.until_metric("confhub_streams", |open| open <= (2 - left) as f64).await;
    }
}
