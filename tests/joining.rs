//! Joining leaves no gap, whenever it happens: at the end everyone has what
//! there is.

use crate::support::{Caller, Event, Hub, delete, pick, put, seed, soon, view_of};
use confhub_proto::{State, wire};
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Code;

// Writes that wait together share a disk flush: many writers take less time than few.
const WRITERS: usize = 16;
const WRITES_EACH: usize = 150;
const SUBSCRIBERS: u64 = 12;
const KEYS: usize = 40;
const SERVICES: [&str; 3] = ["", "cart", "order"];
const VIEWS: [(&str, &[&str]); 5] = [
    ("", &[]),
    ("cart", &[]),
    ("order", &[]),
    ("cart", &["param_config_"]),
    ("order", &["tenant_config_1", "param_config_2"]),
];

fn key(random: &mut Rng) -> String {
    let prefix = pick(random, &["tenant_config_", "param_config_"]);
    format!("{prefix}{}", random.usize(..KEYS))
}

fn change(random: &mut Rng) -> wire::Change {
    let (service, key) = (*pick(random, &SERVICES), key(random));
    if random.u8(..4) == 0 { delete(service, &key) } else { put(service, &key, &random.u32(..).to_string()) }
}

/// Writes at random; what is refused (there was nothing to delete, or a key
/// came up twice) is part of the game.
async fn write(caller: Caller, mut random: Rng) {
    for _ in 0..WRITES_EACH {
        let changes = if random.u8(..5) == 0 { random.usize(2..8) } else { 1 };
        let changes = (0..changes).map(|_| change(&mut random)).collect();
        if let Err(status) = caller.apply(changes).await {
            assert!(matches!(status.code(), Code::NotFound | Code::InvalidArgument), "{status}");
        }
    }
}

/// Joins, leaves and comes back at random moments until the writers are done,
/// and then follows to the end.
struct Subscriber {
    caller: Caller,
    service: &'static str,
    prefixes: &'static [&'static str],
    state: State,
    joins: usize,
}

impl Subscriber {
    async fn follow(&mut self, mut random: Rng, done: &AtomicBool) {
        while !done.load(Ordering::SeqCst) {
            if random.u8(..4) == 0 {
                self.state = State::default();
            }
            let mut stream = self.join().await;
            for _ in 0..random.usize(1..60) {
                if let Event::End(status) = stream.event().await {
                    panic!("the stream ended: {status}");
                }
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
            self.state = stream.state.clone();
        }
    }

    async fn join(&mut self) -> crate::support::Stream {
        self.joins += 1;
        let empty = self.state.is_empty();
        let request = wire::SubscribeRequest {
            service: self.service.to_owned(),
            prefixes: self.prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            cursor: if empty { Vec::new() } else { self.state.digest().to_bytes().to_vec() },
            client: None,
        };
        // Every commit on the way is checked by the stream itself.
        self.caller.open(request).await.unwrap().resuming(self.state.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_gap_while_thousands_of_random_writes_go_on() {
    let mut random = Rng::with_seed(seed());
    // Proof of life comes often, so that whoever waits looks up often.
    let hub =
        Hub::start_with(|settings| settings.times.heartbeat = std::time::Duration::from_millis(50)).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut subscribers = Vec::new();
    for i in 0..SUBSCRIBERS {
        let (caller, done, random) = (hub.caller("acme").await, Arc::clone(&done), random.fork());
        let (service, prefixes) = VIEWS[usize::try_from(i).unwrap() % VIEWS.len()];
        subscribers.push(tokio::spawn(async move {
            let mut subscriber = Subscriber { caller, service, prefixes, state: State::default(), joins: 0 };
            subscriber.follow(random, &done).await;
            subscriber
        }));
    }
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write(hub.caller("acme").await, random.fork()));
    }
    soon("the writers", writers.join_all()).await;
    done.store(true, Ordering::SeqCst);

    let reader = hub.caller("acme").await;
    let all = reader.list().await;
    assert!(all.len() > KEYS);
    let mut joins = 0;
    for subscriber in subscribers {
        let mut subscriber = soon("a subscriber", subscriber).await.unwrap();
        let wanted = view_of(&all, subscriber.service, subscriber.prefixes).digest();
        let mut stream = subscriber.join().await;
        stream.until("the final state", |state| state.digest() == wanted).await;
        let (snapshot, _) = reader.snapshot(subscriber.service, subscriber.prefixes).await.unwrap();
        assert_eq!(snapshot.digest(), wanted);
        joins += subscriber.joins;
    }
    assert!(joins > 10 * subscribers_count(), "only {joins} joins: the writers were too fast for them");
}

fn subscribers_count() -> usize {
    usize::try_from(SUBSCRIBERS).unwrap()
}
