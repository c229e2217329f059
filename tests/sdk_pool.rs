//! Many tenants in one process: one stream for each, few connections for all,
//! nobody else's state, and bounds.

use crate::support::{Hub, Proxy, has, soon, until_state, until_status};
use confhub::auth::Role;
use confhub_client::{
    Client, Closed, Pool, PoolBuilder, PoolStats, Status, TenantError, TenantId, TenantState, TokenError,
    TokenRequest,
};
use confhub_proto::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::interval;

/// What no test waits for: the pool's own limits.
const LONG: Duration = Duration::from_secs(60);

/// A pool on a hub, with the right token for each tenant.
fn pool(hub: &Arc<Hub>) -> PoolBuilder {
    let issuer = Arc::clone(hub);
    with_tokens(&hub.endpoint(), move |tenant| Ok(issuer.token(tenant)))
}

fn with_tokens(
    endpoint: &str,
    tokens: impl Fn(&str) -> Result<String, TokenError> + Send + Sync + 'static,
) -> PoolBuilder {
    let tokens = move |tenant: TenantId, _: TokenRequest| std::future::ready(tokens(tenant.as_str()));
    Pool::builder().endpoint(endpoint).tokens(tokens).client(|client| client.connect_timeout(LONG))
}

/// Waits until the pool is as wanted.
async fn until(pool: &Pool, what: &str, wanted: impl Fn(PoolStats) -> bool) {
    let reached = async {
        let mut looks = interval(Duration::from_millis(5));
        while !wanted(pool.stats()) {
            looks.tick().await;
        }
    };
    soon(what, reached).await;
}

/// Opens all of these at once.
async fn open_all(pool: &Pool, tenants: &[String]) -> Vec<Client> {
    let mut opening = JoinSet::new();
    for tenant in tenants.iter().cloned() {
        let pool = pool.clone();
        opening.spawn(async move { (pool.tenant(&tenant).await.unwrap(), tenant) });
    }
    let mut opened = soon("all tenants", opening.join_all()).await;
    opened.sort_by(|(_, one), (_, other)| one.cmp(other));
    opened.into_iter().map(|(client, _)| client).collect()
}

async fn put(hub: &Hub, tenant: &str, value: &str) {
    hub.caller(tenant).await.put("tenant_config_a", value).await.unwrap();
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("tenant-{i:04}")).collect()
}

fn failure(result: Result<Client, TenantError>) -> TenantError {
    result.map(|client| client.status()).unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tenants_share_ten_connections_and_all_are_current() {
    let hub = Arc::new(Hub::start().await);
    let tenants = names(1_000);
    let pool = pool(&hub).build().unwrap();
    let clients = open_all(&pool, &tenants).await;
    let stats = pool.stats();
    assert_eq!((stats.tenants, stats.streams, stats.held), (1_000, 1_000, 1_000));
    // The hub's own count; and the fullest is filled first.
    let connections = hub.metric("confhub_connections").await;
    assert!((1.0..=8.0).contains(&connections), "{connections} connections, {stats:?}");
    assert!(stats.connections <= 8, "{stats:?}");
    hub.until_metric("confhub_streams", |streams| (999.5..1_000.5).contains(&streams)).await;

    // One connection writes for all tenants: each call has its own token.
    let caller = hub.caller("tenant-0000").await;
    for tenant in &tenants {
        let content = Some(crate::support::text(tenant));
        let key = "tenant_config_a".to_owned();
        let mut request =
            tonic::Request::new(wire::PutRequest { key, content, ..wire::PutRequest::default() });
        let token = format!("Bearer {}", hub.token(tenant)).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        caller.admin.clone().put(request).await.unwrap();
    }
    for (tenant, client) in tenants.iter().zip(&clients) {
        until_state(client, tenant, |state| has(state, "tenant_config_a", tenant)).await;
        assert_eq!((client.snapshot().len(), client.stats().resets), (1, 1), "its own entry alone");
    }
    for tenant in pool.tenants() {
        let TenantState::Open { stats, .. } = tenant.state else { panic!("{tenant:?} is not open") };
        assert_eq!((stats.entries, stats.superseded), (1, 0), "counted for each");
    }
    pool.close().await;
    hub.until_metric("confhub_streams", |streams| streams < 0.5).await;
}

#[tokio::test]
async fn a_hundred_first_requests_open_one_stream() {
    let hub = Arc::new(Hub::start().await);
    put(&hub, "acme", "1").await;
    let (asked, issuer) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&hub));
    let count = Arc::clone(&asked);
    let pool = with_tokens(&hub.endpoint(), move |tenant| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(issuer.token(tenant))
    });
    let pool = pool.build().unwrap();
    assert!(pool.get_if_present("acme").is_none());
    let clients = open_all(&pool, &vec!["acme".to_owned(); 100]).await;
    assert!(clients.iter().all(|client| has(&client.snapshot(), "tenant_config_a", "1")));
    assert!(clients.iter().all(|client| client.stats().attempts == 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one token was asked for");
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.streams, stats.connections), (1, 1, 1));
    assert!(hub.metric("confhub_streams").await < 1.5);
    assert!(pool.get_if_present("acme").is_some());
}

