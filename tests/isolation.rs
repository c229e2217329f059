//! Nobody sees what is another's: not a tenant's, not a service's.

use crate::support::{Caller, Hub, Stream, pick, seed, soon};
use confhub::auth::Role;
use confhub_proto::{State, wire};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Code;

const TENANTS: [&str; 8] = ["acme", "acme2", "acme-eu", "Acme", "a", "acme.x", "acme_x", "0"];
const SERVICES: [&str; 4] = ["", "cart", "cart2", "Cart"];
const KEYS: [&str; 6] = [
    "tenant_config_a",
    "tenant_config_a.b",
    "tenant_config_A",
    "param_config_a",
    "param_config_ab",
    "param_config_b",
];
const PREFIXES: [&[&str]; 3] = [&[], &["param_config_a"], &["tenant_config_a", "param_config_b"]];
const STEPS: usize = 260;

/// What one tenant should have, by service and key.
type Model = BTreeMap<(&'static str, &'static str), String>;

/// What a view should show.
fn shown(model: &Model, service: &str, prefixes: &[&str]) -> BTreeMap<&'static str, String> {
    let mut shown = BTreeMap::new();
    for of_service in ["", service] {
        for ((_, key), value) in model.iter().filter(|((service, _), _)| *service == of_service) {
            if prefixes.is_empty() || prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                shown.insert(*key, value.clone());
            }
        }
    }
    shown
}

fn told(state: &State) -> BTreeMap<&str, String> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    state.iter().map(|entry| (entry.key().as_str(), text(entry.value()))).collect()
}

/// Every byte names whose it is.
fn check_owner(state: &State, tenant: &str, service: &str) {
    for (key, value) in told(state) {
        let mut parts = value.split('|');
        assert_eq!(parts.next(), Some(tenant), "{key} of {tenant}/{service} is {value}");
        let of = parts.next().unwrap();
        assert!(of.is_empty() || of == service, "{key} of {tenant}/{service} is {value}");
        assert_eq!(parts.next(), Some(key));
    }
}

/// One tenant's life: random writes, and a subscriber of each view, which joins
/// at some time in between and now and then anew.
async fn live(caller: Caller, tenant: &'static str, mut random: Rng) {
    let views = SERVICES.iter().flat_map(|service| PREFIXES.map(|prefixes| (*service, prefixes)));
    let mut subscribers: Vec<_> = views.map(|(service, prefixes)| (service, prefixes, None)).collect();
    let mut model = Model::new();
    for step in 0..STEPS {
        write(&caller, tenant, step, &mut model, &mut random).await;
        let at = random.usize(..subscribers.len());
        let (service, prefixes, stream) = &mut subscribers[at];
        if stream.is_none() || random.u8(..10) == 0 {
            *stream = Some(join(&caller, service, prefixes).await);
        }
        let Some(stream) = stream else { continue };
        follow(stream, tenant, service, &shown(&model, service, prefixes)).await;
    }
    for (service, prefixes, stream) in &mut subscribers {
        let wanted = shown(&model, service, prefixes);
        follow(stream.as_mut().expect("it has joined"), tenant, service, &wanted).await;
        let (snapshot, _) = caller.snapshot(service, prefixes).await.unwrap();
        assert_eq!(told(&snapshot), wanted);
    }
}

/// One random write, in the store and in the model.
async fn write(caller: &Caller, tenant: &str, step: usize, model: &mut Model, random: &mut Rng) {
    let (service, key) = (*pick(random, &SERVICES), *pick(random, &KEYS));
    if random.u8(..3) == 0 {
        let deleted = caller.delete_for(service, key).await;
        assert_eq!(deleted.is_ok(), model.remove(&(service, key)).is_some());
    } else {
        let value = format!("{tenant}|{service}|{key}|{step}");
        caller.put_for(service, key, &value, None).await.unwrap();
        model.insert((service, key), value);
    }
}

