//! Streams end, for their age or their token, and a client that follows notices
//! nothing: it has moved before.

use crate::support::{Caller, Hub, client, soon, until_status};
use confhub::auth::Role;
use confhub_client::{
    Builder, Client, Closed, Error, FailureKind, Pool, Status, TenantId, TokenError, TokenRequest,
    TokenSource,
};
use confhub_proto::wire::{self, TenantState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Writes one key after the other until told to stop, and returns how many.
async fn write(writer: Caller, stop: Arc<AtomicBool>) -> usize {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return number;
        }
        writer.put(&format!("tenant_config_{number:06}"), "1").await.unwrap();
    }
    unreachable!()
}

/// Moves so often under a writer, and sees every write once, in order, and ready.
async fn moves_unnoticed(hub: &Hub, builder: Builder, moves: u64) {
    let client = builder.connect().await.unwrap();
    let (mut changes, mut status) = (client.changes(), client.watch_status());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(hub.caller("acme").await, Arc::clone(&stop)));
    let mut seen = BTreeSet::new();
    let following = async {
        loop {
            if client.stats().moves >= moves {
                stop.store(true, Ordering::SeqCst);
                if writing.is_finished() && client.snapshot().len() == seen.len() {
                    break;
                }
            }
            // A bound, since the last change may have been seen already.
            let change = tokio::time::timeout(Duration::from_millis(50), changes.next()).await;
            let Ok(change) = change else { continue };
            for key in change.unwrap().keys {
                assert!(seen.insert(key.to_string()), "`{key}` came twice");
            }
            let last = format!("tenant_config_{:06}", seen.len() - 1);
            assert_eq!(seen.last(), Some(&last), "all that was written before is there");
        }
    };
    soon("the moves", following).await;
    let written = soon("the writer", writing).await.unwrap();
    let stats = client.stats();
    println!("{written} writes, {stats:?}");
    soon("the last write", async {
        while client.snapshot().len() < written {
            assert!(changes.next().await.is_some());
        }
    })
    .await;
    assert_eq!(client.snapshot().len(), written);
    assert!(stats.resets <= 1 && stats.healed == 0, "{stats:?}");
    let gap = tokio::time::timeout(Duration::ZERO, status.next()).await;
    assert!(gap.is_err() && client.status().is_ready(), "ready all along: {gap:?}");
}

/// Hands out tokens of a few seconds, and counts them.
struct ShortLived {
    hub: Arc<Hub>,
    asked: Arc<AtomicUsize>,
}

impl TokenSource for ShortLived {
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.hub.token_of("acme", None, &[Role::Reader], Duration::from_secs(4)))
    }
}

#[tokio::test]
async fn tokens_expire_and_every_write_is_seen_once_in_order_with_no_gap() {
    let hub = Arc::new(Hub::start().await);
    let asked = Arc::new(AtomicUsize::new(0));
    let source = ShortLived { hub: Arc::clone(&hub), asked: Arc::clone(&asked) };
    moves_unnoticed(&hub, Client::builder().endpoint(hub.endpoint()).token_source(source), 3).await;
    // One at the start, one for each move, and maybe some for the move after them.
    let asked = asked.load(Ordering::SeqCst);
    assert!((4..=12).contains(&asked), "{asked} tokens");
}

#[tokio::test]
async fn streams_reach_their_age_and_every_write_is_seen_once_in_order_with_no_gap() {
    let hub = Hub::start_with(|settings| settings.times.stream_age = Duration::from_secs(2)).await;
    let builder = client(&hub, "acme");
    moves_unnoticed(&hub, builder, 4).await;
}

#[tokio::test]
async fn the_tenants_of_a_pool_move_within_its_connections() {
    let hub = Hub::start_with(|settings| settings.times.stream_age = Duration::from_secs(2)).await;
    let tokens: Vec<_> = (0..8).map(|number| hub.token(&format!("tenant-{number}"))).collect();
    let pool = Pool::builder()
        .endpoint(hub.endpoint())
        .tokens(move |tenant: TenantId, _: TokenRequest| {
            let number: usize = tenant.as_str().trim_start_matches("tenant-").parse().unwrap();
            let token = tokens[number].clone();
            async move { Ok::<_, TokenError>(token) }
        })
        .max_connections(2)
        .build()
        .unwrap();
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(pool.tenant(&format!("tenant-{number}")).await.unwrap());
    }
    let mut statuses: Vec<_> = clients.iter().map(Client::watch_status).collect();
    soon("each to have moved twice", async {
        while clients.iter().any(|client| client.stats().moves < 2) {
            assert!(pool.stats().connections <= 2, "{:?}", pool.stats());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for status in &mut statuses {
        let gap = tokio::time::timeout(Duration::ZERO, status.next()).await;
        assert!(gap.is_err(), "{gap:?}");
    }
}

#[tokio::test]
async fn a_suspended_tenants_client_reads_on_and_says_why_and_a_new_one_is_refused() {
    let hub = Hub::start().await;
    hub.caller("acme").await.put("tenant_config_a", "1").await.unwrap();
    let follower = client(&hub, "acme").connect().await.unwrap();
    let rulers = [Role::Operator, Role::Revoker];
    let operators = Caller::connect(&hub.endpoint(), &hub.token_of("operators", None, &rulers, HOUR)).await;
    let request = wire::SetTenantRequest {
        tenant: "acme".into(),
        state: TenantState::Suspended.into(),
        reason: String::new(),
    };
    operators.access.clone().set_tenant(operators.request(request)).await.unwrap();
    let not_served = |status: &Status| matches!(status, Status::Stale { kind: FailureKind::NotServed, reason, .. } if reason.contains("not served"));
    until_status(&follower, "the suspension", not_served).await;
    assert_eq!(follower.get_as("tenant_config_a"), Ok(Some(1)), "reads go on");
    let refused = client(&hub, "acme").connect().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Closed(Closed::Denied(why)) if why.contains("not served")),
        "{refused}"
    );
}
