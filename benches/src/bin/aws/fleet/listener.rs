//! Clients of the hubs, and what they have seen.

use crate::hubs::Hub;
use crate::roaming::{Reach, Roaming};
use confhub_benches::Result;
use confhub_client::{ChangeStream, Client};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::sync::watch;

/// A client, and what it has seen.
pub(super) struct Listener {
    pub(super) client: Client,
    pub(super) seen: Rc<RefCell<Seen>>,
    pub(super) reach: watch::Sender<Reach>,
}

/// What a client was told since it was last looked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    versions: HashMap<String, u64>,
    pub(super) delivered: u64,
    pub(super) superseded: u64,
    pub(super) backwards: u64,
    pub(super) resets: u64,
}

/// Clients that belong to a hub, and know of all.
pub(super) async fn listeners(hub: &Hub, urls: &[String], token: &str, count: u32) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        let (reach, seen_reach) = watch::channel(Reach::Home);
        let dialer = Roaming { home: hub.grpc, reach: seen_reach };
        let builder = urls.iter().fold(Client::builder(), |builder, url| builder.endpoint(url));
        let client = builder.token(token).dialer(dialer).connect().await?;
        let seen = Rc::new(RefCell::new(Seen::default()));
        tokio::task::spawn_local(watch_over(client.clone(), client.changes(), Rc::clone(&seen)));
        listeners.push(Listener { client, seen, reach });
    }
    Ok(listeners)
}

/// Says which hubs clients reach from now on.
pub(super) fn reach(listeners: &[&Listener], reach: Reach) {
    for listener in listeners {
        listener.reach.send_replace(reach);
    }
}

/// Takes note of what a client is told.
async fn watch_over(client: Client, mut changes: ChangeStream, seen: Rc<RefCell<Seen>>) {
    for entry in client.snapshot().iter() {
        seen.borrow_mut().versions.insert(entry.key().to_string(), entry.version());
    }
    while let Some(changed) = changes.next().await {
        let mut seen = seen.borrow_mut();
        seen.resets += u64::from(changed.reset);
        for key in changed.keys {
            let version = client.get(key.as_str()).map_or(0, |entry| entry.version());
            let before = seen.versions.insert(key.to_string(), version).unwrap_or_default();
            match version.checked_sub(before) {
                None => seen.backwards += 1,
                // A later commit has brought it already.
                Some(0) => {}
                Some(newer) => {
                    seen.delivered += 1;
                    seen.superseded += newer - 1;
                }
            }
        }
    }
}