#[tokio::test]
async fn idle_tenants_are_let_go_and_come_back_current() {
    let hub = Arc::new(Hub::start().await);
    let tenants = names(3);
    for tenant in &tenants {
        put(&hub, tenant, "1").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let idle = Duration::from_millis(300);
    let pool = pool(&hub).idle(idle).disk_folder(folder.path()).build().unwrap();
    let mut clients = open_all(&pool, &tenants).await;
    // A handle of any kind keeps its tenant, however long.
    let held = clients.remove(0).watch("tenant_config_a");
    drop(clients);
    until(&pool, "two tenants to be let go", |stats| stats.dropped_idle == 2).await;
    until(&pool, "their streams to end", |stats| stats.streams == 1).await;
    hub.until_metric("confhub_streams", |streams| streams < 1.5).await;
    assert_eq!((pool.stats().tenants, pool.stats().held), (1, 1));
    assert!(pool.get_if_present(&tenants[0]).is_some() && pool.get_if_present(&tenants[1]).is_none());

    // The file of the state names its place, so that only what changed is sent.
    let saved = folder.path().join(format!("{}.state", tenants[1]));
    soon("the file", async {
        let mut looks = interval(Duration::from_millis(5));
        while !saved.exists() {
            looks.tick().await;
        }
    })
    .await;
    put(&hub, &tenants[1], "2").await;
    let client = pool.tenant(&tenants[1]).await.unwrap();
    until_state(&client, "the change", |state| has(state, "tenant_config_a", "2")).await;
    assert_eq!((client.stats().updates, client.stats().resets), (1, 0), "by its cursor");
    drop((client, held));
    until(&pool, "all to be let go", |stats| stats.tenants == 0).await;
    until(&pool, "their memory to be free", |stats| stats.state_bytes == 0).await;
}

#[tokio::test]
async fn the_least_recently_used_makes_room_and_what_is_held_never_does() {
    let hub = Arc::new(Hub::start().await);
    let pool = pool(&hub).max_tenants(3).build().unwrap();
    for tenant in ["a", "b", "c"] {
        drop(pool.tenant(tenant).await.unwrap());
    }
    // `a` was used after `b`, so `b` is the one to go.
    drop(pool.tenant("a").await.unwrap());
    drop(pool.tenant("d").await.unwrap());
    let present = |tenant: &str| pool.get_if_present(tenant).is_some();
    assert_eq!(["b", "c", "a", "d"].map(present), [false, true, true, true]);
    assert_eq!((pool.stats().tenants, pool.stats().evicted), (3, 1));

    let held = [pool.tenant("c").await.unwrap(), pool.tenant("a").await.unwrap()];
    drop(pool.tenant("b").await.unwrap());
    assert_eq!(["c", "a", "b", "d"].map(present), [true, true, true, false]);
    let last = pool.tenant("b").await.unwrap();
    let error = failure(pool.tenant("d").await);
    assert!(matches!(error, TenantError::Full { limit: 3, .. }) && error.is_retryable(), "{error}");
    assert!(held.iter().all(|client| client.status().is_ready()));
    drop(last);
    pool.tenant("d").await.unwrap();
}

#[tokio::test]
async fn memory_is_bounded_and_idle_states_make_room() {
    let hub = Arc::new(Hub::start().await);
    let value = "x".repeat(10_000);
    for tenant in ["a", "b", "c", "d"] {
        put(&hub, tenant, &value).await;
    }
    let pool = pool(&hub).max_bytes(25_000).client(|c| c.connect_timeout(Duration::from_secs(2))).build();
    let pool = pool.unwrap();
    let (a, b) = (pool.tenant("a").await.unwrap(), pool.tenant("b").await.unwrap());
    let error = failure(pool.tenant("c").await);
    assert!(error.to_string().contains("more than 25000 bytes together: see `.max_bytes`"), "{error}");
    assert!(pool.stats().state_bytes <= 25_000);
    // A state in use does not grow beyond it either, and what there was stays.
    hub.caller("a").await.put("tenant_config_b", &value).await.unwrap();
    let stale = until_status(&a, "the refused update", Status::is_stale).await;
    assert!(stale.to_string().contains("25000"), "{stale}");
    assert!(has(&a.snapshot(), "tenant_config_a", &value) && a.snapshot().len() == 1);

    drop(b);
    drop(pool.tenant("d").await);
    until(&pool, "the idle one to go", |stats| stats.evicted > 0).await;
    assert!(pool.get_if_present("b").is_none() && pool.get_if_present("a").is_some());
}

#[tokio::test]
async fn another_tenants_token_reads_nothing() {
    let hub = Arc::new(Hub::start().await);
    put(&hub, "acme", "secret-of-acme").await;
    let issuer = Arc::clone(&hub);
    let mixed_up = with_tokens(&hub.endpoint(), move |_| Ok(issuer.token("acme")));
    let folder = tempfile::tempdir().unwrap();
    let pool = mixed_up.disk_folder(folder.path()).build().unwrap();
    let acme = pool.tenant("acme").await.unwrap();
    for asked in ["globex", "Acme", "acme."] {
        let error = failure(pool.tenant(asked).await);
        assert_eq!(error.closed(), Some(&Closed::OtherTenant(TenantId::new(asked).unwrap())), "{error}");
        let shown = format!("{error} {error:?} {:?}", pool.tenants());
        assert!(!shown.contains("secret-of-acme") && !error.is_retryable());
        assert!(!error.to_string().contains("`acme`"), "{error}: whose token it was is for the log");
    }
    assert!(acme.status().is_ready(), "the tenant whose token it was does not notice");
    assert_eq!((pool.stats().tenants, pool.stats().streams, pool.stats().failed), (1, 1, 3));

    // Nor does another tenant's file: not even while the hub is away.
    pool.close().await;
    let file = |tenant: &str| folder.path().join(format!("{tenant}.state"));
    assert!(file("acme").exists() && !file("globex").exists());
    std::fs::copy(file("acme"), file("globex")).unwrap();
    let issuer = Arc::clone(&hub);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alone = with_tokens(&format!("http://{gone}"), move |_| Ok(issuer.token("acme")));
    let alone = alone.client(|client| client.connect_timeout(Duration::from_secs(2)));
    let pool = alone.disk_folder(folder.path()).build().unwrap();
    let from_disk = pool.tenant("acme").await.unwrap();
    assert!(has(&from_disk.snapshot(), "tenant_config_a", "secret-of-acme"), "its own file serves");
    let error = failure(pool.tenant("globex").await);
    assert!(matches!(&error, TenantError::Failed { .. }) && error.is_retryable(), "{error}");
    pool.remove("acme").await;
    assert!(!file("acme").exists() && from_disk.status().is_closed());
}

#[tokio::test]
async fn a_token_that_comes_to_be_another_tenants_ends_the_client_of_that_tenant_alone() {
    let hub = Arc::new(Hub::start().await);
    put(&hub, "acme", "1").await;
    put(&hub, "globex", "2").await;
    let (issuer, asked) = (Arc::clone(&hub), AtomicUsize::new(0));
    // Right at first; then, since it will soon expire, again, and mixed up.
    let tokens = move |tenant: &str| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        let named = if first { tenant } else { "globex" };
        Ok(issuer.token_of(named, None, &[Role::Reader], Duration::from_secs(3)))
    };
    let pool = with_tokens(&hub.endpoint(), tokens).build().unwrap();
    let client = pool.tenant("acme").await.unwrap();
    let closed = soon("the end", client.watch_status().wait_for(Status::is_closed)).await.unwrap();
    assert!(closed.to_string().contains("another tenant's"), "{closed}");
    assert!(has(&client.snapshot(), "tenant_config_a", "1"), "what was read last stays");
    assert!(failure(pool.tenant("acme").await).closed().is_some(), "it is not handed out any more");
}

