//! A random population, in which whatever anybody receives is its own: tenants,
//! services, keys and prefixes with the same names everywhere, writers, and
//! subscribers that come, go, and come back with each other's cursors.
//!
//! Every value, media type and many a key says whose it is, so that a single byte
//! of another's is recognised where it arrives: in the raw messages, before
//! anything has been made of them.

use crate::support::raw::{Answer, Raw};
use crate::support::{Caller, Hub, pick, seed, soon};
use confhub_proto::frame::Assembler;
use confhub_proto::{Cursor, State, wire};
use fastrand::Rng;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;
use wire::frame::Kind;

const TENANTS: [&str; 6] = ["acme", "acme2", "Acme", "a", "acme.x", "confhub"];
const SERVICES: [&str; 4] = ["", "cart", "cart2", "Cart"];
const KEYS: [&str; 5] =
    ["tenant_config_a", "tenant_config_a.b", "tenant_config_A", "param_config_a", "param_config_ab"];
const PREFIXES: [&[&str]; 4] =
    [&[], &["param_config_a"], &["tenant_config_a", "param_config_ab"], &["tenant_config_of."]];

/// Steps of each tenant; six of them take as many at a time.
const STEPS: usize = 840;

/// Subscribers of one tenant at a time.
const SUBSCRIBERS: usize = 10;

/// States that somebody has had, to come back with.
const REMEMBERED: usize = 200;

/// Whose bytes somebody may receive: a tenant's, of one service or of all.
#[derive(Clone, Copy)]
struct Owner {
    tenant: &'static str,
    /// Beside the shared entries; `None`: of every service.
    service: Option<&'static str>,
}

impl Owner {
    fn of(tenant: &'static str, service: &'static str) -> Self {
        Self { tenant, service: Some(service) }
    }

    fn may_see(self, mark: &str) -> bool {
        let Some((tenant, service)) = mark.split_once('/') else { return false };
        tenant == self.tenant && (service.is_empty() || self.service.is_none_or(|own| own == service))
    }

    /// Looks at raw bytes: how many marks they have, or the first foreign one.
    fn check(self, bytes: &[u8]) -> Result<usize, String> {
        let mut marks = 0;
        for (begin, end) in [("<<", ">>"), ("_of.", "_fo")] {
            let mut rest = bytes;
            while let Some(at) = find(rest, begin) {
                rest = &rest[at + begin.len()..];
                // A prefix that is repeated in an error has a beginning and no end.
                let Some(end) = find(rest, end).filter(|end| *end < 80) else { continue };
                let mark = String::from_utf8_lossy(&rest[..end]).replacen("--", "/", 1);
                if !self.may_see(&mark) {
                    return Err(mark);
                }
                marks += 1;
            }
        }
        // A secret's value may come from `Reveal` alone.
        if find(bytes, "TOP-SECRET").is_some() { Err("a secret".to_owned()) } else { Ok(marks) }
    }

    fn check_state(self, state: &State) {
        for entry in state.iter() {
            let message = wire::Entry::from(&**entry).encode_to_vec();
            self.check(&message).unwrap_or_else(|mark| panic!("{entry:?} of {mark}"));
        }
    }
}

fn find(bytes: &[u8], part: &str) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part.as_bytes())
}

fn mark(tenant: &str, service: &str) -> String {
    format!("<<{tenant}/{service}>>")
}

/// What an entry should be.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    service: &'static str,
    value: String,
    secret: bool,
}

/// What one tenant should have, by service and key.
type Model = BTreeMap<(&'static str, String), Kept>;

/// What a view should show: by key the service and the value, which is empty for a secret.
type Shown = BTreeMap<String, (String, String)>;

fn shown(model: &Model, service: &str, prefixes: &[&str]) -> Shown {
    let mut shown = Shown::new();
    for of in ["", service] {
        for ((_, key), kept) in model.iter().filter(|((service, _), _)| *service == of) {
            if prefixes.is_empty() || prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                let value = if kept.secret { String::new() } else { kept.value.clone() };
                shown.insert(key.clone(), (of.to_owned(), value));
            }
        }
    }
    shown
}

