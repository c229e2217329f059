//! Any number of hubs on the same stores show the same.

use crate::support::{Aws, Caller, Event, Hub, HubProcess, Stream, command, pick, put, seed, view_of};
use confhub_proto::State;
use fastrand::Rng;
use futures_util::future::join_all;
use std::collections::HashSet;

async fn start(aws: &Aws) -> Hub {
    let hub = Hub::start_on_aws(aws, |_| {}).await;
    hub.until_source_is_up().await;
    hub
}

async fn three(aws: &Aws) -> [Hub; 3] {
    [start(aws).await, start(aws).await, start(aws).await]
}

async fn followed(hubs: &[Hub], service: &str) -> (Vec<Caller>, Vec<Stream>) {
    let callers = join_all(hubs.iter().map(|hub| hub.caller("acme"))).await;
    let streams = join_all(callers.iter().map(|caller| caller.subscribe(service, b""))).await;
    (callers, streams.into_iter().map(|stream| stream.unwrap().counting_anew()).collect())
}

#[tokio::test]
async fn what_is_written_through_one_hub_is_seen_through_all() {
    let aws = Aws::new().await;
    let hubs = three(&aws).await;
    let (callers, mut streams) = followed(&hubs, "cart").await;
    for (n, caller) in callers.iter().enumerate() {
        caller.put(&format!("tenant_config_{n}"), "x").await.unwrap();
        caller.put_for("cart", &format!("param_config_{n}"), "x", None).await.unwrap();
    }
    for stream in &mut streams {
        stream.until("all writes", |state| state.len() == 6).await;
    }
    let digests: HashSet<_> = streams.iter().map(|stream| stream.state.digest()).collect();
    assert_eq!(digests.len(), 1, "a cursor means the same on every hub");
}

#[tokio::test]
async fn who_changes_hubs_receives_what_it_lacks_and_nothing_else() {
    let aws = Aws::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command.envs(aws.variables());
    let first = HubProcess::start_by(command, folder.path(), &[]).await;
    let other = start(&aws).await;
    let writer = other.caller("acme").await;
    for n in 0..50 {
        writer.put(&format!("tenant_config_{n}"), "1").await.unwrap();
    }
    let mut stream = first.caller("acme").await.subscribe("", b"").await.unwrap();
    stream.until("the state", |state| state.len() == 50).await;
    first.kill().await;
    let state = std::mem::take(&mut stream.state);
    let cursor = state.digest().to_bytes();
    let resume = |state: State| {
        let writer = writer.clone();
        async move { writer.subscribe("", &cursor).await.unwrap().resuming(state) }
    };
    // Nothing has changed: nothing is sent.
    let mut same = resume(state.clone()).await;
    same.until_current().await;
    assert_eq!((same.updates, same.entries), (0, 0));
    // Three have: three are sent, though this hub never knew the client.
    for n in 0..3 {
        writer.put(&format!("tenant_config_{n}"), "2").await.unwrap();
    }
    let mut changed = resume(state).await;
    changed
        .until("what it lacks", |state| state.get("tenant_config_2").is_some_and(|e| e.version() == 2))
        .await;
    changed.until_current().await;
    assert_eq!(changed.entries, 3);
}

#[tokio::test]
async fn an_apply_is_seen_whole_through_every_hub() {
    const KEYS: usize = 20;
    let aws = Aws::new().await;
    let hubs = three(&aws).await;
    let (callers, mut streams) = followed(&hubs, "").await;
    let all =
        |value: &str| (0..KEYS).map(|n| put("", &format!("tenant_config_{n}"), value)).collect::<Vec<_>>();
    callers[0].apply(all("0")).await.unwrap();
    let last = "15";
    let writes = async {
        for n in 1..=15 {
            // By turns through two hubs, of which neither knows what the other does.
            callers[n % 2].apply(all(&n.to_string())).await.unwrap();
        }
    };
    let watches = streams.iter_mut().map(|stream| async move {
        while stream.text("tenant_config_0").as_deref() != Some(last) {
            match stream.event().await {
                Event::Commit(_) => {
                    let value = |n| stream.text(&format!("tenant_config_{n}"));
                    let values: HashSet<_> = (0..KEYS).map(value).collect();
                    assert_eq!(values.len(), 1, "a part of an Apply was seen: {values:?}");
                }
                Event::End(status) => panic!("the stream ended: {status}"),
                _ => {}
            }
        }
    });
    tokio::join!(writes, join_all(watches));
}

#[tokio::test]
async fn whoever_writes_what_and_where_all_hubs_end_with_what_the_stores_have() {
    let mut random = Rng::with_seed(seed());
    let aws = Aws::new().await;
    let hubs = three(&aws).await;
    let (callers, mut streams) = followed(&hubs, "cart").await;
    let services = ["", "cart", "order"];
    for step in 0..150 {
        let (caller, service) = (pick(&mut random, &callers), *pick(&mut random, &services));
        let kind = *pick(&mut random, &["tenant_config_", "param_config_"]);
        let key = format!("{kind}{}", random.usize(..6));
        let value = step.to_string();
        match random.usize(..6) {
            0 => {
                let of = if service.is_empty() { "shared" } else { service };
                aws.put_parameter("acme", of, &format!("param_config_{}", random.usize(..6)), &value).await;
            }
            1 => drop(caller.delete_for(service, &key).await),
            2 => {
                let changes = (0..3).map(|n| put(service, &format!("tenant_config_{n}"), &value)).collect();
                caller.apply(changes).await.unwrap();
            }
            _ => drop(caller.put_for(service, &key, &value, None).await.unwrap()),
        }
    }
    callers[0].put("tenant_config_end", "x").await.unwrap();
    callers[0].put("param_config_end", "x").await.unwrap();
    let truth = view_of(&callers[0].list().await, "cart", &[]);
    for stream in &mut streams {
        stream.until("what the stores have", |state| state.digest() == truth.digest()).await;
    }
}
