//! Code of the program that runs in the client's task, and panics there.

use super::*;
use crate::{Client, Dialer, TokenError, TokenRequest, TokenSource};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

fn value(version: u64, value: u32) -> State {
    state(&[entry("limits", version, &value.to_string(), Content::JSON)])
}

/// Panics when it is made of 13 and when it is dropped with 14.
#[derive(Debug)]
struct Touchy(u32);

impl<'de> serde::Deserialize<'de> for Touchy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        assert!(value != 13, "no");
        Ok(Self(value))
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        assert!(self.0 != 14, "never");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_programs_own_value_is_not_the_clients() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &value(1, 1)).await;
    let touchy = client.typed::<Touchy>("limits").unwrap();
    let mut changes = client.changes();
    let mut at = value(1, 1);
    for (version, sent, kept) in [(2, 13, 1), (3, 14, 14), (4, 4, 4), (5, 5, 5)] {
        let next = value(version, sent);
        call.update(&between(&at, &next)).await;
        changes.next().await.unwrap();
        assert_eq!((touchy.load().0, touchy.error().is_some()), (kept, sent == 13));
        at = next;
    }
    assert_eq!(client.stats().rejected_values, 1);
}

static CLIENT: OnceLock<Client> = OnceLock::new();

/// Reads from the client while it is parsed.
struct Nosy;

impl<'de> serde::Deserialize<'de> for Nosy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _ = CLIENT.get().unwrap().typed_or("limits", 0_u32);
        u32::deserialize(deserializer).map(|_| Self)
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_may_use_the_client_while_it_is_parsed() {
    let mut hub = FakeHub::new();
    let (client, _call) = hub.connected(hub.builder(), &value(1, 1)).await;
    CLIENT.set(client.clone()).unwrap();
    let (parsed, done) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || parsed.send(client.typed::<Nosy>("limits").is_ok()));
    assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(true), "no lock is held");
}

/// Panics the first time that it is asked.
#[derive(Clone)]
struct Once<T>(T, Arc<AtomicBool>);

impl<T> Once<T> {
    fn new(then: T) -> Self {
        Self(then, Arc::default())
    }

    fn check(&self) {
        assert!(self.1.swap(true, Ordering::SeqCst), "the first time");
    }
}

impl TokenSource for Once<()> {
    async fn token(&self, _: TokenRequest) -> Result<String, TokenError> {
        self.check();
        Ok("token".to_owned())
    }
}

impl Dialer for Once<fake_hub::Net> {
    type Io = tokio::io::DuplexStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<Self::Io> {
        self.check();
        self.0.dial(address).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.resolve(host, port).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_token_source_or_a_dialer_is_a_failed_attempt() {
    let mut hub = FakeHub::new();
    let source = hub.builder().token_source(Once::new(()));
    hub.connected(source, &one(1)).await;
    let dialer = hub.builder().dialer(Once::new(hub.net()));
    hub.connected(dialer, &one(1)).await;
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("somebody's executor");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_caught_is_told_as_what_it_is() {
    let mut hub = FakeHub::new();
    let (client, call) = hub.connected(hub.builder(), &one(1)).await;
    let mut changes = client.changes();
    let waker = Waker::from(Arc::new(Bomb));
    assert!(pin!(changes.next()).poll(&mut Context::from_waker(&waker)).is_pending());
    call.update(&between(&one(1), &one(2))).await;
    call.left().await;
    // The close after the panic wakes again: not with that waker.
    assert_eq!(client.ready().await, Err(Closed::Panicked));
}
