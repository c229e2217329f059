//! The tenant to which the clients of a storm come, on one run of a hub.

use super::crowd::{Coming, Crowd, Goal};
use super::{Expected, Visit};
use crate::args::Storm;
use crate::peers::hub::ledger::Place;
use crate::session::float;
use bytes::Bytes;
use confhub_benches::Result;
use confhub_benches::counts::Counts;
use confhub_benches::hub::{Caller, Hub};
use confhub_benches::input::{self, Setting};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for a write to be published.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tenant.
const TENANT: &str = "storm";

/// It, and what was written of it.
pub(super) struct Scene {
    pub(super) goal: Goal,
    pub(super) caller: Caller,
    pub(super) settings: Vec<Setting>,
    clients: usize,
    cursors: usize,
    http: SocketAddr,
    written: usize,
}

impl Scene {
    /// The tenant on this run of a hub.
    pub(super) async fn of(storm: &Storm, hub: &Hub) -> Result<Self> {
        let settings = input::settings(storm.keys)?;
        let token = hub.token(TENANT)?;
        let caller = Caller::new(hub.channel().await?, &token)?;
        let keys = settings.iter().map(|setting| setting.key.to_string()).collect();
        let Storm { clients, at_once, cursors, .. } = *storm;
        let goal = Goal { address: hub.address, pid: hub.server.pid(), token, at_once, keys };
        Ok(Self { goal, caller, settings, clients, cursors, http: hub.http, written: 0 })
    }

    /// Writes to the next key, and waits until a client that stood at `place` gets it.
    async fn move_on(&mut self, place: &Place) -> Result<Place> {
        self.write().await?;
        let since = Instant::now();
        loop {
            let now = self.goal.look(&Coming::Back(vec![place.clone()])).await?;
            if now.digest != place.digest {
                return Ok(now);
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("a write is not there after {PATIENCE:?}").into());
            }
        }
    }

    /// Writes to the next key.
    pub(super) async fn write(&mut self) -> Result<()> {
        let key = &self.settings[self.written % self.settings.len()].key;
        self.written += 1;
        let value = Bytes::from(format!("\"written {}\"", self.written));
        self.caller.put(key.as_str(), value).await?;
        Ok(())
    }

    /// That each client gets everything, which is encoded once.
    pub(super) fn whole(&self) -> Expected {
        Expected { entries: (self.clients * self.settings.len()) as u64, encodings: Some(1.0) }
    }

    /// Clients come back from several states.
    pub(super) async fn changed(&mut self, considerate: bool) -> Result<(Visit, Crowd)> {
        let mut places = Vec::with_capacity(self.cursors);
        let mut place = self.goal.look(&Coming::New).await?;
        for _ in 0..self.cursors {
            let next = self.move_on(&place).await?;
            places.push(std::mem::replace(&mut place, next));
        }
        let lacks = |client: usize| (self.cursors - client % self.cursors).min(self.settings.len()) as u64;
        let entries = (0..self.clients).map(lacks).sum();
        // The last one was encoded for who looked.
        let expected = Expected { entries, encodings: Some(float(places.len() - 1)) };
        self.visit(Coming::Back(places), expected, considerate).await
    }

    /// Clients come for the first time.
    pub(super) async fn new_clients(&mut self, considerate: bool) -> Result<(Visit, Crowd)> {
        // So that nobody has had the whole of this state before.
        let place = self.goal.look(&Coming::New).await?;
        self.move_on(&place).await?;
        self.visit(Coming::New, self.whole(), considerate).await
    }

    /// Lets clients come, and looks what that has made the hub do. `considerate`: others
    /// write meanwhile, and read what is written.
    pub(super) async fn visit(
        &self,
        coming: Coming,
        mut expected: Expected,
        considerate: bool,
    ) -> Result<(Visit, Crowd)> {
        let before = self.encodings().await?;
        let (mut came, crowd) = self.goal.storm(self.clients, coming, considerate).await?;
        let encodings = self.encodings().await? - before;
        if considerate {
            expected.encodings = None;
        }
        came.faults.unequal += u64::from(self.goal.look(&Coming::New).await?.digest != came.state);
        Ok((Visit { came, encodings, expected }, crowd))
    }

    async fn encodings(&self) -> Result<f64> {
        Ok(Counts::of(self.http).await?.sum("confhub_encodings_total", &[]))
    }
}