fn told(state: &State) -> Shown {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let service = |entry: &confhub_proto::Entry| entry.service().map(ToString::to_string).unwrap_or_default();
    state.iter().map(|entry| (entry.key().to_string(), (service(entry), text(entry.value())))).collect()
}

/// What all tenants share.
#[derive(Clone, Default)]
struct World {
    states: Arc<Mutex<Vec<State>>>,
    /// Marks that were looked at on the wire.
    marks: Arc<AtomicUsize>,
    /// Subscriptions with a state of another tenant.
    foreign: Arc<AtomicUsize>,
}

impl World {
    fn remember(&self, state: &State, random: &mut Rng) {
        let mut states = self.states.lock().unwrap();
        if states.len() < REMEMBERED {
            states.push(state.clone());
        } else {
            states[random.usize(..REMEMBERED)] = state.clone();
        }
    }

    fn any_state(&self, random: &mut Rng) -> State {
        let states = self.states.lock().unwrap();
        if states.is_empty() { State::default() } else { pick(random, &states).clone() }
    }

    fn look(&self, owner: Owner, bytes: &[u8]) {
        let marks = owner.check(bytes).unwrap_or_else(|mark| {
            panic!("{mark} came to {}/{}", owner.tenant, owner.service.unwrap_or("*"))
        });
        self.marks.fetch_add(marks, Ordering::Relaxed);
    }
}

/// One who listens, and the state that its frames make.
struct Subscriber {
    service: &'static str,
    prefixes: &'static [&'static str],
    state: watch::Receiver<State>,
    listening: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Subscriber {
    /// Waits until its state is the model's.
    async fn follow(&mut self, model: &Model) {
        let wanted = shown(model, self.service, self.prefixes);
        let reached = self.state.wait_for(|state| told(state) == wanted);
        if soon("the model's state", reached).await.is_err() {
            soon("the listener", &mut self.listening).await.unwrap();
            unreachable!("a listener only ends by a panic");
        }
    }
}

/// Listens for ever, from a state that it has or says that it has.
async fn listen(
    mut answer: Answer,
    owner: Owner,
    (world, mut random): (World, Rng),
    has: State,
    told: watch::Sender<State>,
) {
    let mut assembler = Assembler::new(usize::MAX);
    let mut state = has;
    while let Some(framed) = answer.framed().await {
        world.look(owner, &framed);
        match wire::Frame::decode(&framed[5..]).unwrap().kind.unwrap() {
            Kind::Welcome(welcome) => {
                assert_eq!(
                    (welcome.tenant.as_str(), Some(welcome.service.as_str())),
                    (owner.tenant, owner.service)
                );
            }
            Kind::Update(part) => {
                let Some(update) = assembler.push(part).unwrap() else { continue };
                state = state.commit(&update);
                assert_eq!(state.digest(), update.commit.cursor);
                // A difference to another's state would have left some of it.
                owner.check_state(&state);
                world.remember(&state, &mut random);
                told.send_replace(state.clone());
            }
            Kind::Heartbeat(heartbeat) => {
                assert_eq!(Cursor::from_wire(&heartbeat.cursor), Ok(Some(state.digest())));
                owner.check_state(&state);
                told.send_replace(state.clone());
            }
            Kind::Goodbye(goodbye) => panic!("{goodbye:?}"),
        }
    }
    panic!("a stream has ended");
}