#[tokio::test]
async fn a_tenant_that_is_refused_disturbs_no_other_and_is_not_tried_again_for_a_moment() {
    let hub = Arc::new(Hub::start().await);
    let (issuer, asked) = (Arc::clone(&hub), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let tokens = move |tenant: &str| match tenant {
        "refused" => {
            count.fetch_add(1, Ordering::SeqCst);
            Ok("not.a.token".to_owned())
        }
        "none" => Err(TokenError::new("no such login")),
        tenant => Ok(issuer.token(tenant)),
    };
    let pool = with_tokens(&hub.endpoint(), tokens).remember_failures(LONG);
    let pool = pool.client(|client| client.connect_timeout(Duration::from_secs(1))).build().unwrap();
    let good = pool.tenant("good").await.unwrap();
    let error = failure(pool.tenant("refused").await);
    assert!(error.to_string().contains("Unauthenticated"), "{error}");
    let (after_first, began) = (asked.load(Ordering::SeqCst), pool.stats());
    for _ in 0..1_000 {
        assert!(matches!(failure(pool.tenant("refused").await), TenantError::Failed { .. }));
    }
    assert_eq!(asked.load(Ordering::SeqCst), after_first, "answered from memory");
    assert_eq!(pool.stats(), began);
    let error = failure(pool.tenant("none").await);
    assert!(error.to_string().contains("no such login"), "{error}");
    for name in ["", "a b", "../x", "a/b", "a\0", ".state", "tén", &"x".repeat(65)] {
        assert!(matches!(failure(pool.tenant(name).await), TenantError::Name(_)), "{name:?}");
    }
    let failed: Vec<_> =
        pool.tenants().into_iter().filter(|one| matches!(one.state, TenantState::Failed(_))).collect();
    assert_eq!(failed.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), ["none", "refused"]);

    put(&hub, "good", "1").await;
    until_state(&good, "a change beside them", |state| has(state, "tenant_config_a", "1")).await;
    assert_eq!((good.stats().attempts, pool.stats().connections), (1, 1), "all on one connection");
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_said_within_the_bound() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pool = with_tokens(&format!("http://{gone}"), |_| panic!("no token for nobody"));
    let pool = pool.client(|client| client.connect_timeout(Duration::from_millis(300))).build().unwrap();
    let error = soon("the bound", pool.tenant("acme")).await.map(|client| client.status()).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("cannot reach the hub"), "{error}");
    assert_eq!((pool.stats().tenants, pool.stats().streams, pool.stats().connections), (0, 0, 0));
}