async fn join(caller: &Caller, service: &str, prefixes: &[&str]) -> Stream {
    let request = wire::SubscribeRequest {
        service: service.to_owned(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..wire::SubscribeRequest::default()
    };
    caller.open(request).await.unwrap()
}

/// Follows until the stream's state is the model's; on the way it is never
/// anyone else's.
async fn follow(stream: &mut Stream, tenant: &str, service: &str, wanted: &BTreeMap<&'static str, String>) {
    let reached = |state: &State| {
        check_owner(state, tenant, service);
        told(state) == *wanted
    };
    stream.until("the model's state", reached).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_and_services_with_similar_names_never_mix() {
    let mut random = Rng::with_seed(seed());
    let hub = Hub::start().await;
    let mut tenants = tokio::task::JoinSet::new();
    for tenant in TENANTS {
        tenants.spawn(live(hub.caller(tenant).await, tenant, random.fork()));
    }
    soon("all tenants", tenants.join_all()).await;
}

#[tokio::test]
async fn the_services_entry_wins_and_the_shared_one_comes_back() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    let key = "tenant_config_limit";
    writer.put(key, "shared").await.unwrap();
    let mut cart = writer.subscribe("cart", b"").await.unwrap();
    let mut order = writer.subscribe("order", b"").await.unwrap();
    let is = |state: &State, value: &str| state.get(key).is_some_and(|entry| entry.value() == value);
    cart.until("shared", |state| is(state, "shared")).await;
    writer.put_for("cart", key, "own", None).await.unwrap();
    cart.until("its own", |state| is(state, "own")).await;
    writer.put(key, "shared 2").await.unwrap();
    order.until("shared 2", |state| is(state, "shared 2")).await;
    assert!(is(&cart.state, "own"));
    writer.delete_for("cart", key).await.unwrap();
    cart.until("shared again", |state| is(state, "shared 2")).await;
    writer.delete_for("", key).await.unwrap();
    cart.until("nothing", State::is_empty).await;
    order.until("nothing", State::is_empty).await;
}

#[tokio::test]
async fn a_token_with_a_service_sees_that_view_whatever_it_asks() {
    let hub = Hub::start().await;
    let writer = hub.caller("acme").await;
    for service in ["", "cart", "order"] {
        writer.put_for(service, "tenant_config_a", service, None).await.unwrap();
    }
    let cart = Caller::connect(&hub.endpoint(), &hub.service_token("acme", "cart")).await;
    for asked in ["", "cart", "order"] {
        let mut stream = cart.subscribe(asked, b"").await.unwrap();
        stream.until_current().await;
        assert_eq!(stream.text("tenant_config_a").as_deref(), Some("cart"), "asked for `{asked}`");
        assert_eq!(cart.get(asked, "tenant_config_a").await.unwrap().service, "cart");
        assert_eq!(cart.batch_get(asked, &["tenant_config_a"]).await.unwrap().entries[0].service, "cart");
        let (snapshot, _) = cart.snapshot(asked, &[]).await.unwrap();
        assert_eq!(snapshot.digest(), stream.state.digest());
    }
    assert_eq!(cart.history("order", "tenant_config_a", 0).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_writer_of_a_service_writes_nowhere_else() {
    let hub = Hub::start().await;
    let operator = hub.caller("acme").await;
    for service in ["", "order"] {
        operator.put_for(service, "tenant_config_a", "before", None).await.unwrap();
    }
    let before = operator.list().await;
    let token = hub.token_of("acme", Some("cart"), &[Role::Writer], Duration::from_secs(60));
    let cart = Caller::connect(&hub.endpoint(), &token).await;
    for service in ["", "order"] {
        let outcomes = [
            cart.put_for(service, "tenant_config_a", "x", None).await,
            cart.delete_for(service, "tenant_config_a").await,
            cart.apply(vec![
                crate::support::put("cart", "tenant_config_a", "x"),
                crate::support::put(service, "tenant_config_b", "x"),
            ])
            .await
            .map(|versions| versions[0]),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().code(), Code::PermissionDenied);
        }
    }
    assert_eq!(operator.list().await, before);
    assert_eq!(cart.put_for("cart", "tenant_config_a", "own", None).await.unwrap(), 1);
}

#[tokio::test]
async fn prefixes_narrow_what_is_streamed() {
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(100)).await;
    let writer = hub.caller("acme").await;
    writer.put("tenant_config_a", "1").await.unwrap();
    writer.put("param_config_a", "1").await.unwrap();
    let mut stream = join(&writer, "", &["param_config_", "tenant_config_ab"]).await;
    stream.until_current().await;
    assert_eq!(stream.state.len(), 1);
    writer.put("tenant_config_a", "2").await.unwrap();
    stream.until_current().await;
    assert_eq!(stream.updates, 1, "what it does not see does not wake it");
    writer.put("tenant_config_abc", "1").await.unwrap();
    stream.until("the key of its second prefix", |state| state.len() == 2).await;
}