/// One tenant: its operator, its services, who listens, and what should be there.
struct Tenant {
    name: &'static str,
    operator: Caller,
    raw: Raw,
    /// The services' own connections and tokens.
    services: Vec<(&'static str, Caller, Raw)>,
    subscribers: Vec<Subscriber>,
    model: Model,
    world: World,
    random: Rng,
}

impl Tenant {
    async fn new(hub: &Hub, name: &'static str, world: World, random: Rng) -> Self {
        let mut services = Vec::new();
        for service in &SERVICES[1..] {
            let token = hub.service_token(name, service);
            let caller = Caller::connect(&hub.endpoint(), &token).await;
            services.push((*service, caller, Raw::connect(hub.addresses.grpc, &token).await));
        }
        let raw = Raw::connect(hub.addresses.grpc, &hub.token(name)).await;
        let operator = hub.caller(name).await;
        Self { name, operator, raw, services, subscribers: Vec::new(), model: Model::new(), world, random }
    }

    async fn live(mut self) {
        for step in 0..STEPS {
            match self.random.u8(..100) {
                0..40 => self.write(step).await,
                40..46 => self.apply(step).await,
                46..66 => self.subscribe().await,
                66..72 => self.leave(),
                _ => self.read().await,
            }
            if step % 150 == 149 {
                self.settle().await;
            }
        }
        self.settle().await;
        for service in SERVICES {
            // A snapshot is as current as a stream: the last write may be on its way.
            let wanted = shown(&self.model, service, &[]);
            let mut looks = interval(Duration::from_millis(5));
            let reached = async {
                while told(&self.operator.snapshot(service, &[]).await.unwrap().0) != wanted {
                    looks.tick().await;
                }
            };
            soon("a snapshot of the model's state", reached).await;
        }
        assert_eq!(self.operator.list().await.len(), self.model.len());
    }

    async fn settle(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.follow(&self.model).await;
        }
    }

    /// A key: one that everybody has, or one that says whose it is.
    fn key(&mut self, service: &str) -> String {
        match self.random.u8(..3) {
            0 => format!("tenant_config_of.{}--{service}_fo{}", self.name, self.random.u8(..2)),
            _ => (*pick(&mut self.random, &KEYS)).to_owned(),
        }
    }

    fn content(&mut self, service: &'static str, key: &str, step: usize) -> (Kept, wire::Content) {
        // A key that was a secret once stays one, so that none is overwritten by chance.
        let secret = key == "tenant_config_A";
        let mark = mark(self.name, service);
        let value = format!("{}{mark}{key} {step}", if secret { "TOP-SECRET" } else { "" });
        let content =
            wire::Content { value: value.clone().into(), content_type: format!("x/{mark}"), secret };
        (Kept { service, value, secret }, content)
    }

    /// Who writes to a service: the operator, or the service itself.
    fn writer(&mut self, service: &str) -> Caller {
        let own = self.services.iter().find(|(name, _, _)| *name == service);
        match own.filter(|_| self.random.bool()) {
            Some((_, caller, _)) => caller.clone(),
            None => self.operator.clone(),
        }
    }

    async fn write(&mut self, step: usize) {
        let service = *pick(&mut self.random, &SERVICES);
        let (key, writer) = (self.key(service), self.writer(service));
        let place = (service, key.clone());
        if self.random.u8(..4) == 0 {
            let deleted = writer.delete_for(service, &key).await;
            assert_eq!(deleted.is_ok(), self.model.remove(&place).is_some(), "{deleted:?}");
            return;
        }
        let (kept, content) = self.content(service, &key, step);
        let request = wire::PutRequest {
            key,
            service: service.to_owned(),
            content: Some(content),
            expected_version: None,
        };
        writer.admin.clone().put(writer.request(request)).await.unwrap();
        self.model.insert(place, kept);
    }

    async fn apply(&mut self, step: usize) {
        let mut changes = BTreeMap::new();
        for _ in 0..self.random.usize(1..5) {
            let service = *pick(&mut self.random, &SERVICES);
            let key = self.key(service);
            let (kept, content) = self.content(service, &key, step);
            changes.insert((service, key), (kept, content));
        }
        let change =
            |((service, key), (_, content)): (&(&str, String), &(Kept, wire::Content))| wire::Change {
                key: key.clone(),
                service: (*service).to_owned(),
                expected_version: None,
                action: Some(wire::change::Action::Put(content.clone())),
            };
        self.operator.apply(changes.iter().map(change).collect()).await.unwrap();
        self.model.extend(changes.into_iter().map(|(place, (kept, _))| (place, kept)));
    }