#[tokio::test]
async fn a_broken_connection_heals_for_all_its_tenants() {
    let hub =
        Arc::new(Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(300)).await);
    let mut proxy = Proxy::to(hub.addresses.grpc).await;
    let (issuer, tenants) = (Arc::clone(&hub), names(100));
    let pool = with_tokens(&proxy.endpoint(), move |tenant| Ok(issuer.token(tenant)));
    let pool = pool.streams_per_connection(40).max_connections(3).build().unwrap();
    let clients = open_all(&pool, &tenants).await;
    proxy.until_connections(3).await;
    let attempts: u64 = clients.iter().map(|client| client.stats().attempts).sum();
    assert_eq!((attempts, pool.stats().connections), (100, 3));

    // All three go silent: nobody is told.
    proxy.silence();
    for client in &clients {
        until_status(client, "the silence to be noticed", |status| !status.is_ready()).await;
    }
    for (tenant, client) in tenants.iter().zip(&clients) {
        until_status(client, "the stream to be back", Status::is_ready).await;
        put(&hub, tenant, "2").await;
        until_state(client, "a change", |state| has(state, "tenant_config_a", "2")).await;
        assert_eq!((client.stats().updates, client.stats().resets), (2, 1), "nothing was sent again");
    }
    let stats = pool.stats();
    assert_eq!((stats.tenants, stats.streams, stats.connections), (100, 100, 3), "again as few as can be");
    assert_eq!(stats.opened, 100);
}

#[tokio::test]
async fn closing_ends_all_and_dropping_the_pool_leaves_what_is_held() {
    let hub = Arc::new(Hub::start().await);
    let one = pool(&hub).build().unwrap();
    let clients = open_all(&one, &names(20)).await;
    let other = one.clone();
    one.close().await;
    assert!(clients.iter().all(|client| client.status().is_closed()));
    assert!(matches!(failure(other.tenant("tenant-0001").await), TenantError::Closed));
    assert!(other.get_if_present("tenant-0001").is_none());
    let stats = other.stats();
    assert_eq!((stats.tenants, stats.streams, stats.connections), (0, 0, 0));
    hub.until_metric("confhub_streams", |streams| streams < 0.5).await;
    hub.until_metric("confhub_connections", |connections| connections < 0.5).await;

    let pool = pool(&hub).build().unwrap();
    let held = pool.tenant("acme").await.unwrap();
    drop(pool.tenant("globex").await.unwrap());
    drop(pool);
    hub.until_metric("confhub_streams", |streams| streams < 1.5).await;
    put(&hub, "acme", "1").await;
    until_state(&held, "a change without the pool", |state| has(state, "tenant_config_a", "1")).await;
    drop(held);
    hub.until_metric("confhub_connections", |connections| connections < 0.5).await;
}

#[tokio::test]
async fn a_tenant_is_removed_while_it_is_being_opened() {
    let hub = Arc::new(Hub::start().await);
    let hang = |_: TenantId, _: TokenRequest| std::future::pending::<Result<String, TokenError>>();
    let pool = Pool::builder().endpoint(hub.endpoint()).tokens(hang).build().unwrap();
    let asking = tokio::spawn({
        let pool = pool.clone();
        async move { pool.tenant("acme").await }
    });
    until(&pool, "the attempt", |stats| stats.opening == 1 && stats.streams == 1).await;
    assert!(pool.get_if_present("acme").is_none());
    pool.remove("acme").await;
    let error = failure(soon("the answer", asking).await.unwrap());
    assert!(matches!(error, TenantError::Removed), "{error}");
    until(&pool, "its place to be free", |stats| stats.opening == 0 && stats.streams == 0).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_once() {
    let builder = || with_tokens("http://127.0.0.1:1", |_| Ok("t".to_owned()));
    for (bad, says) in [
        (Pool::builder().endpoint("http://127.0.0.1:1"), "`.tokens`"),
        (Pool::builder().tokens(|_, _| std::future::ready(Ok(String::new()))), "no endpoint"),
        (builder().max_connections(0), "`.max_connections`"),
        (builder().streams_per_connection(1_025), "at most 1024"),
        (builder().max_connections(2).streams_per_connection(100).max_tenants(201), "at most 200"),
        (builder().idle(Duration::ZERO), "`.idle`"),
        (builder().max_bytes(0), "`.max_bytes`"),
        (builder().disk_folder("/nonexistent/folder"), "is no folder"),
        (builder().client(|client| client.disk("/tmp/x.state")), "`.disk_folder`"),
        (builder().service("a b"), "`a b`"),
        (builder().endpoint("http://10.0.0.1"), "plaintext"),
    ] {
        let error = bad.build().map(|pool| pool.stats()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