    fn leave(&mut self) {
        if !self.subscribers.is_empty() {
            let at = self.random.usize(..self.subscribers.len());
            drop(self.subscribers.swap_remove(at));
        }
    }

    /// Opens a stream: anew, with a state of its own, or with anybody's.
    async fn subscribe(&mut self) {
        if self.subscribers.len() >= SUBSCRIBERS {
            self.leave();
        }
        let (asked, prefixes) = (*pick(&mut self.random, &SERVICES), *pick(&mut self.random, &PREFIXES));
        let has = match self.random.u8(..5) {
            0 => State::default(),
            1 if !self.subscribers.is_empty() => {
                let at = self.random.usize(..self.subscribers.len());
                self.subscribers[at].state.borrow().clone()
            }
            _ => self.world.any_state(&mut self.random),
        };
        let whole = Owner { tenant: self.name, service: None };
        if has.iter().any(|entry| whole.check(&wire::Entry::from(&**entry).encode_to_vec()).is_err()) {
            self.world.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let request = wire::SubscribeRequest {
            service: asked.to_owned(),
            prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            cursor: if has.is_empty() { Vec::new() } else { has.digest().to_bytes().to_vec() },
            client: None,
        };
        let at = self.random.usize(..8);
        let (service, raw) = match self.services.get(at) {
            Some((own, _, raw)) => (*own, raw),
            None => (asked, &self.raw),
        };
        let answer = raw.call("confhub.v1.ConfigService/Subscribe", &request.encode_to_vec()).await;
        let (states, state) = watch::channel(has.clone());
        let owner = Owner::of(self.name, service);
        let world = (self.world.clone(), self.random.fork());
        let listening = tokio::spawn(listen(answer, owner, world, has, states));
        self.subscribers.push(Subscriber { service, prefixes, state, listening });
    }

    /// One of the reads, by the operator or by a service, of whatever it likes.
    async fn read(&mut self) {
        let asked = *pick(&mut self.random, &SERVICES);
        let key = self.key(asked);
        let at = self.random.usize(..8);
        let (own, raw) = match self.services.get(at) {
            Some((own, _, raw)) => (Some(*own), raw),
            None => (None, &self.raw),
        };
        let view = own.unwrap_or(asked);
        let service = asked.to_owned();
        let seen = Owner::of(self.name, view);
        let at_key = shown(&self.model, view, &[]).remove(&key);
        let echo = key.clone();
        let listed = *pick(&mut self.random, &PREFIXES);
        let which = self.random.u8(..6);
        let look = async |method: &str, request: Vec<u8>, owner: Owner| {
            let mut answer = raw.call(&format!("confhub.v1.{method}"), &request).await;
            let mut messages = Vec::new();
            while let Some(framed) = answer.framed().await {
                self.world.look(owner, &framed);
                messages.push(framed[5..].to_vec());
            }
            let outcome = answer.outcome().await;
            // What the caller has said itself is no news to it.
            self.world.look(owner, outcome.message.replace(&echo, "").as_bytes());
            (messages, outcome)
        };
        match which {
            0 => {
                let request = wire::GetRequest { key, service }.encode_to_vec();
                let (messages, outcome) = look("ConfigService/Get", request, seen).await;
                assert_eq!(outcome.status == "0", at_key.is_some(), "{outcome:?}");
                let entry = |bytes: &Vec<u8>| wire::GetResponse::decode(&**bytes).unwrap().entry.unwrap();
                let found = messages.first().map(entry);
                assert_eq!(found.map(|entry| (entry.service.clone(), text(&entry.value))), at_key);
            }
            1 => {
                let keys = KEYS.map(str::to_owned).to_vec();
                let request = wire::BatchGetRequest { keys, service }.encode_to_vec();
                let (messages, _) = look("ConfigService/BatchGet", request, seen).await;
                let answer = wire::BatchGetResponse::decode(&*messages[0]).unwrap();
                let all = shown(&self.model, view, &[]);
                assert_eq!(answer.entries.len(), KEYS.iter().filter(|key| all.contains_key(**key)).count());
            }
            2 => {
                let prefixes = listed.iter().map(|&prefix| prefix.to_owned()).collect();
                let all = Owner { tenant: self.name, service: own };
                look("AdminService/List", wire::ListRequest { prefixes }.encode_to_vec(), all).await;
            }
            3 => {
                let request =
                    wire::HistoryRequest { key, service, limit: 0, before_version: 0 }.encode_to_vec();
                let (_, outcome) = look("AdminService/History", request, Owner::of(self.name, asked)).await;
                let refused = own.is_some_and(|own| !asked.is_empty() && asked != own);
                assert_eq!(outcome.status == "7", refused, "{outcome:?}");
            }
            4 => {
                let request = wire::GetSnapshotRequest { service, prefixes: Vec::new() }.encode_to_vec();
                let (messages, _) = look("ConfigService/GetSnapshot", request, seen).await;
                assert!(!messages.is_empty());
            }
            _ => self.reveal(raw, asked, view).await,
        }
    }

    /// The one way to a secret's value, which is the tenant's own.
    async fn reveal(&self, raw: &Raw, asked: &str, view: &'static str) {
        let key = "tenant_config_A".to_owned();
        let kept = [view, ""].iter().find_map(|service| self.model.get(&(*service, key.clone())));
        let request = wire::RevealRequest { key, service: asked.to_owned() }.encode_to_vec();
        let mut answer = raw.call("confhub.v1.ConfigService/Reveal", &request).await;
        let revealed = answer.framed().await;
        assert_eq!(revealed.is_some(), kept.is_some());
        if let (Some(framed), Some(kept)) = (revealed, kept) {
            let entry = wire::RevealResponse::decode(&framed[5..]).unwrap().entry.unwrap();
            assert_eq!((text(&entry.value), entry.service.as_str()), (kept.value.clone(), kept.service));
        }
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

#[test]
fn anothers_bytes_are_recognised() {
    let own = Owner::of("acme", "cart");
    for good in ["", "xx<<acme/cart>>..<<acme/>>", "tenant_config_of.acme--cart_fo1", "<<", "_of."] {
        own.check(good.as_bytes()).unwrap();
    }
    for bad in [
        "x<<acme2/cart>>",
        "<<acme/cart>><<acme/cart2>>",
        "<</cart>>",
        "<<Acme/>>",
        "_of.acme2--_fo",
        "TOP-SECRET",
    ] {
        own.check(bad.as_bytes()).unwrap_err();
    }
    Owner { tenant: "acme", service: None }.check(b"<<acme/cart2>>").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_in_a_random_population_receives_a_byte_of_anothers() {
    let mut random = Rng::with_seed(seed());
    let hub = Hub::start_with(|settings| settings.times.heartbeat = Duration::from_millis(200)).await;
    let world = World::default();
    let mut tenants = JoinSet::new();
    for name in TENANTS {
        let tenant = Tenant::new(&hub, name, world.clone(), random.fork()).await;
        tenants.spawn(tenant.live());
    }
    soon("all tenants", tenants.join_all()).await;
    // It was not quiet: there was something to confuse.
    assert!(TENANTS.len() * STEPS >= 5_000);
    let (marks, foreign) = (world.marks.load(Ordering::Relaxed), world.foreign.load(Ordering::Relaxed));
    println!("{marks} marks on the wire, {foreign} subscriptions with another tenant's state");
    assert!(marks > 10_000 && foreign > 100, "{marks} marks, {foreign} foreign states");
}
